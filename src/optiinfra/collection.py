"""The wiring of collection: targets to the metric store, through the buffer on disk."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiinfra.domain.errors import InputError, PackageMissingError
from optiinfra.stores import flush_in_time, open_metric_writer

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager
    from uuid import UUID

    from optiinfra.adapters.collectors.collecting import Collection, CollectionPace
    from optiinfra.adapters.collectors.scraper import TargetState
    from optiinfra.adapters.collectors.target_list import TargetList, TargetSources
    from optiinfra.adapters.ingestion import BufferedWriter, IngestionState
    from optiinfra.adapters.ingestion.sample_sink import SampleSink
    from optiinfra.adapters.receiving.intake import Intake
    from optiinfra.settings import Settings

_LOG = logging.getLogger(__name__)
MAX_DURATION_S = 366 * 86_400.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class CollectionRequest:
    """What `optiinfra collect` was asked. `duration_s` None: until SIGTERM or Ctrl-C.

    `name` tells collecting processes of one data directory apart. `listen` is host and port for
    what others send and for our own metrics; port 0: the one of before, or any that is free.
    """

    sources: TargetSources
    pace: CollectionPace
    is_once: bool = False
    duration_s: float | None = None
    name: str = "collect"
    listen: tuple[str, int] | None = None


@dataclass(frozen=True)
class CollectionOutcome:
    """What a collection did; `problems` are samples that were not kept and targets not listed."""

    customer_id: UUID
    states: tuple[TargetState, ...]
    num_kept: int
    problems: dict[str, int]
    received: dict[str, dict[str, int]]  # requests of others by kind and outcome
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
        job = _Job(request, targets, writer)
        with job.receive(settings):
            asyncio.run(job.collect())
        flush_in_time(writer)
        return job.describe()


def get_receive_token(settings: Settings) -> str:
    """What senders have to show: as configured, or made once and kept in the data directory."""
    from optiinfra.embedded.owner_state import write_private

    if settings.receive_token is not None:
        return settings.receive_token.get_secret_value()
    path = get_token_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="ascii").strip()


def get_token_file(settings: Settings) -> Path:
    """Where the token lies that we made."""
    return settings.data_dir / "ingestion" / "token"


def _check(request: CollectionRequest) -> None:
    if not _NAME.fullmatch(request.name):
        raise InputError(
            f"{request.name!r} cannot be the name of a collection.",
            remedy="Use up to 40 lower-case letters, digits and dashes.",
            field="--name",
        )
    has_targets = request.sources.path is not None or request.sources.addresses
    if not has_targets and (request.is_once or request.listen is None):
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


class _Job:
    """One collection: what is wired together, for as long as the writer is open."""

    def __init__(
        self, request: CollectionRequest, targets: TargetList, writer: BufferedWriter
    ) -> None:
        from optiinfra.adapters.own_metrics import IngestionMetrics, make_registry

        self._request = request
        self._targets = targets
        self._writer = writer
        self._intakes: list[Intake] = []
        self._registry = make_registry()
        self._registry.register(IngestionMetrics(writer))
        self._states: tuple[TargetState, ...] = ()
        self._num_kept = 0
        self._problems: Counter[str] = Counter()

    def receive(self, settings: Settings) -> AbstractContextManager[object]:
        """Serve what others send and our own metrics, where that was asked for."""
        if self._request.listen is None or self._request.is_once:
            return nullcontext()
        from optiinfra.adapters.collectors.receivers import (
            make_otlp_receiver,
            make_remote_write_receiver,
        )
        from optiinfra.adapters.own_metrics import ReceivingMetrics
        from optiinfra.adapters.receiving.intake import Intake, Outcome

        refused: Counter[Outcome] = Counter()
        customer_id = self._targets.customer_id
        for kind, make in (
            ("remote_write", make_remote_write_receiver),
            ("otlp", make_otlp_receiver),
        ):
            self._intakes.append(Intake(kind, make(customer_id), self._writer, time.time_ns))
        self._registry.register(ReceivingMetrics(self._intakes, refused))
        return self._serve(settings, refused)

    def _serve(self, settings: Settings, refused: Counter[Any]) -> AbstractContextManager[object]:
        try:
            from optiinfra.adapters.receiving.http_routes import make_app
            from optiinfra.adapters.receiving.http_server import HTTPServer
            from optiinfra.adapters.receiving.own_page import make_route
        except ImportError as error:
            raise PackageMissingError("uvicorn", purpose="What others send") from error
        remote_write, otlp = self._intakes
        app = make_app(
            remote_write,
            otlp,
            token=get_receive_token(settings),
            refused=refused,
            routes=[make_route(self._registry)],
        )
        assert self._request.listen is not None  # noqa: S101 - the caller checked
        note = settings.data_dir / "ingestion" / self._request.name / "port"
        listener = _listen(self._request.listen, note)
        is_ours = settings.receive_token is None
        token_file = str(get_token_file(settings)) if is_ours else "OPTIINFRA_RECEIVE_TOKEN"
        about = {"url": _describe(listener), "token": f"see {token_file}"}
        _LOG.info("receiving_started", extra=about)
        return HTTPServer(app, listener)

    async def collect(self) -> None:
        """Read the targets for as long as was asked for."""
        from optiinfra.adapters.collectors.collecting import Collection
        from optiinfra.adapters.ingestion.sample_sink import SampleSink
        from optiinfra.adapters.own_metrics import CollectionMetrics, ScraperMetrics

        sink = SampleSink(self._writer)
        collection = Collection(
            self._targets,
            sink,
            time.time_ns,
            pace=self._request.pace,
            describe=lambda: self._count(sink),
        )
        self._registry.register(ScraperMetrics(collection.scraper, collection.count_stale))
        self._registry.register(CollectionMetrics(self._targets, sink))
        try:
            await self._run(collection)
        finally:
            self._num_kept = sink.num_kept
            self._states = tuple(collection.scraper.states)
            self._problems.update({reason.value: n for reason, n in sink.problems.items()})
            found = self._targets.problems.items()
            self._problems.update({reason.value: n for reason, n in found})

    def describe(self) -> CollectionOutcome:
        """What was done."""
        return CollectionOutcome(
            self._targets.customer_id,
            self._states,
            self._num_kept,
            dict(+self._problems),
            {
                intake.kind: {outcome.value: n for outcome, n in intake.outcomes.items()}
                for intake in self._intakes
            },
            self._writer.get_state(),
        )

    async def _run(self, collection: Collection) -> None:
        if self._request.is_once:
            await collection.run_once()
            return
        with stopped_by_signals(self._request.duration_s) as stop:
            await collection.run(stop)

    def _count(self, sink: SampleSink) -> dict[str, Any]:
        state = self._writer.get_state()
        requests = sum((intake.outcomes for intake in self._intakes), Counter[Any]())
        return {
            "num_kept_samples": sink.num_kept,
            "num_lost_samples": sum(sink.problems.values()),
            "num_requests": requests.total(),
            "num_sent_rows": state.num_sent_rows,
            "waiting_bytes": state.waiting_bytes,
            "store_error": state.last_error,
        }


def _listen(place: tuple[str, int], note: Path) -> socket.socket:
    """A listening socket; of port 0, on the port of before where that is free."""
    from optiinfra.adapters.receiving.http_server import listen

    host, port = place
    text = note.read_text(encoding="ascii") if port == 0 and note.exists() else ""
    if text.isdigit():
        try:
            return listen(host, int(text))
        except InputError:
            pass
    listener = listen(host, port)
    note.write_text(str(listener.getsockname()[1]), encoding="ascii")
    return listener


def _describe(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
