"""Requests of others on their way to the metric store: each counts once, or is refused whole."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from enum import StrEnum

from optiinfra.adapters.collectors.receivers import Receiver
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError
from optiinfra.adapters.ingestion.sample_rows import convert_samples
from optiinfra.adapters.ingestion.sample_sink import KeepingProblem, RowWriter
from optiinfra.domain.errors import StoreFullError
from optiinfra.domain.metric_tables import MetricRows, MetricTable

MAX_KEYS = 100_000  # of requests that were taken: 16 bytes each
MAX_PENDING_ROWS = 500_000  # of requests that wait to be sent again

Headers = Mapping[str, str]


class Outcome(StrEnum):
    """What became of a request."""

    TAKEN = "taken"
    REPEATED = "repeated"  # taken before: a sender that missed our answer
    BAD_CONTENT = "bad_content"
    TOO_LARGE = "too_large"
    UNSUPPORTED_TYPE = "unsupported_type"
    DEADLINE = "deadline"  # the body did not come in time
    BROKEN_OFF = "broken_off"  # the sender left before the end of its body
    BUSY = "busy"  # as many as may be were being read
    BUFFER_FULL = "buffer_full"
    UNEXPECTED = "unexpected"  # a fault of ours, which is logged
    UNAUTHORIZED = "unauthorized"


OUTCOMES = {
    Refusal.BAD_CONTENT: Outcome.BAD_CONTENT,
    Refusal.TOO_LARGE: Outcome.TOO_LARGE,
    Refusal.UNSUPPORTED_TYPE: Outcome.UNSUPPORTED_TYPE,
}


class Intake:
    """Takes the requests of one kind, one after the other, from any thread.

    A request is known by the digest of its bytes, since senders send the same ones again when they
    missed our answer. What a request means depends on those before it (rates, deltas), so one that
    could not be kept is not read a second time: its rows wait here until it comes again.
    """

    def __init__(
        self, kind: str, receiver: Receiver, writer: RowWriter, clock: Callable[[], int]
    ) -> None:
        self.kind = kind
        self.outcomes: Counter[Outcome] = Counter()
        self.problems: Counter[KeepingProblem] = Counter()
        self.num_kept_samples = 0
        self.receiver = receiver
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: OrderedDict[bytes, None] = OrderedDict()
        self._pending: OrderedDict[bytes, tuple[MetricRows, ...]] = OrderedDict()

    def take(self, body: bytes, headers: Headers) -> Outcome:
        """Have what was sent on disk: `TAKEN`, or `REPEATED` where it was before.

        Raises:
            RefusedError: it cannot be used.
            StoreFullError: too much waits already; nothing is lost if it is sent again.
        """
        key = hashlib.blake2b(b"\0".join((self.kind.encode(), body)), digest_size=16).digest()
        with self._lock:
            if key in self._taken:
                return Outcome.REPEATED
            rows = self._pending.pop(key, None)
            if rows is None:
                rows = self._read(body, headers)
            try:
                is_new = self._append(rows, key)
            except StoreFullError:
                self._keep_pending(key, rows)
                raise
            self._taken[key] = None
            if len(self._taken) > MAX_KEYS:
                self._taken.popitem(last=False)
        return Outcome.TAKEN if is_new or not rows else Outcome.REPEATED

    def _read(self, body: bytes, headers: Headers) -> tuple[MetricRows, ...]:
        converted = convert_samples(self.receiver.receive(body, headers, self._clock()))
        self.problems[KeepingProblem.TOO_LARGE] += converted.num_too_large
        self.problems[KeepingProblem.TOO_LONG] += converted.num_too_long
        return converted.rows

    def _append(self, rows: tuple[MetricRows, ...], key: bytes) -> bool:
        """Each part under a token of its own, by which it is known after a restart too."""
        number: Counter[MetricTable] = Counter()
        is_new = False
        for part in rows:
            token = f"{key.hex()}-{number[part.table]}"
            number[part.table] += 1
            if self._writer.append(part, token=token):
                is_new = True
                if part.table is MetricTable.SAMPLES:
                    self.num_kept_samples += len(part)
        return is_new

    def _keep_pending(self, key: bytes, rows: tuple[MetricRows, ...]) -> None:
        self._pending[key] = rows
        while sum(len(part) for each in self._pending.values() for part in each) > MAX_PENDING_ROWS:
            self._pending.popitem(last=False)


def find_outcome(error: RefusedError) -> Outcome:
    """The outcome that a refusal counts as."""
    return OUTCOMES[error.refusal]
