"""Batches are put together, kept, and counted where they cannot be."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID

import numpy as np

from optiinfra.adapters.ingestion.sample_sink import KeepingProblem, SampleSink
from optiinfra.domain.errors import InputError, OptiInfraError, StoreFullError
from optiinfra.domain.metric_tables import MetricRows, MetricTable
from optiinfra.domain.samples import SampleBatch, SampleKind, Series


class Writer:
    """Notes the rows; raises what it is told to for a table."""

    def __init__(self) -> None:
        self.rows: list[MetricRows] = []
        self.errors: dict[MetricTable, OptiInfraError] = {}

    def append(self, rows: MetricRows, *, token: str | None = None) -> bool:
        assert token is None
        if error := self.errors.get(rows.table):
            raise error
        self.rows.append(rows)
        return True

    def list_values(self) -> list[float]:
        return [
            float(value)
            for rows in self.rows
            if rows.table is MetricTable.SAMPLES
            for value in rows.numbers["value"]
        ]


def make_batch(*values: float) -> SampleBatch:
    size = len(values)
    series = Series(UUID(int=1), "t", "d", "i", "kv_cache_usage_ratio", SampleKind.GAUGE)
    return SampleBatch(
        (series,),
        np.zeros(size, np.int32),
        np.arange(size, dtype=np.int64) * 10**9,
        np.array(values, np.float64),
    )


def test_batches_wait_for_each_other() -> None:
    async def run() -> None:
        writer = Writer()
        sink = SampleSink(writer)
        await sink.take(make_batch(1))
        await sink.take(make_batch(2, 3))
        assert not writer.rows
        await sink.write()
        assert writer.list_values() == [1, 2, 3]
        assert [rows.table for rows in writer.rows] == [
            MetricTable.SAMPLES,
            MetricTable.PERFORMANCE,
        ]
        await sink.write()
        assert len(writer.rows) == 2
        assert sink.num_kept == 3

    asyncio.run(run())


def test_not_more_waits_than_may() -> None:
    async def run() -> None:
        writer = Writer()
        sink = SampleSink(writer, max_samples=3)
        await sink.take(make_batch(1, 2))
        assert not writer.rows
        await sink.take(make_batch(3))
        assert writer.list_values() == [1, 2, 3]

    asyncio.run(run())


def test_what_waits_is_kept_once_in_a_while() -> None:
    async def run() -> None:
        writer = Writer()
        sink = SampleSink(writer, max_wait_s=0.01)
        running = asyncio.create_task(sink.run())
        await sink.take(make_batch(1))
        async with asyncio.timeout(60):
            while sink.num_kept < 1:  # noqa: ASYNC110  it comes about in other tasks
                await asyncio.sleep(0.01)
        running.cancel()
        assert writer.list_values() == [1]

    asyncio.run(run())


def test_what_is_refused_is_lost_and_counted_and_the_next_is_kept() -> None:
    async def run() -> None:
        writer = Writer()
        sink = SampleSink(writer)
        for error, problem in (
            (StoreFullError("full.", remedy=""), KeepingProblem.BUFFER_FULL),
            (InputError("old.", remedy=""), KeepingProblem.INSTANT),
        ):
            writer.errors = {MetricTable.SAMPLES: error}
            await sink.take(make_batch(1, 2, 1e300))
            await sink.write()
            assert sink.problems[problem] == 2
        writer.errors = {MetricTable.PERFORMANCE: StoreFullError("full.", remedy="")}
        await sink.take(make_batch(4))
        await sink.write()
        writer.errors = {}
        await sink.take(make_batch(5))
        await sink.write()
        assert writer.list_values() == [4, 5]
        assert sink.num_kept == 2
        assert sink.problems == {
            KeepingProblem.BUFFER_FULL: 2,
            KeepingProblem.INSTANT: 2,
            KeepingProblem.TOO_LARGE: 2,
            KeepingProblem.TOO_LONG: 0,
        }

    asyncio.run(run())


def test_a_write_that_was_cancelled_is_waited_for_by_the_next() -> None:
    class Slow(Writer):
        def __init__(self) -> None:
            super().__init__()
            self.is_asked, self.may_go_on = threading.Event(), threading.Event()

        def append(self, rows: MetricRows, *, token: str | None = None) -> bool:
            self.is_asked.set()
            assert self.may_go_on.wait(60)
            return super().append(rows, token=token)

    async def run() -> None:
        writer = Slow()
        sink = SampleSink(writer)
        await sink.take(make_batch(1))
        first = asyncio.create_task(sink.write())
        await asyncio.to_thread(writer.is_asked.wait, 60)
        first.cancel()
        await sink.take(make_batch(2))
        last = asyncio.create_task(sink.write())
        await asyncio.sleep(0)
        assert sink.num_kept == 0
        writer.may_go_on.set()
        await last
        assert (sink.num_kept, writer.list_values()) == (2, [1, 2])

    asyncio.run(run())
