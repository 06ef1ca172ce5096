"""The wiring of collection: targets to the metric store, through the buffer on disk."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optiinfra.domain.errors import InputError
from optiinfra.stores import open_metric_writer

if TYPE_CHECKING:
    from uuid import UUID

    from optiinfra.adapters.collectors.collecting import CollectionPace
    from optiinfra.adapters.collectors.scraper import TargetState
    from optiinfra.adapters.collectors.target_list import TargetSources
    from optiinfra.adapters.ingestion import BufferedWriter, IngestionState
    from optiinfra.settings import Settings

FLUSH_S = 15.0  # at the end, before what waits is left on disk
AWAY_S = 3.0  # the same, where the store does not answer
MAX_DURATION_S = 366 * 86_400.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class CollectionRequest:
    """What `optiinfra collect` was asked. `duration_s` None: until SIGTERM or Ctrl-C.

    `name` tells collecting processes of one data directory apart.
    """

    sources: TargetSources
    pace: CollectionPace
    is_once: bool = False
    duration_s: float | None = None
    name: str = "collect"


@dataclass(frozen=True)
class CollectionOutcome:
    """What a collection did; `problems` are samples that were not kept and targets not listed."""

    customer_id: UUID
    states: tuple[TargetState, ...]
    num_kept: int
    problems: dict[str, int]
    ingestion: IngestionState


def run_collection(request: CollectionRequest, *, settings: Settings) -> CollectionOutcome:
    """Read targets into the metric store until the time is over, or SIGTERM or Ctrl-C comes.

    What was read is on disk then, and sent where the store takes it in time.

    Raises:
        InputError: the targets cannot be used.
        ConflictError: another process collects under this name.
    """
    from optiinfra.adapters.collectors.target_list import TargetList

    _check(request)
    targets = TargetList(request.sources)
    with open_metric_writer(settings, name=request.name, close_s=0.0) as writer:
        states, num_kept, problems = asyncio.run(_collect(request, targets, writer))
        flush_in_time(writer)
        return CollectionOutcome(
            targets.customer_id, states, num_kept, problems, writer.get_state()
        )


def flush_in_time(writer: BufferedWriter) -> bool:
    """Send what waits; False where the store is away, or takes too long: it stays on disk."""
    started = time.monotonic()
    while not writer.flush(timeout_s=0.5):
        elapsed_s = time.monotonic() - started
        is_away = writer.get_state().last_error is not None and elapsed_s > AWAY_S
        if is_away or elapsed_s > FLUSH_S:
            return False
    return True


def _check(request: CollectionRequest) -> None:
    if not _NAME.fullmatch(request.name):
        raise InputError(
            f"{request.name!r} cannot be the name of a collection.",
            remedy="Use up to 40 lower-case letters, digits and dashes.",
            field="--name",
        )
    if request.sources.path is None and not request.sources.addresses:
        raise InputError(
            "There is nothing to collect.",
            remedy="Give a file with --targets, or addresses with --target.",
        )
    if request.duration_s is not None and not 0 < request.duration_s <= MAX_DURATION_S:
        raise InputError(
            f"{request.duration_s:,g} s is no time to collect for.",
            remedy="Give more than 0 and at most 366 days, or nothing: until it is told to stop.",
            field="--for",
        )


async def _collect(
    request: CollectionRequest, targets: Any, writer: BufferedWriter
) -> tuple[tuple[TargetState, ...], int, dict[str, int]]:
    from optiinfra.adapters.collectors.collecting import Collection
    from optiinfra.adapters.ingestion.sample_sink import SampleSink

    sink = SampleSink(writer)

    def describe() -> dict[str, Any]:
        state = writer.get_state()
        return {
            "num_kept_samples": sink.num_kept,
            "num_lost_samples": sum(sink.problems.values()),
            "num_sent_rows": state.num_sent_rows,
            "waiting_bytes": state.waiting_bytes,
            "store_error": state.last_error,
        }

    collection = Collection(targets, sink, time.time_ns, pace=request.pace, describe=describe)
    if request.is_once:
        await collection.run_once()
    else:
        with stopped_by_signals(request.duration_s) as stop:
            await collection.run(stop)
    problems: Counter[str] = Counter()
    problems.update({problem.value: n for problem, n in sink.problems.items()})
    problems.update({problem.value: n for problem, n in targets.problems.items()})
    return tuple(collection.scraper.states), sink.num_kept, dict(+problems)


@contextmanager
def stopped_by_signals(duration_s: float | None) -> Iterator[asyncio.Event]:
    """An event that is set after the time, or by the first SIGTERM or SIGINT.

    The second signal does what it did before, so that nobody has to wait for the end.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    timer = None if duration_s is None else loop.call_later(duration_s, stop.set)
    numbers = (signal.SIGTERM, signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in numbers} if is_main else {}

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        before.clear()

    def end() -> None:
        stop.set()
        restore()

    for number in before:
        loop.add_signal_handler(number, end)
    try:
        yield stop
    finally:
        restore()
        if timer is not None:
            timer.cancel()
