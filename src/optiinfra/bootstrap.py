"""The wiring: settings and paths in, adapters built, the main job run, its answer kept.

The command line and Python callers use the same functions. Only here are the clock, the environment
and the outside met by the pure core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import Analysis
from optiinfra.domain.errors import InputError
from optiinfra.domain.fleet import Fleet
from optiinfra.domain.trace import Trace

if TYPE_CHECKING:
    from uuid import UUID

    from optiinfra.adapters.collectors.watching import Round, WatchRequest
    from optiinfra.adapters.price_book import PriceBook
    from optiinfra.adapters.traces.generation import GeneratedTrace, TraceRequest
    from optiinfra.database.engine import Database
    from optiinfra.domain.measurement import Measurement
    from optiinfra.orchestrator.analysis import Progress
    from optiinfra.orchestrator.records import RecommendationRow
    from optiinfra.orchestrator.remembering import Rebuilt
    from optiinfra.ports.event_bus import EventBus
    from optiinfra.ports.outcome_memory import OutcomeMemory
    from optiinfra.settings import Settings

MAX_WORKERS = 64
DEFAULT_RANGE = "-1h"  # of Prometheus, when a measurement is asked for without --start


@dataclass(frozen=True)
class AnalysisRequest:
    """What `optiinfra analyze` was asked; `trace` or `prometheus` says where the traffic is."""

    fleet: Path
    trace: Path | None = None
    trace_format: str | None = None
    prometheus: str | None = None
    start: str | None = None
    end: str | None = None
    served_model: str | None = None  # which model's series, where a Prometheus has several
    measured: str | None = None  # a file, or the URL of a Prometheus
    seed: int = 0
    report: Path | None = None
    price_book: Path | None = None
    num_workers: int | None = None
    is_stored: bool = True


@dataclass(frozen=True)
class AnalysisOutcome:
    """The answer, the stored ids by evidence digest, and where the report lies, if any."""

    analysis: Analysis
    recommendation_ids: dict[str, UUID]
    report: Path | None


def run_analysis(
    request: AnalysisRequest, *, settings: Settings, progress: Progress | None = None
) -> AnalysisOutcome:
    """Read, analyse, store, and write the report; nothing is kept when any of it fails.

    When prediction and measurement disagree nothing is kept either: the outcome says so.
    """
    started_at = datetime.now(UTC)
    book = _read_price_book(request.price_book)
    fleet, traces, measurements = _read_inputs(request, book, now=started_at)
    if request.report is not None:
        from optiinfra.report.file import check_report_path

        check_report_path(request.report)
    if not request.is_stored:
        analysis = _compute(fleet, traces, measurements, request, book, progress=progress)
        if request.report is not None and not analysis.is_in_disagreement:
            _write_report(request.report, analysis, {}, now=datetime.now(UTC))
            return AnalysisOutcome(analysis, {}, request.report)
        return AnalysisOutcome(analysis, {}, None)
    with open_database(settings) as database:
        read_at = datetime.now(UTC)
        analysis = _compute(fleet, traces, measurements, request, book, progress=progress)
        if analysis.is_in_disagreement:
            return AnalysisOutcome(analysis, {}, None)
        from optiinfra.orchestrator.records import record

        times = {"read_inputs": (started_at, read_at), "simulate": (read_at, datetime.now(UTC))}
        ids = record(database, fleet, analysis, times=times, report=request.report)
    return AnalysisOutcome(analysis, ids, request.report)


def analyze(
    fleet: Fleet | Path | str,
    trace: Trace | Path | str,
    *,
    measured: Measurement | Path | str | None = None,
    seed: int = 0,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """The Analysis of a fleet on a trace, both values or files. Nothing is stored or written.

    Raises InputError for what cannot be used, SLOInfeasibleError where no candidate keeps the SLO.
    """
    from optiinfra.adapters.fleet_file import read_fleet
    from optiinfra.adapters.traces import read_traces

    book = _read_price_book(None)
    if not isinstance(fleet, Fleet):
        fleet = read_fleet(Path(fleet), price_book=book)
    traces: Mapping[str | None, Trace] = (
        {None: trace} if isinstance(trace, Trace) else read_traces(Path(trace))
    )
    measurements: dict[str, Measurement] = {}
    if isinstance(measured, (str, Path)):
        measurements = _read_measured(str(measured), fleet, None, now=datetime.now(UTC))
    elif measured is not None:
        measurements = {_get_only_deployment(fleet, "measured"): measured}
    request = AnalysisRequest(fleet=Path(fleet.source), seed=seed, num_workers=num_workers)
    return _compute(fleet, traces, measurements, request, book, progress=progress)


@contextmanager
def open_server(settings: Settings) -> Iterator[str]:
    """The URL of the configured PostgreSQL, or of the embedded one, whatever its schema is."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    from optiinfra.embedded.postgres import running

    with running(settings.data_dir / "postgres", bin_dir=settings.postgres_bin_dir) as url:
        yield url


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The configured PostgreSQL, or the embedded one, at our schema. Raises DatabaseError."""
    from optiinfra.database.engine import Database
    from optiinfra.database.migrate import require_schema

    with open_server(settings) as url:
        require_schema(url)
        with Database(url) as database:
            yield database


@contextmanager
def open_event_bus(settings: Settings) -> Iterator[EventBus]:
    """The event bus in the configured Redis, or else in PostgreSQL at our schema."""
    if settings.redis_url is not None:
        from optiinfra.adapters.redis_bus import RedisEventBus

        with closing(RedisEventBus(settings.redis_url.get_secret_value())) as redis_bus:
            yield redis_bus
        return
    from optiinfra.database.event_bus import PostgresEventBus
    from optiinfra.database.migrate import require_schema

    with open_server(settings) as url:
        require_schema(url)
        with closing(PostgresEventBus(url)) as bus:
            yield bus


@contextmanager
def open_memory(settings: Settings) -> Iterator[OutcomeMemory]:
    """The outcome memory: in the configured Qdrant, or that of the living owner, or in here.

    Raises StoreError.
    """
    from optiinfra.adapters.qdrant import open_embedded_memory, open_server_memory
    from optiinfra.embedded.owner_state import find_owner_state

    owner = find_owner_state(settings.data_dir)
    if settings.qdrant_url is not None:
        secret = settings.qdrant_api_key
        key = None if secret is None else secret.get_secret_value()
        opened = open_server_memory(settings.qdrant_url.get_secret_value(), api_key=key)
    elif owner is not None and owner.qdrant_url is not None:
        opened = open_server_memory(owner.qdrant_url, api_key=owner.qdrant_api_key)
    else:
        opened = open_embedded_memory(settings.data_dir / "memory")
    with closing(opened) as memory:
        yield memory


def rebuild_memory(*, settings: Settings) -> Rebuilt:
    """Make the outcome memory again from PostgreSQL; how many memories that were."""
    from optiinfra.orchestrator.remembering import rebuild

    with open_database(settings) as database, open_memory(settings) as memory:
        return rebuild(database, memory)


def find_client_programs(settings: Settings) -> Path:
    """The directory of pg_dump, pg_restore and psql. Raises DatabaseError where there is none."""
    from optiinfra.embedded.binaries import find_binaries

    return find_binaries(settings.postgres_bin_dir).bin_dir


def list_recommendations(
    *, settings: Settings, status: str | None, limit: int
) -> list[RecommendationRow]:
    """Stored recommendations, the latest first."""
    from optiinfra.orchestrator import records

    with open_database(settings) as database:
        return records.list_rows(database, status=status, limit=limit)


def get_recommendation(*, settings: Settings, recommendation_id: str) -> RecommendationRow:
    """One stored recommendation by its id or a unique beginning of it."""
    from optiinfra.orchestrator import records

    with open_database(settings) as database:
        return records.get_row(database, recommendation_id)


def decide_recommendation(
    *,
    settings: Settings,
    recommendation_id: str,
    by: str,
    is_approved: bool,
    comment: str | None,
) -> RecommendationRow:
    """Approve or reject; raises ConflictError when it was decided before."""
    from optiinfra.orchestrator import records

    with open_database(settings) as database:
        return records.decide(
            database,
            recommendation_id,
            by=by,
            is_approved=is_approved,
            comment=comment,
            now=datetime.now(UTC),
        )


def generate_trace(request: TraceRequest) -> GeneratedTrace:
    """Generate a trace as asked and write it. Raises InputError; nothing is written then."""
    from optiinfra.adapters.traces.generation import generate_trace as generate

    return generate(request)


def watch_targets(request: WatchRequest) -> Iterator[Round]:
    """What the targets of a file say, round by round; InputError where the file cannot be used."""
    from optiinfra.adapters.collectors.watching import watch_in_turn

    return watch_in_turn(request, time.time_ns)


def _compute(
    fleet: Fleet,
    traces: Mapping[str | None, Trace],
    measurements: Mapping[str, Measurement],
    request: AnalysisRequest,
    book: PriceBook,
    *,
    progress: Progress | None,
) -> Analysis:
    """The pure job on a pool of threads; the compiled simulator lets go of the interpreter."""
    from optiinfra.orchestrator.analysis import analyze as analyze_values

    workers = request.num_workers or _count_cores()
    with ThreadPoolExecutor(max(1, min(workers, MAX_WORKERS))) as pool:
        try:
            return analyze_values(
                fleet,
                traces,
                measurements,
                seed=request.seed,
                price_notes=book.describe_used(fleet, datetime.now(UTC).date()),
                mapper=pool.map,
                progress=progress,
            )
        except InputError as error:
            from optiinfra.adapters.fleet_file import locate_error

            locate_error(error, request.fleet)
            raise


def _count_cores() -> int:
    """Cores that this process may use; all of them where the platform does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_price_book(path: Path | None) -> PriceBook:
    from optiinfra.adapters.price_book import read_price_book

    return read_price_book(path)


