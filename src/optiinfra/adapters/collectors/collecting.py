"""Targets read until told to stop: found again and again, scraped at their interval, handed on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.scraper import (
    Clock,
    ScrapePolicy,
    Scraper,
    TargetState,
    TargetStatus,
)
from optiinfra.adapters.collectors.target_list import TargetList
from optiinfra.domain.samples import SampleBatch

_LOG = logging.getLogger(__name__)
REPORT_S = 60.0


class BatchSink(Protocol):
    """What takes batches, as `SampleSink` does."""

    async def take(self, batch: SampleBatch) -> None:
        """Keep a batch soon."""

    async def run(self) -> None:
        """Keep what waits, once in a while, until cancelled."""

    async def write(self) -> None:
        """Keep all that waits now."""


@dataclass(frozen=True, slots=True)
class CollectionPace:
    """How often targets are read, and asked for (`refresh_s`)."""

    interval_s: float = 15.0
    refresh_s: float = 60.0


class Collection:
    """The scraper, fed from a list of targets, handing on to a sink.

    To be made within the event loop that runs it. `describe` gives fields for the line that is
    logged once a minute.
    """

    def __init__(
        self,
        targets: TargetList,
        sink: BatchSink,
        clock: Clock,
        *,
        pace: CollectionPace,
        describe: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.targets = targets
        self._sink = sink
        self._clock = clock
        self._pace = pace
        self._describe = describe
        self._policy = ScrapePolicy(interval_s=pace.interval_s, stale_after_s=4 * pace.interval_s)
        self._fetcher = Fetcher(targets.rules)
        self.scraper = Scraper(self._fetcher, sink.take, clock, self._policy, notice=_notice)

    async def run_once(self) -> None:
        """Read every target once."""
        try:
            self.scraper.set_targets(await self.targets.refresh(self._fetcher))
            await self.scraper.scrape_once()
        finally:
            await self._close()

    async def run(self, stop: asyncio.Event) -> None:
        """Read every target at its interval until `stop` is set, and hand on all that was read."""
        try:
            self.scraper.set_targets(await self.targets.refresh(self._fetcher))
            _LOG.info("collection_started", extra=self._count())
            await run_until(
                stop, self.scraper.run(), self._refresh(), self._sink.run(), self._report()
            )
        finally:
            await self._close()

    def count_stale(self) -> int:
        """Targets whose last values are too old to stand for the present."""
        now_ns = self._clock()
        return sum(state.is_stale(now_ns, self._policy) for state in self.scraper.states)

    async def _close(self) -> None:
        await self.scraper.close()
        await self._sink.write()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._pace.refresh_s)
            self.scraper.set_targets(await self.targets.refresh(self._fetcher))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            _LOG.info("collected", extra=self._count() | self._describe())

    def _count(self) -> dict[str, int]:
        found = Counter(state.status for state in self.scraper.states)
        return {
            "num_healthy": found[TargetStatus.HEALTHY],
            "num_unknown": found[TargetStatus.UNKNOWN],
            "num_stale": self.count_stale(),
        }


async def run_until(stop: asyncio.Event, *jobs: Coroutine[Any, Any, None]) -> None:
    """Run endless jobs until `stop` is set; the exception of the first that fails is raised."""
    tasks = [asyncio.create_task(job) for job in jobs]
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _pending = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)


def _notice(state: TargetState) -> None:
    """Say when a target is lost, and when it is back."""
    about: dict[str, Any] = {"target": state.target.name}
    if state.problem is not None:
        about |= {"reason": state.problem.value, "detail": state.message}
        _LOG.warning("target_unknown", extra=about)
    elif state.failures:
        _LOG.info("target_back", extra=about)
