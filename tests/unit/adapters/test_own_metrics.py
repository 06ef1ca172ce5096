"""Our own page of metrics, read by our own parser."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from optiinfra.adapters.collectors.addresses import AddressRules
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.page_parser import PageParser
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.scraper import Scraper
from optiinfra.adapters.collectors.target import Target
from optiinfra.adapters.own_metrics import ScraperMetrics, make_registry, write_page
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
