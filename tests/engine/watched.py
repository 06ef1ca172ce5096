"""An engine under load, read by the collectors of `optiinfra scrape`; what its series say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from tests.engine.load import NS_PER_S, Clients, Load, Measured

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.scraper import ScrapePolicy, Scraper, TargetState, TargetStatus
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch

INTERVAL_S = 0.5
_REST_S = 0.5  # an engine may count a request a moment after its answer
_CUSTOMER = UUID(int=5)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One page: its samples, when it was read, and how many requests the clients had sent then."""

    at_ns: int
    batch: SampleBatch
    num_in_flight: int

    def find_sum(self, metric: str) -> float | None:
        """The sum over all series of a metric, None where there is none."""
        chosen = [
            value
            for place, value in zip(self.batch.series_index, self.batch.value, strict=True)
            if self.batch.series[place].metric == metric
        ]
        return float(sum(chosen)) if chosen else None


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """Readings from just before the load to just after it, and the target's state at the end.

    `settled` is one more reading, when the engine is at rest; its counts are final.
    """

    measured: Measured
    readings: tuple[Reading, ...]
    settled: Reading
    state: TargetState

    @property
    def elapsed_s(self) -> float:
        """From the first reading to the last."""
        return (self.readings[-1].at_ns - self.readings[0].at_ns) / NS_PER_S

    def compute_growth(self, metric: str) -> float:
        """How much a counter grew from before the load until the engine was at rest."""
        before = self.readings[0].find_sum(metric)
        after = self.settled.find_sum(metric)
        assert before is not None, f"{metric} is not on the page"
        assert after is not None, f"{metric} is not on the page"
        return after - before

    def integrate(self, metric: str) -> float:
        """A rate times the time it stands for, summed up."""
        total = 0.0
        for before, reading in zip(self.readings, self.readings[1:], strict=False):
            rate = reading.find_sum(metric)
            assert rate is not None, f"{metric} is not known"
            total += rate * (reading.at_ns - before.at_ns) / NS_PER_S
        return total

    def list_under_load(self, metric: str) -> list[tuple[float, int]]:
        """A gauge, and the requests in flight at the client, while all clients waited."""
        most = max(reading.num_in_flight for reading in self.readings)
        pairs = [(r.find_sum(metric), r.num_in_flight) for r in self.readings]
        return [(v, n) for v, n in pairs if n == most and v is not None]


@dataclass(slots=True)
class Watcher:
    """Reads one engine's page every `INTERVAL_S` while the clients put their load on it."""

    clients: Clients
    _batches: list[SampleBatch] = field(default_factory=list)

    async def watch(self, load: Load) -> Watched:
        """Read, put the load on, read until it is over, and once more at rest."""
        fetcher = Fetcher(AddressRules(read_networks(["127.0.0.0/8"])))
        scraper = Scraper(fetcher, self._keep, time.time_ns, ScrapePolicy(interval_s=INTERVAL_S))
        target = Target(_CUSTOMER, "engine", f"{self.clients.url}/metrics")
        scraper.set_targets([target])
        try:
            readings = [await self._read(scraper)]
            running = asyncio.create_task(self.clients.run(load))
            while not running.done():
                await asyncio.wait([running], timeout=INTERVAL_S)
                readings.append(await self._read(scraper))
            measured = await running
            await asyncio.sleep(_REST_S)
            settled = await self._read(scraper)
            (state,) = scraper.states
        finally:
            await scraper.close()
        return Watched(measured, tuple(readings), settled, state)

    async def _keep(self, batch: SampleBatch) -> None:
        self._batches.append(batch)

    async def _read(self, scraper: Scraper) -> Reading:
        num_in_flight = self.clients.num_in_flight
        await scraper.scrape_once()
        (state,) = scraper.states
        assert state.status == TargetStatus.HEALTHY, state.message
        assert state.read_at_ns is not None
        return Reading(state.read_at_ns, self._batches[-1], num_in_flight)


def watch(clients: Clients, *loads: Load) -> Watched:
    """Put the loads on one after the other; only the last one is told of: the others warm up."""

    async def run() -> Watched:
        for load in loads[:-1]:
            await clients.run(load)
        return await Watcher(clients).watch(loads[-1])

    return asyncio.run(run())


def compute_median(values: list[float]) -> float:
    """The middle one; the test fails where there is none."""
    assert values, "nothing was read while all clients waited"
    return float(np.median(values))
