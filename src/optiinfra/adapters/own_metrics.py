"""What a collecting process says of itself at `/metrics`: a registry, and what is added to it.

HTTP belongs to whoever mounts it: `write_page` gives the body and its content type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from optiinfra.adapters.collectors.problems import ReadingProblem, TargetProblem
from optiinfra.adapters.collectors.scraper import Scraper, TargetStatus
from optiinfra.adapters.collectors.target_list import DiscoveryProblem, TargetList
from optiinfra.adapters.ingestion import BufferedWriter
from optiinfra.adapters.ingestion.sample_sink import KeepingProblem, SampleSink
from optiinfra.adapters.receiving.intake import Intake, Outcome


class ScraperMetrics(Collector):
    """Counts of the scraper's targets, read when they are asked for.

    Every reason is a series from the beginning, so that its rate is known when it first comes.
    Targets are no label: there may be thousands.
    """

    def __init__(self, scraper: Scraper, count_stale: Callable[[], int] | None = None) -> None:
        self._scraper = scraper
        self._count_stale = count_stale

    def collect(self) -> Iterator[Metric]:
        """Families by name."""
        states = self._scraper.states
        targets = GaugeMetricFamily(
            "optiinfra_targets", "Targets by the last reading.", labels=["status"]
        )
        found = Counter(state.status for state in states)
        for status in TargetStatus:
            targets.add_metric([status.value.lower()], found[status])
        yield targets
        if self._count_stale is not None:
            yield GaugeMetricFamily(
                "optiinfra_stale_targets",
                "Targets without a recent value.",
                value=self._count_stale(),
            )
        failed = sum((state.failures for state in states), Counter[TargetProblem]())
        yield _count_reasons(
            "optiinfra_scrape_failures", "Readings that gave nothing.", TargetProblem, failed
        )
        missed = sum((state.problems for state in states), Counter[ReadingProblem]())
        yield _count_reasons(
            "optiinfra_samples_left_out", "Samples of pages that were used.", ReadingProblem, missed
        )


class CollectionMetrics(Collector):
    """Counts of what was scraped and kept, and of how targets were found."""

    def __init__(self, targets: TargetList, sink: SampleSink) -> None:
        self._targets = targets
        self._sink = sink

    def collect(self) -> Iterator[Metric]:
        """Families by name."""
        yield CounterMetricFamily(
            "optiinfra_samples_kept",
            "Samples of targets that are on disk or sent.",
            value=self._sink.num_kept,
        )
        yield _count_reasons(
            "optiinfra_samples_lost",
            "Samples of targets that were read and not kept.",
            KeepingProblem,
            self._sink.problems,
        )
        yield _count_reasons(
            "optiinfra_discovery_problems",
            "Times that targets of before were kept, or some were left out.",
            DiscoveryProblem,
            self._targets.problems,
        )


class IngestionMetrics(Collector):
    """Counts of the buffer before the metric store."""

    def __init__(self, writer: BufferedWriter) -> None:
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        """Families by name."""
        state = self._writer.get_state()
        yield GaugeMetricFamily(
            "optiinfra_ingestion_waiting_bytes",
            "On disk, for the metric store to take.",
            value=state.waiting_bytes,
        )
        yield GaugeMetricFamily(
            "optiinfra_ingestion_waiting_blocks",
            "On disk, whole and not sent.",
            value=state.num_waiting_blocks,
        )
        rows = CounterMetricFamily(
            "optiinfra_ingestion_rows", "Rows by what became of them.", labels=["state"]
        )
        rows.add_metric(["appended"], state.num_appended_rows)
        rows.add_metric(["sent"], state.num_sent_rows)
        rows.add_metric(["refused"], state.num_refused_rows)
        yield rows
        yield CounterMetricFamily(
            "optiinfra_ingestion_repeated_batches",
            "Batches that came again and count once.",
            value=state.num_repeated_batches,
        )


class ReceivingMetrics(Collector):
    """Counts of what others sent; `refused` came without the token."""

    def __init__(self, intakes: Sequence[Intake], refused: Mapping[Outcome, int]) -> None:
        self._intakes = intakes
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        """Families by name."""
        requests = CounterMetricFamily(
            "optiinfra_received_requests",
            "Requests of others by what became of them.",
            labels=["kind", "outcome"],
        )
        kept = CounterMetricFamily(
            "optiinfra_received_samples_kept", "Samples of others, on disk.", labels=["kind"]
        )
        left_out = CounterMetricFamily(
            "optiinfra_received_samples_left_out",
            "Samples of requests that were taken.",
            labels=["kind", "reason"],
        )
        for intake in self._intakes:
            for outcome in Outcome:
                if outcome is not Outcome.UNAUTHORIZED:
                    requests.add_metric([intake.kind, outcome.value], intake.outcomes[outcome])
            kept.add_metric([intake.kind], intake.num_kept_samples)
            for problem in ReadingProblem:
                number = intake.receiver.series.problems[problem]
                left_out.add_metric([intake.kind, problem.value], number)
            for given, number in intake.receiver.decoding_problems.items():
                left_out.add_metric([intake.kind, given.value], number)
            for reason in (KeepingProblem.TOO_LARGE, KeepingProblem.TOO_LONG):
                left_out.add_metric([intake.kind, reason.value], intake.problems[reason])
        yield requests
        yield kept
        yield left_out
        yield CounterMetricFamily(
            "optiinfra_received_requests_unauthorized",
            "Requests without the token.",
            value=self._refused.get(Outcome.UNAUTHORIZED, 0),
        )


def _count_reasons(
    name: str, text: str, reasons: type[StrEnum], found: Mapping[Any, int]
) -> CounterMetricFamily:
    """A counter with a series for every reason from the beginning."""
    family = CounterMetricFamily(name, text, labels=["reason"])
    for reason in reasons:
        family.add_metric([reason.value], found.get(reason, 0))
    return family


def make_registry() -> CollectorRegistry:
    """A registry with the version, this process's CPU and memory, and nothing global."""
    registry = CollectorRegistry()
    ProcessCollector(namespace="optiinfra", registry=registry)
    build = Info("optiinfra_build", "What runs here.", registry=registry)
    build.info({"version": version("optiinfra")})
    return registry


def write_page(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """The page in the form that `Accept` asks for, and its content type."""
    write, content_type = choose_encoder(accept)
    return write(registry), content_type
