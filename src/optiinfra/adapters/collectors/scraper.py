"""Targets read again and again: each with its own state, none held up by another."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from optiinfra.adapters.collectors.fetching import Fetched, Fetcher
from optiinfra.adapters.collectors.page import PageError
from optiinfra.adapters.collectors.page_parser import MAX_SERIES, PageParser
from optiinfra.adapters.collectors.problems import ReadingProblem, TargetError, TargetProblem
from optiinfra.adapters.collectors.reader import Reading, TargetReader
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch

_LOG = logging.getLogger(__name__)
NS_PER_S = 10**9
_LARGE_PAGE = 2 * 2**20  # parsed beside the loop, so that other targets go on

Sink = Callable[[SampleBatch], Awaitable[None]]
Clock = Callable[[], int]  # Unix nanoseconds


class TargetStatus(StrEnum):
    """Whether the last reading of a target succeeded."""

    HEALTHY = "HEALTHY"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ScrapePolicy:
    """How often, and how much less often what fails.

    After n failures in a row the next attempt waits `interval_s` times 2^(n-1), at most
    `max_backoff_s`. Values older than `stale_after_s` are not to be used as present ones.
    """

    interval_s: float = 15.0
    max_backoff_s: float = 300.0
    stale_after_s: float = 60.0
    max_series: int = MAX_SERIES

    def compute_wait_s(self, num_failures: int) -> float:
        """Time to the next attempt after so many failures in a row."""
        doublings = min(max(num_failures - 1, 0), 30)
        return max(self.interval_s, min(self.interval_s * 2.0**doublings, self.max_backoff_s))


@dataclass(slots=True)
class TargetState:
    """What is known of a target; `problems` counts single samples that were left out."""

    target: Target
    status: TargetStatus = TargetStatus.UNKNOWN
    problem: TargetProblem | None = None
    message: str = "not read yet"
    read_at_ns: int | None = None  # of the last success
    num_failures: int = 0  # in a row
    failures: Counter[TargetProblem] = field(default_factory=Counter)
    problems: Counter[ReadingProblem] = field(default_factory=Counter)
    sources: frozenset[str] = frozenset()

    def is_stale(self, at_ns: int, policy: ScrapePolicy) -> bool:
        """Whether the last values are too old to stand for the present, or there are none."""
        return self.read_at_ns is None or at_ns - self.read_at_ns > policy.stale_after_s * NS_PER_S


class TargetScraper:
    """Reads one target; a failure says why and leaves the values of before alone."""

    def __init__(self, target: Target, fetcher: Fetcher, policy: ScrapePolicy) -> None:
        self.state = TargetState(target)
        self._fetcher = fetcher
        self._max_series = policy.max_series
        self._forget()

    async def scrape(self, clock: Clock, threads: ThreadPoolExecutor) -> SampleBatch:
        """The samples of one page, or `up` as 0 where there is none."""
        state = self.state
        at_ns = clock()
        try:
            fetched = await self._fetcher.fetch(state.target.url)
            if len(fetched.body) > _LARGE_PAGE:
                loop = asyncio.get_running_loop()
                reading = await loop.run_in_executor(threads, self._read, fetched, at_ns)
            else:
                reading = self._read(fetched, at_ns)
        except TargetError as error:
            return self._fail(error.problem, str(error), at_ns)
        except Exception as error:  # noqa: BLE001  the control loop: the other targets go on
            _LOG.exception("target_failed_unexpectedly", extra={"target": state.target.name})
            self._forget()  # what was half done
            message = f"{type(error).__name__} in OptiInfra; its log has more"
            return self._fail(TargetProblem.UNEXPECTED, message, at_ns)
        state.status, state.problem, state.message = TargetStatus.HEALTHY, None, ""
        state.num_failures = 0
        state.read_at_ns = at_ns
        state.problems.update(reading.problems)
        state.sources = reading.sources
        return reading.batch

    def _forget(self) -> None:
        """Begin again, as with a target that was never read."""
        self._parser = PageParser(max_series=self._max_series)
        self._reader = TargetReader(self.state.target)

    def _fail(self, problem: TargetProblem, message: str, at_ns: int) -> SampleBatch:
        state = self.state
        state.status, state.problem, state.message = TargetStatus.UNKNOWN, problem, message
        state.num_failures += 1
        state.failures[problem] += 1
        return self._reader.read_nothing(at_ns)

    def _read(self, fetched: Fetched, at_ns: int) -> Reading:
        try:
            page = self._parser.parse(fetched.body, fetched.form)
        except PageError as error:
            where = "" if error.line is None else f"line {error.line}: "
            problem = TargetProblem(error.reason.value)
            raise TargetError(problem, f"{where}{error.problem}") from error
        return self._reader.read(page, self._parser.table, at_ns)


class Scraper:
    """All targets of this process. Targets come and go by `set_targets`, by name and address.

    `notice` is told of a target that became healthy, unknown, or unknown for another reason.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        sink: Sink,
        clock: Clock,
        policy: ScrapePolicy | None = None,
        *,
        notice: Callable[[TargetState], None] | None = None,
    ) -> None:
        self.policy = policy or ScrapePolicy()
        self._notice = notice
        self._fetcher = fetcher
        self._sink = sink
        self._clock = clock
        self._scrapers: dict[Target, TargetScraper] = {}
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="large-page")

    @property
    def states(self) -> list[TargetState]:
        """The state of every target, in the order in which they were set."""
        return [scraper.state for scraper in list(self._scrapers.values())]

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Read these from now on; those that were read before keep their state."""
        wanted = dict.fromkeys(targets)
        for gone in self._scrapers.keys() - wanted.keys():
            del self._scrapers[gone]
            if task := self._tasks.pop(gone, None):
                task.cancel()
        for target in wanted:
            if target not in self._scrapers:
                self._scrapers[target] = TargetScraper(target, self._fetcher, self.policy)

    async def scrape_once(self) -> None:
        """Read every target once, all at the same time."""
        async with asyncio.TaskGroup() as group:
            for scraper in list(self._scrapers.values()):
                group.create_task(self._scrape(scraper))

    async def run(self) -> None:
        """Read every target at its interval until cancelled."""
        try:
            while True:
                for target, scraper in self._scrapers.items():
                    if target not in self._tasks:
                        self._tasks[target] = asyncio.create_task(self._repeat(scraper))
                await asyncio.sleep(min(1.0, self.policy.interval_s))
                self._raise_failed()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.clear()

    async def close(self) -> None:
        """Close connections and threads."""
        await self._fetcher.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _raise_failed(self) -> None:
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def _repeat(self, scraper: TargetScraper) -> None:
        """At the target's own moment of each interval, so that the load is even."""
        loop = asyncio.get_running_loop()
        name = scraper.state.target.name.encode()
        share = zlib.crc32(name) / 2**32
        due_s = loop.time() + share * self.policy.interval_s
        while True:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._scrape(scraper)
            wait_s = self.policy.compute_wait_s(scraper.state.num_failures)
            due_s += wait_s
            if due_s < loop.time():  # fell behind: what was missed is not made up
                due_s = loop.time() + wait_s

    async def _scrape(self, scraper: TargetScraper) -> None:
        state = scraper.state
        before = (state.status, state.problem)
        batch = await scraper.scrape(self._clock, self._threads)
        if self._notice is not None and before != (state.status, state.problem):
            self._notice(state)
        await self._sink(batch)
