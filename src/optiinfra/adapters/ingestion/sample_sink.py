"""Batches of many targets, put together and handed to the buffered writer once a second."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from optiinfra.adapters.ingestion.sample_rows import convert_samples
from optiinfra.domain.errors import InputError, StoreFullError
from optiinfra.domain.metric_tables import MetricRows, MetricTable
from optiinfra.domain.samples import SampleBatch, concatenate_batches

_LOG = logging.getLogger(__name__)


class KeepingProblem(StrEnum):
    """Why samples that were read are not kept."""

    TOO_LARGE = "too_large"  # beyond 10^15
    TOO_LONG = "too_long"  # a name, a target or labels longer than a column takes
    BUFFER_FULL = "buffer_full"  # the metric store is away for long, or there is no space
    INSTANT = "instant"  # so far from now that the store keeps none


class RowWriter(Protocol):
    """What takes rows, as `BufferedWriter` does."""

    def append(self, rows: MetricRows, *, token: str | None = None) -> bool:
        """Have rows on disk; False where this token was appended before."""


class SampleSink:
    """Keeps what is taken; nobody waits for an answer, so a second of it may be put together.

    What the writer refuses is lost and counted: a gap in the series, never a made-up value.
    """

    def __init__(
        self, writer: RowWriter, *, max_wait_s: float = 1.0, max_samples: int = 200_000
    ) -> None:
        self.num_kept = 0
        self.problems: Counter[KeepingProblem] = Counter()
        self._writer = writer
        self._max_wait_s = max_wait_s
        self._max_samples = max_samples
        self._waiting: list[SampleBatch] = []
        self._num_waiting = 0
        self._lock = asyncio.Lock()
        self._writing: asyncio.Future[None] | None = None
        self._is_losing = False

    async def take(self, batch: SampleBatch) -> None:
        """Keep a batch soon; waits where much waits already."""
        self._waiting.append(batch)
        self._num_waiting += len(batch)
        if self._num_waiting >= self._max_samples:
            await self.write()

    async def run(self) -> None:
        """Write what waits, once in a while, until cancelled."""
        while True:
            await asyncio.sleep(self._max_wait_s)
            await self.write()

    async def write(self) -> None:
        """Hand on all that waits; on disk, or lost and counted, when it returns."""
        async with self._lock:
            if self._writing is not None:  # of one who was cancelled meanwhile
                await asyncio.shield(self._writing)
            batches, self._waiting, self._num_waiting = self._waiting, [], 0
            if batches:
                self._writing = asyncio.ensure_future(asyncio.to_thread(self._append, batches))
                await asyncio.shield(self._writing)
            self._writing = None

    def _append(self, batches: Sequence[SampleBatch]) -> None:
        batch = concatenate_batches(batches)
        converted = convert_samples(batch)
        self.problems[KeepingProblem.TOO_LARGE] += converted.num_too_large
        self.problems[KeepingProblem.TOO_LONG] += converted.num_too_long
        num_lost = sum(len(rows) for rows in converted.rows if rows.table is MetricTable.SAMPLES)
        try:
            for rows in converted.rows:
                self._writer.append(rows)
                if rows.table is MetricTable.SAMPLES:
                    self.num_kept += len(rows)
                    num_lost -= len(rows)
        except StoreFullError as error:
            self._lose(KeepingProblem.BUFFER_FULL, num_lost, error)
        except InputError as error:
            self._lose(KeepingProblem.INSTANT, num_lost, error)
        else:
            self._is_losing = False

    def _lose(self, problem: KeepingProblem, num_samples: int, error: Exception) -> None:
        self.problems[problem] += num_samples
        if not self._is_losing:  # one line when it begins; the counter tells the rest
            about = {"reason": problem.value, "num_samples": num_samples, "detail": str(error)}
            _LOG.error("samples_lost", extra=about)
        self._is_losing = True
