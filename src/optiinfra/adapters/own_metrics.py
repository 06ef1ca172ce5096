"""What this process says of itself at `/metrics`: a registry, and what the scraper adds to it.

HTTP belongs to whoever mounts it: `write_page` gives the body and its content type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from optiinfra.adapters.collectors.problems import ReadingProblem, TargetProblem
from optiinfra.adapters.collectors.scraper import Scraper, TargetStatus


class ScraperMetrics(Collector):
    """Counts of the scraper's targets, read when they are asked for.

    Every reason is a series from the beginning, so that its rate is known when it first comes.
    Targets are no label: there may be thousands.
    """

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper

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
        failures = CounterMetricFamily(
            "optiinfra_scrape_failures", "Readings that gave nothing.", labels=["reason"]
        )
        failed = sum((state.failures for state in states), Counter[TargetProblem]())
        for problem in TargetProblem:
            failures.add_metric([problem.value], failed[problem])
        yield failures
        left_out = CounterMetricFamily(
            "optiinfra_samples_left_out", "Samples of pages that were used.", labels=["reason"]
        )
        missed = sum((state.problems for state in states), Counter[ReadingProblem]())
        for reason in ReadingProblem:
            left_out.add_metric([reason.value], missed[reason])
        yield left_out


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
