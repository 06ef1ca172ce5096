"""Our own page of metrics, read by our own parser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ingestion.sinks import FakeSink
from tests.ingestion.test_sample_sink import make_batch
from tests.unit.adapters.receiving_clients import receiving
from tests.unit.adapters.test_receiving import write

from optiinfra.adapters.collectors.addresses import AddressRules
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.page_parser import PageParser
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.scraper import Scraper
from optiinfra.adapters.collectors.target import Target
from optiinfra.adapters.collectors.target_list import TargetList, TargetSources
from optiinfra.adapters.ingestion import BufferedWriter
from optiinfra.adapters.ingestion.sample_sink import SampleSink
from optiinfra.adapters.own_metrics import (
    CollectionMetrics,
    IngestionMetrics,
    ReceivingMetrics,
    ScraperMetrics,
    make_registry,
    write_page,
)
from optiinfra.adapters.receiving.intake import Outcome
from optiinfra.domain.samples import SampleBatch

OPEN = "application/openmetrics-text; version=1.0.0"


def read_values(accept: str) -> dict[str, float]:
    async def take(batch: SampleBatch) -> None:
        del batch

    async def run() -> dict[str, float]:
        scraper = Scraper(Fetcher(AddressRules()), take, lambda: 1)
        names = ("http://127.0.0.1:1/", "ftp://x")
        scraper.set_targets([Target(UUID(int=1), name, name) for name in names])
        await scraper.scrape_once()
        scraper.states[0].problems[ReadingProblem.NOT_FINITE] += 3
        registry = make_registry()
        registry.register(ScraperMetrics(scraper))
        body, content_type = write_page(registry, accept)
        await scraper.close()
        form = PageForm.OPENMETRICS if "openmetrics" in content_type else PageForm.TEXT
        assert (form == PageForm.OPENMETRICS) == bool(accept)
        parser = PageParser()
        page = parser.parse(body, form)
        values = {}
        for place, value in zip(page.layout.series_index, page.value, strict=True):
            name, labels = parser.series[place]
            values[" ".join((name, *(text for _, text in labels)))] = float(value)
        return values

    return asyncio.run(run())


@pytest.mark.parametrize("accept", ["", OPEN])
def test_the_page(accept: str) -> None:
    values = read_values(accept)
    assert values["optiinfra_targets unknown"] == 2
    assert values["optiinfra_targets healthy"] == 0
    assert values["optiinfra_scrape_failures_total address_not_allowed"] == 1
    assert values["optiinfra_scrape_failures_total url"] == 1
    assert values["optiinfra_scrape_failures_total deadline"] == 0
    assert values["optiinfra_samples_left_out_total not_finite"] == 3
    assert values["optiinfra_process_resident_memory_bytes"] > 0
    assert any(name.startswith("optiinfra_build_info") for name in values)


def write_whole_page(directory: Path) -> str:
    """The page of a collecting process that has done a little of everything."""

    async def run() -> str:
        writer = BufferedWriter(FakeSink(), directory)
        sink = SampleSink(writer)
        targets = TargetList(TargetSources(None, ("h:1", "h:1/metrics"), (), UUID(int=1)))
        scraper = Scraper(Fetcher(AddressRules()), sink.take, lambda: 1)
        registry = make_registry()
        registry.register(ScraperMetrics(scraper, lambda: 4))
        registry.register(CollectionMetrics(targets, sink))
        registry.register(IngestionMetrics(writer))
        await sink.take(make_batch(1, 1e300))
        await sink.write()
        with receiving() as server:
            write(server, 0, 100)
            write(server, 0, 100)
            intakes = [server.remote_write, server.otlp]
            registry.register(ReceivingMetrics(intakes, {Outcome.UNAUTHORIZED: 3}))
            body, _content_type = write_page(registry)
        await scraper.close()
        writer.close(timeout_s=10)
        return body.decode()

    return asyncio.run(run())


def test_every_name_says_its_unit_and_prometheus_reads_it(tmp_path: Path) -> None:
    families = list(text_string_to_metric_families(write_whole_page(tmp_path)))
    values = {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
    counted = ("targets", "fds", "blocks", "total", "info")  # what is counted is its own unit
    units = (*counted, "bytes", "seconds")
    assert [name for name in values if not name.split()[0].endswith(units)] == []
    assert all(family.documentation for family in families)
    assert values["optiinfra_stale_targets"] == 4
    assert values["optiinfra_samples_lost_total too_large"] == 1
    assert values["optiinfra_samples_lost_total buffer_full"] == 0
    assert values["optiinfra_discovery_problems_total http_sd"] == 0
    assert values["optiinfra_received_requests_total remote_write taken"] == 1
    assert values["optiinfra_received_requests_total remote_write repeated"] == 1
    assert values["optiinfra_received_requests_total otlp taken"] == 0
    assert values["optiinfra_received_requests_unauthorized_total"] == 3
    assert values["optiinfra_received_samples_kept_total remote_write"] == 2
    assert values["optiinfra_received_samples_left_out_total remote_write timestamp_ahead"] == 0