def _read_inputs(
    request: AnalysisRequest, book: PriceBook, *, now: datetime
) -> tuple[Fleet, Mapping[str | None, Trace], dict[str, Measurement]]:
    """Fleet, traffic and measurements. Raises InputError naming what cannot be used."""
    from optiinfra.adapters.fleet_file import read_fleet
    from optiinfra.adapters.traces import TraceFormat, read_traces

    fleet = read_fleet(request.fleet, price_book=book)
    traces: Mapping[str | None, Trace]
    if request.trace is not None:
        chosen = request.trace_format
        if chosen is not None and chosen not in set(TraceFormat):
            raise InputError(
                f"{chosen!r} is not a format of traces.",
                remedy=f"Use one of {', '.join(TraceFormat)}, or leave it out.",
                field="--format",
            )
        trace_format = None if chosen is None else TraceFormat(chosen)
        traces = read_traces(request.trace, trace_format=trace_format)
    elif request.prometheus is not None:
        traces = {None: _fetch_traffic(request, fleet, now=now)}
    else:
        raise InputError(
            "there is no traffic to analyse.",
            remedy="Give a file with --trace or a server with --prometheus.",
            field="--trace",
        )
    measurements: dict[str, Measurement] = {}
    if request.measured is not None:
        measurements = _read_measured(request.measured, fleet, request, now=now)
    return fleet, traces, measurements


