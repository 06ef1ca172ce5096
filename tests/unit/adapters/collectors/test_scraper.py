"""Many targets: what each gives, what a bad one costs the others, and when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest
from tests.unit.adapters.collectors.target_server import (
    PAGE,
    Pieces,
    TargetServer,
    answer,
    serving,
    wait_until,
)

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher, FetchLimits
from optiinfra.adapters.collectors.problems import ReadingProblem, TargetProblem
from optiinfra.adapters.collectors.scraper import (
    ScrapePolicy,
    Scraper,
    TargetState,
    TargetStatus,
)
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch, concatenate_batches

RULES = AddressRules(read_networks(["127.0.0.0/8"]))
LIMITS = FetchLimits(deadline_s=60.0, max_bytes=100_000)
START_NS = 1_700_000_000 * 10**9


class Bench:
    """A scraper of a server's paths, with a clock that is moved by hand."""

    def __init__(
        self, server: TargetServer, *paths: str, policy: ScrapePolicy | None = None
    ) -> None:
        self.now_ns = START_NS
        self.batches: list[SampleBatch] = []
        self.scraper = Scraper(Fetcher(RULES, LIMITS), self.keep, lambda: self.now_ns, policy)
        self.scraper.set_targets([Target(UUID(int=1), p, server.url(p)) for p in paths])

    async def keep(self, batch: SampleBatch) -> None:
        self.batches.append(batch)

    async def scrape(self) -> dict[tuple[str, str], float]:
        """Values by target and metric."""
        self.batches.clear()
        await self.scraper.scrape_once()
        self.now_ns += 15 * 10**9
        batch = concatenate_batches(self.batches)
        series = [batch.series[place] for place in batch.series_index]
        return {(s.target, s.metric): float(v) for s, v in zip(series, batch.value, strict=True)}

    def state(self, name: str) -> TargetState:
        return next(state for state in self.scraper.states if state.target.name == name)


def test_good_and_bad_targets_side_by_side() -> None:
    answers: dict[str, Pieces | Callable[[], Pieces]] = {
        "/good": answer(PAGE),
        "/huge": answer(bytes(200_000)),
        "/utf8": answer(b"a\xff 1\n"),
        "/syntax": answer(b"a 1\nb\n"),
        "/other": answer(b"my_metric 1\n"),
    }

    async def run() -> None:
        async with serving(answers) as server:
            bench = Bench(server, *answers)
            values = await bench.scrape()
            await bench.scraper.close()
        assert values == {
            ("/good", "up"): 1,
            ("/good", "num_requests_running"): 3,
            ("/good", "output_tokens_total"): 50,
            ("/other", "up"): 1,
            **{(path, "up"): 0 for path in ("/huge", "/utf8", "/syntax")},
        }
        problems = {name: bench.state(name).problem for name in answers}
        assert problems == {
            "/good": None,
            "/huge": TargetProblem.TOO_LARGE,
            "/utf8": TargetProblem.ENCODING,
            "/syntax": TargetProblem.SYNTAX,
            "/other": None,
        }
        assert bench.state("/syntax").message.startswith("line 2: ")
        assert bench.state("/good").sources == {"vllm"}
        assert bench.state("/other").problems == {ReadingProblem.UNKNOWN_SOURCE: 1}

    asyncio.run(run())


def test_a_slow_target_holds_up_no_other() -> None:
    async def run() -> None:
        go_on = asyncio.Event()
        slow: Pieces = [b"HTTP/1.1 200 OK\r\n\r\n", go_on]
        async with serving({"/slow": slow, "/good": answer(PAGE)}) as server:
            bench = Bench(server, "/slow", "/good")
            scraping = asyncio.create_task(bench.scrape())
            await wait_until(lambda: bench.state("/good").status == TargetStatus.HEALTHY)
            assert bench.state("/slow").status == TargetStatus.UNKNOWN
            go_on.set()
            assert (await scraping)["/slow", "up"] == 1
            await bench.scraper.close()

    asyncio.run(run())


