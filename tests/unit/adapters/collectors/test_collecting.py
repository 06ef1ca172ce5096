"""A collection: begins, goes on whatever one target does, and ends with all handed on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from tests.unit.adapters.collectors.target_server import (
    PAGE,
    Pieces,
    answer,
    serving,
    wait_until,
)

from optiinfra.adapters.collectors import scraper as scraper_module
from optiinfra.adapters.collectors.addresses import read_networks
from optiinfra.adapters.collectors.collecting import Collection, CollectionPace
from optiinfra.adapters.collectors.page import Page, PageForm
from optiinfra.adapters.collectors.page_parser import PageParser
from optiinfra.adapters.collectors.problems import TargetProblem
from optiinfra.adapters.collectors.scraper import TargetStatus
from optiinfra.adapters.collectors.target_list import TargetList, TargetSources
from optiinfra.domain.samples import SampleBatch

START_NS = 1_700_000_000 * 10**9
FAST = CollectionPace(interval_s=0.05, refresh_s=0.05)
NETWORKS = read_networks(["127.0.0.1"])


class Sink:
    """Batches that wait, and those that were written."""

    def __init__(self) -> None:
        self.waiting: list[SampleBatch] = []
        self.written: list[SampleBatch] = []

    async def take(self, batch: SampleBatch) -> None:
        self.waiting.append(batch)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def write(self) -> None:
        self.written += self.waiting
        self.waiting = []

    def list_values(self, target: str) -> list[dict[str, float]]:
        """Values by metric of each batch of a target."""
        return [
            {b.series[p].metric: float(v) for p, v in zip(b.series_index, b.value, strict=True)}
            for b in self.written
            if b.series[0].target.endswith(target)
        ]


class BrokenParser(PageParser):
    """Has a fault that one page meets, once."""

    is_broken = True

    def parse(self, body: bytes, form: PageForm = PageForm.TEXT) -> Page:
        if b"poison" in body and BrokenParser.is_broken:
            BrokenParser.is_broken = False
            raise ZeroDivisionError("a fault of ours")
        return super().parse(body, form)


def test_a_fault_of_ours_stays_with_its_target(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scraper_module, "PageParser", BrokenParser)
    monkeypatch.setattr(BrokenParser, "is_broken", True)
    answers: dict[str, Pieces | Callable[[], Pieces]] = {
        "/bad": answer(b"poison 1\ntgi_queue_size 4\n"),
        "/good": answer(PAGE),
    }

    async def run() -> None:
        sink = Sink()
        async with serving(answers) as server:
            addresses = (server.url("/bad"), server.url("/good"))
            targets = TargetList(TargetSources(None, addresses, NETWORKS, UUID(int=1)))
            collection = Collection(targets, sink, lambda: START_NS, pace=FAST)
            stop = asyncio.Event()
            running = asyncio.create_task(collection.run(stop))
            await wait_until(
                lambda: len(sink.waiting) >= 6 and collection.scraper.states[0].problem is None
            )
            stop.set()
            await running
        bad, good = collection.scraper.states
        assert bad.failures == {TargetProblem.UNEXPECTED: 1}
        assert bad.status == good.status == TargetStatus.HEALTHY
        assert sink.list_values("/bad")[:2] == [{"up": 0}, {"up": 1, "num_requests_waiting": 4}]
        assert all(values["num_requests_running"] == 3 for values in sink.list_values("/good"))
        assert not good.failures

    with caplog.at_level(logging.INFO, logger="optiinfra"):
        asyncio.run(run())
    events = [record.message for record in caplog.records]
    assert events.count("target_failed_unexpectedly") == 1
    assert "ZeroDivisionError" in caplog.text
    assert [event for event in events if event.startswith("target_")][1:] == [
        "target_unknown",
        "target_back",
    ]


def test_once_hands_on_one_reading_of_each() -> None:
    async def run() -> None:
        sink = Sink()
        async with serving({"/good": answer(PAGE)}) as server:
            addresses = (server.url("/good"), server.url("/away"))
            targets = TargetList(TargetSources(None, addresses, NETWORKS, UUID(int=1)))
            collection = Collection(targets, sink, lambda: START_NS, pace=FAST)
            await collection.run_once()
        assert sink.list_values("/away") == [{"up": 0}]
        [good] = sink.list_values("/good")
        assert good == {"up": 1, "num_requests_running": 3, "output_tokens_total": 50}
        assert collection.count_stale() == 1

    asyncio.run(run())


def test_targets_come_and_go_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"

    async def run() -> None:
        sink = Sink()
        async with serving({"/a": answer(PAGE), "/b": answer(PAGE)}) as server:
            path.write_text(json.dumps([{"targets": [server.url("/a")]}]))
            targets = TargetList(TargetSources(path, (), NETWORKS, UUID(int=1)))
            collection = Collection(targets, sink, lambda: START_NS, pace=FAST)
            stop = asyncio.Event()
            running = asyncio.create_task(collection.run(stop))
            await wait_until(lambda: len(sink.waiting) > 0)
            path.write_text(json.dumps([{"targets": [server.url("/b")]}]))
            await wait_until(lambda: any("/b" in b.series[0].target for b in sink.waiting))
            stop.set()
            await running
        assert [s.target.url for s in collection.scraper.states] == [server.url("/b")]
        assert sink.list_values("/a")
        assert sink.list_values("/b")

    asyncio.run(run())


def test_a_sink_that_fails_ends_it_with_its_error() -> None:
    class Failing(Sink):
        async def take(self, batch: SampleBatch) -> None:
            raise RuntimeError(f"{len(batch)} samples were not taken")

    async def run() -> None:
        async with serving({"/a": answer(PAGE)}) as server:
            sources = TargetSources(None, (server.url("/a"),), NETWORKS, UUID(int=1))
            collection = Collection(TargetList(sources), Failing(), lambda: START_NS, pace=FAST)
            with pytest.raises(RuntimeError, match="not taken"):
                await asyncio.wait_for(collection.run(asyncio.Event()), 60)

    asyncio.run(run())
