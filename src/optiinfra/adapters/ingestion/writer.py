"""A buffer before the metric store: what was acknowledged is never lost, and counts once."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table
from optiinfra.adapters.ingestion.frames import NO_TOKEN
from optiinfra.adapters.ingestion.journal import Journal
from optiinfra.adapters.ingestion.limits import IngestionLimits
from optiinfra.domain.errors import (
    ConflictError,
    InputError,
    StoreAwayError,
    StoreError,
    StoreFullError,
)
from optiinfra.domain.metric_tables import MAX_ROWS, MetricRows, MetricTable

_LOG = logging.getLogger(__name__)


class TableSink(Protocol):
    """What takes blocks, as `ClickHouseStore` does."""

    def insert_table(self, table: MetricTable, rows: pa.Table, *, token: str) -> None:
        """Keep the rows, once however often they come with this token. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class IngestionState:
    """What waits and what was done since the writer was opened."""

    waiting_bytes: int
    num_waiting_blocks: int
    num_appended_rows: int
    num_repeated_batches: int
    num_sent_rows: int
    num_refused_rows: int
    last_error: str | None  # of the store, since it last took something


class BufferedWriter:
    """Takes batches from any thread; one thread of its own sends them, block by block, in order.

    `append` returns when the batch is on disk (fsync). A block is sent with a token made of the
    journal and its number, so that sending it again, by this process or the next, counts once.
    One process may have a directory open. Raises ConflictError where another has.
    """

    def __init__(
        self,
        sink: TableSink,
        directory: Path,
        *,
        limits: IngestionLimits | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sink = sink
        self._limits = limits or IngestionLimits()
        self._now = now
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_descriptor = _take(directory)
        self._changed = threading.Condition()
        self._journals = {table: Journal(directory / table.value) for table in MetricTable}
        self._tokens: OrderedDict[bytes, None] = OrderedDict()
        for journal in self._journals.values():
            for token in journal.list_tokens():
                self._remember(token)
        self._opened_at: dict[MetricTable, float] = {}  # monotonic, of the first unsent append
        self._is_closing = False
        self._num_flushing = 0
        self._appended = self._repeated = self._sent = self._refused = 0
        self._last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name="metric-ingestion", daemon=True)
        self._thread.start()

    def append(self, rows: MetricRows, *, token: str | None = None) -> bool:
        """Have a batch on disk, to be sent soon; False where its token was appended before.

        Waits while too much waits already, and raises StoreFullError in the end; raises InputError
        for instants outside the limits. Nothing of the batch is kept in either case.
        """
        if not len(rows):
            return False
        self._check_instants(rows)
        digest = NO_TOKEN if token is None else _digest(rows.table, token)
        payload = _encode(make_arrow_table(rows))
        journal = self._journals[rows.table]
        with self._changed:
            if token is not None and digest in self._tokens:
                self._repeated += 1
                return False
            self._wait_for_room(payload.nbytes)
            if journal.open_rows + len(rows) > self._limits.max_rows:
                journal.seal()
            journal.append(payload, num_rows=len(rows), token=digest)
            if token is not None:
                self._remember(digest)
            is_first = rows.table not in self._opened_at
            if is_first:
                self._opened_at[rows.table] = time.monotonic()
            self._appended += len(rows)
            if is_first or journal.num_sealed or journal.open_rows >= self._limits.max_rows:
                self._changed.notify_all()
        return True

    def flush(self, *, timeout_s: float) -> bool:
        """Send all that waits now; False where that took too long. What waits stays on disk."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._num_flushing += 1
            self._changed.notify_all()
            try:
                while any(j.num_sealed or j.open_rows for j in self._journals.values()):
                    if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                        return False
            finally:
                self._num_flushing -= 1
        return True

    def get_state(self) -> IngestionState:
        """What waits and what was done."""
        with self._changed:
            return IngestionState(
                waiting_bytes=self._get_waiting_bytes(),
                num_waiting_blocks=sum(j.num_sealed for j in self._journals.values()),
                num_appended_rows=self._appended,
                num_repeated_batches=self._repeated,
                num_sent_rows=self._sent,
                num_refused_rows=self._refused,
                last_error=self._last_error,
            )

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Send what can be sent in time and leave the rest on disk for the next to open it."""
        self.flush(timeout_s=timeout_s)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        for journal in self._journals.values():
            journal.close()
        os.close(self._lock_descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check_instants(self, rows: MetricRows) -> None:
        now = self._now()
        first, last = rows.timestamp.min(), rows.timestamp.max()
        least = _to_datetime64(now - self._limits.max_behind)
        most = _to_datetime64(now + self._limits.max_ahead)
        if first < least or last > most:
            raise InputError(
                f"Rows of {rows.table.value} are from {first} to {last}, outside {least} to"
                f" {most}.",
                remedy="Leave those outside out, and set the clock that stamped them.",
                field="timestamp",
            )

    def _wait_for_room(self, size: int) -> None:
        deadline = time.monotonic() + self._limits.full_wait_s
        while self._get_waiting_bytes() + size > self._limits.max_waiting_bytes:
            self._num_flushing += 1
            self._changed.notify_all()
            is_told = self._changed.wait(max(0.0, deadline - time.monotonic()))
            self._num_flushing -= 1
            if not is_told and time.monotonic() >= deadline:
                raise StoreFullError(
                    f"{self._get_waiting_bytes()} bytes of series wait for the metric store, the"
                    f" most that may. {self._last_error or ''}".strip(),
                    remedy="Send the batch again when the store answers; nothing of it was kept.",
                )

    def _get_waiting_bytes(self) -> int:
        return sum(journal.waiting_bytes for journal in self._journals.values())

    def _remember(self, token: bytes) -> None:
        self._tokens[token] = None
        if len(self._tokens) > self._limits.max_tokens:
            self._tokens.popitem(last=False)

    def _run(self) -> None:
        backoff_s, refusals = self._limits.first_backoff_s, 0
        while (found := self._wait_for_block()) is not None:
            table, number = found
            try:
                self._send(table, number)
            except StoreError as error:
                refusals += not isinstance(error, StoreAwayError)
                with self._changed:
                    self._last_error = str(error)
                    if refusals >= self._limits.max_refusals:
                        self._set_aside(table, number)
                        refusals = 0
                    elif not self._is_closing:
                        self._changed.wait_for(lambda: self._is_closing, timeout=backoff_s)
                backoff_s = min(2 * backoff_s, self._limits.max_backoff_s)
            else:
                backoff_s, refusals = self._limits.first_backoff_s, 0

    def _wait_for_block(self) -> tuple[MetricTable, int] | None:
        """The next block to send; None when the writer is closed."""
        with self._changed:
            while not self._is_closing:
                wait_s = self._seal_what_is_due()
                for table, journal in self._journals.items():
                    number = journal.find_sealed()
                    if number is not None:
                        return table, number
                self._changed.wait(wait_s)
        return None

    def _seal_what_is_due(self) -> float | None:
        """Seal the tables whose rows are many or old; how long until the next is old."""
        waits = []
        for table, opened_at in list(self._opened_at.items()):
            journal = self._journals[table]
            wait_s = opened_at + self._limits.max_age_s - time.monotonic()
            is_due = wait_s <= 0 or journal.open_rows >= self._limits.max_rows
            if is_due or self._num_flushing or not journal.open_rows:
                journal.seal()
                del self._opened_at[table]
            else:
                waits.append(wait_s)
        return min(waits, default=None)

    def _send(self, table: MetricTable, number: int) -> None:
        journal = self._journals[table]
        frames, is_whole = journal.read_block(number)
        if not is_whole:
            raise StoreError(
                f"Block {number} in {journal.directory} was altered on disk.",
                remedy="Check the disk; what can be read of it is set aside.",
            )
        rows = pa.concat_tables([_decode(frame.payload) for frame in frames])
        self._sink.insert_table(table, rows, token=f"{journal.id}-{number}")
        with self._changed:
            journal.mark_sent(number, [frame.token for frame in frames])
            self._sent += rows.num_rows
            self._last_error = None
            self._changed.notify_all()

    def _set_aside(self, table: MetricTable, number: int) -> None:
        journal = self._journals[table]
        self._refused += sum(frame.num_rows for frame in journal.read_block(number)[0])
        path = journal.set_aside(number)
        _LOG.error(
            "Rows that the metric store refuses were set aside in %s: %s", path, self._last_error
        )
        self._changed.notify_all()


def _take(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConflictError(
            f"Another process writes series from {directory}.",
            remedy="End it, or give this one a directory of its own.",
        ) from error
    return descriptor


def _digest(table: MetricTable, token: str) -> bytes:
    return hashlib.blake2b(f"{table.value}:{token}".encode(), digest_size=16).digest()


def _encode(table: pa.Table) -> memoryview:
    assert table.num_rows <= MAX_ROWS  # noqa: S101 - MetricRows checked
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return memoryview(stream.getvalue())


def _decode(payload: memoryview) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        return reader.read_all()


def _to_datetime64(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "ms")