def test_a_target_that_fails_is_unknown_and_comes_back_with_its_rate() -> None:
    pages = iter([answer(PAGE), answer(b"", status="500 Oh"), answer(PAGE.replace(b"50", b"350"))])

    async def run() -> None:
        async with serving({"/metrics": lambda: next(pages)}) as server:
            bench = Bench(server, "/metrics")
            await bench.scrape()
            state = bench.state("/metrics")
            assert state.status == TargetStatus.HEALTHY
            assert await bench.scrape() == {("/metrics", "up"): 0}
            assert (state.status, state.num_failures) == (TargetStatus.UNKNOWN, 1)
            values = await bench.scrape()
            assert values["/metrics", "output_tokens_per_s"] == 10  # 300 in 30 s
            assert (state.status, state.num_failures) == (TargetStatus.HEALTHY, 0)
            assert state.failures == {TargetProblem.STATUS: 1}
            await bench.scraper.close()

    asyncio.run(run())


def test_staleness() -> None:
    policy = ScrapePolicy(stale_after_s=60)
    state = TargetState(Target(UUID(int=1), "t", "u"))
    assert state.is_stale(START_NS, policy)
    state.read_at_ns = START_NS
    assert not state.is_stale(START_NS + 60 * 10**9, policy)
    assert state.is_stale(START_NS + 61 * 10**9, policy)


@pytest.mark.parametrize(
    ("num_failures", "wait_s"), [(0, 15), (1, 15), (2, 30), (4, 120), (9, 300), (10_000, 300)]
)
def test_backoff(num_failures: int, wait_s: float) -> None:
    assert ScrapePolicy().compute_wait_s(num_failures) == wait_s


def test_targets_run_at_their_interval_come_and_go_and_failing_ones_back_off() -> None:
    answers: dict[str, Pieces | Callable[[], Pieces]] = {
        "/good": answer(PAGE),
        "/bad": answer(b"", status="500 Oh"),
        "/late": answer(PAGE),
    }

    async def run() -> int:
        async with serving(answers) as server:

            def count(path: str) -> int:
                return sum(request.split(" ", 2)[1] == path for request in server.requests)

            policy = ScrapePolicy(interval_s=0.05, max_backoff_s=60)
            bench = Bench(server, "/good", "/bad", policy=policy)
            running = asyncio.create_task(bench.scraper.run())
            await wait_until(lambda: count("/good") >= 15 and count("/bad") >= 2)
            bad_meanwhile = count("/bad")
            targets = [Target(UUID(int=1), p, server.url(p)) for p in ("/bad", "/late")]
            bench.scraper.set_targets(targets)
            await wait_until(lambda: count("/late") >= 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await bench.scraper.close()
            assert [state.target.name for state in bench.scraper.states] == ["/bad", "/late"]
            return bad_meanwhile

    assert asyncio.run(run()) < 10


def test_a_sink_that_fails_stops_the_run() -> None:
    async def fail(batch: SampleBatch) -> None:
        raise RuntimeError(f"{len(batch)} rows were not taken")

    async def run() -> None:
        async with serving({"/metrics": answer(PAGE)}) as server:
            policy = ScrapePolicy(interval_s=0.01)
            scraper = Scraper(Fetcher(RULES, LIMITS), fail, lambda: START_NS, policy)
            scraper.set_targets([Target(UUID(int=1), "t", server.url())])
            with pytest.raises(RuntimeError, match="not taken"):
                await asyncio.wait_for(scraper.run(), 5)
            await scraper.close()

    asyncio.run(run())


def test_ever_new_label_sets_leave_the_memory_of_a_target_bounded() -> None:
    number = iter(range(10**9))

    def make() -> Pieces:
        return answer(b"".join(b'tgi_queue_size{n="%d"} 1\n' % next(number) for _ in range(50)))

    async def run() -> None:
        async with serving({"/metrics": make}) as server:
            bench = Bench(server, "/metrics", policy=ScrapePolicy(max_series=120))
            for _ in range(20):
                values = await bench.scrape()
                assert values["/metrics", "num_requests_waiting"] == 1
            (scraper,) = bench.scraper._scrapers.values()
            assert len(scraper._parser.series) <= 120
            assert scraper._reader._value.size <= 120
            await bench.scraper.close()

    asyncio.run(run())