def _fetch_traffic(request: AnalysisRequest, fleet: Fleet, *, now: datetime) -> Trace:
    from optiinfra.adapters.prometheus import fetch_traffic, read_instant

    assert request.prometheus is not None  # noqa: S101 - the caller checked
    engines = {deployment.arguments.engine.value for deployment in fleet.deployments}
    return fetch_traffic(
        request.prometheus,
        read_instant(request.start or DEFAULT_RANGE, now=now, field="--start"),
        read_instant(request.end or "now", now=now, field="--end"),
        seed=request.seed,
        model_name=request.served_model,
        engine=engines.pop() if len(engines) == 1 else None,
    )


def _read_measured(
    source: str, fleet: Fleet, request: AnalysisRequest | None, *, now: datetime
) -> dict[str, Measurement]:
    """What today's fleet was measured to do, under the name of its only deployment."""
    name = _get_only_deployment(fleet, "--measured")
    if source.startswith(("http://", "https://")):
        from optiinfra.adapters.prometheus import fetch_measurement, read_instant

        start = (request.start if request else None) or DEFAULT_RANGE
        end = (request.end if request else None) or "now"
        return {
            name: fetch_measurement(
                source,
                read_instant(start, now=now, field="--start"),
                read_instant(end, now=now, field="--end"),
                model_name=request.served_model if request else None,
                engine=fleet.deployments[0].arguments.engine.value,
            )
        }
    from optiinfra.adapters.bench_reports import read_measurement

    return {name: read_measurement(Path(source))}


def _get_only_deployment(fleet: Fleet, field: str) -> str:
    if len(fleet.deployments) != 1:
        raise InputError(
            f"a measurement belongs to one deployment, the fleet has {len(fleet.deployments)}.",
            remedy="Analyse the deployments one fleet file at a time.",
            file=fleet.source,
            field=field,
        )
    return fleet.deployments[0].name


def _write_report(
    path: Path, analysis: Analysis, ids: Mapping[str, UUID], *, now: datetime
) -> None:
    from optiinfra.report.file import write_report

    write_report(path, analysis, ids, now=now)
