"""The wiring of imports: what others have recorded to the metric store, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from optiinfra.domain.errors import InputError, StoreFullError
from optiinfra.domain.metric_tables import MetricTable
from optiinfra.stores import flush_in_time, open_metric_writer

if TYPE_CHECKING:
    from uuid import UUID

    from optiinfra.adapters.collectors.prometheus_import import ImportSource, StepRange
    from optiinfra.adapters.ingestion import BufferedWriter, IngestionState
    from optiinfra.adapters.ingestion.import_ledger import ImportLedger
    from optiinfra.adapters.prometheus_client import Prometheus
    from optiinfra.domain.metric_tables import MetricRows
    from optiinfra.domain.samples import SampleBatch
    from optiinfra.domain.trace import Trace
    from optiinfra.settings import Settings

Progress = Callable[[int, int], None]  # steps that are done, of how many
NAME, TRACE_NAME = "import-prometheus", "import-trace"
REQUESTS_OF_PAGE = 100_000
SETTLED = timedelta(minutes=1)  # younger steps may still change in Prometheus


@dataclass(frozen=True)
class PrometheusImport:
    """What `optiinfra import-prometheus` was asked; instants as people write them."""

    url: str
    customer_id: UUID
    start: str
    end: str = "now"
    step_s: float = 15.0
    matchers: str = ""


@dataclass
class ImportOutcome:
    """What an import did, and what of the range had been imported before."""

    start: datetime
    end: datetime
    num_steps: int = 0
    num_new_steps: int = 0
    num_samples: int = 0
    num_left_out: int = 0
    num_targets: int = 0
    ingestion: IngestionState | None = None


def import_prometheus(
    request: PrometheusImport, *, settings: Settings, progress: Progress | None = None
) -> ImportOutcome:
    """Read a range of a Prometheus into the metric store; steps that were imported are left out.

    May be stopped at any instant and run again: it goes on where it was, and nothing counts twice.

    Raises:
        InputError: the range cannot be used, or Prometheus does not answer.
        StoreFullError: the metric store is away and the buffer is full.
        ConflictError: another process imports into this data directory.
    """
    from optiinfra.adapters.collectors.prometheus_import import ImportSource, find_steps
    from optiinfra.adapters.ingestion.import_ledger import ImportIdentity, ImportLedger
    from optiinfra.adapters.prometheus_client import Prometheus, make_http, make_url
    from optiinfra.adapters.prometheus_times import read_instant

    now = datetime.now(UTC)
    start = read_instant(request.start, now=now, field="--start")
    end = min(read_instant(request.end, now=now, field="--end"), now - SETTLED)
    source = ImportSource(request.customer_id, request.step_s, request.matchers)
    steps = find_steps(source, start, end)
    with (
        make_http() as http,
        open_metric_writer(settings, name=NAME, close_s=0.0) as writer,
    ):
        prometheus = Prometheus(make_url(request.url), http)
        identity = ImportIdentity(
            prometheus.name, str(request.customer_id), request.matchers, source.step_ms
        )
        directory = settings.data_dir / "ingestion" / NAME / "ledgers"
        ledger = ImportLedger(directory, identity)
        outcome = ImportOutcome(start, end, num_steps=len(steps))
        job = _Job(prometheus, source, ledger, writer, identity.key, outcome)
        job.run(steps, progress or (lambda _done, _total: None))
        flush_in_time(writer)
        outcome.ingestion = writer.get_state()
    return outcome


@dataclass
class _Job:
    prometheus: Prometheus
    source: ImportSource
    ledger: ImportLedger
    writer: BufferedWriter
    key: str
    outcome: ImportOutcome

    def run(self, steps: StepRange, progress: Progress) -> None:
        """Import what is missing of the steps, page by page."""
        from optiinfra.adapters.collectors.prometheus_import import StepRange, list_pages

        targets: set[str] = set()
        if self.ledger.begun is not None:  # by one who was killed: the same page, the same tokens
            targets |= self._import(StepRange(*self.ledger.begun))
        missing = [StepRange(*run) for run in self.ledger.list_missing(steps.first, steps.last)]
        num_done = len(steps) - sum(map(len, missing))
        progress(num_done, len(steps))
        for run in missing:
            for page in list_pages(run):
                targets |= self._import(page)
                num_done += len(page)
                progress(num_done, len(steps))
        self.outcome.num_targets = len(targets)

    def _import(self, page: StepRange) -> set[str]:
        from optiinfra.adapters.collectors.prometheus_import import import_page

        batches = list(import_page(self.prometheus, self.source, page))
        self.ledger.begin((page.first, page.last))
        targets: set[str] = set()
        for number, batch in enumerate(batches):
            targets |= {series.target for series in batch.series}
            self._keep(batch, f"{self.key}-{page.first}-{page.last}-{number}")
        self.ledger.end()
        self.outcome.num_new_steps += len(page)
        return targets

    def _keep(self, batch: SampleBatch, token: str) -> None:
        from optiinfra.adapters.ingestion.sample_rows import convert_samples

        converted = convert_samples(batch)
        self.outcome.num_left_out += converted.num_too_large + converted.num_too_long
        for number, rows in enumerate(converted.rows):
            if append(self.writer, rows, f"{token}-{number}") and rows.table is MetricTable.SAMPLES:
                self.outcome.num_samples += len(rows)


def append(writer: BufferedWriter, rows: MetricRows, token: str) -> bool:
    """Wait for a store that takes rows, however long; not for one that is away.

    Raises:
        StoreFullError: the buffer is full and the store is away.
    """
    while True:
        try:
            return writer.append(rows, token=token)
        except StoreFullError:
            if writer.get_state().last_error is not None:
                raise


@dataclass(frozen=True)
class TraceImport:
    """What `optiinfra import-trace` was asked; `deployment` where the file names none."""

    path: Path
    customer_id: UUID
    trace_format: str | None = None
    deployment: str | None = None
    model_name: str = ""
    start: str | None = None  # of the first request, where the file has no instants


@dataclass
class TraceImportOutcome:
    """What an import did; requests by deployment, and those that were there before."""

    num_requests: dict[str, int]
    num_new: int = 0
    ingestion: IngestionState | None = None


def import_trace(request: TraceImport, *, settings: Settings) -> TraceImportOutcome:
    """Read the requests of a trace file into the metric store, each once however often it is asked.

    Raises:
        InputError: the file cannot be used, is synthetic, or does not say when or for whom.
    """
    from optiinfra.adapters.traces import TraceFormat, read_traces

    if request.trace_format is not None and request.trace_format not in set(TraceFormat):
        raise InputError(
            f"{request.trace_format!r} is not a format of traces.",
            remedy=f"Use one of {', '.join(TraceFormat)}, or leave it out.",
            field="--format",
        )
    chosen = None if request.trace_format is None else TraceFormat(request.trace_format)
    traces = read_traces(request.path, trace_format=chosen)
    named = {_name_deployment(request, name): trace for name, trace in traces.items()}
    starts = {name: _find_start(request, trace) for name, trace in named.items()}
    outcome = TraceImportOutcome({name: trace.num_requests for name, trace in named.items()})
    with open_metric_writer(settings, name=TRACE_NAME, close_s=0.0) as writer:
        for name, trace in named.items():
            owner = (request.customer_id, name, request.model_name, starts[name])
            outcome.num_new += _keep_trace(trace, owner, writer, settings)
        flush_in_time(writer)
        outcome.ingestion = writer.get_state()
    return outcome


def _name_deployment(request: TraceImport, name: str | None) -> str:
    if (name is None) == (request.deployment is None):
        raise InputError(
            "the file does not name its deployment."
            if name is None
            else "the file names its deployments itself.",
            remedy="Give --deployment." if name is None else "Leave --deployment out.",
            file=request.path.name,
            field="--deployment",
        )
    return name or request.deployment or ""


def _find_start(request: TraceImport, trace: Trace) -> datetime:
    from optiinfra.adapters.prometheus_times import read_instant

    if trace.is_synthetic:
        raise InputError(
            "this trace is synthetic: nobody sent these requests.",
            remedy="Analyse it with `optiinfra analyze --trace`; the metric store holds what was"
            " measured.",
            file=request.path.name,
        )
    if request.start is not None:
        return read_instant(request.start, now=datetime.now(UTC), field="--start")
    if trace.started_at is None:
        raise InputError(
            "the file does not say when its first request came.",
            remedy="Give --start, as 2026-01-31T08:00:00Z.",
            file=request.path.name,
            field="--start",
        )
    return trace.started_at


def _keep_trace(
    trace: Trace,
    owner: tuple[UUID, str, str, datetime],
    writer: BufferedWriter,
    settings: Settings,
) -> int:
    """How many requests are new."""
    from optiinfra.adapters.ingestion.import_ledger import ImportIdentity, ImportLedger
    from optiinfra.adapters.ingestion.trace_rows import TraceOwner, make_trace_rows

    whose = TraceOwner(*owner)
    source = f"trace {trace.digest} {whose.deployment} {whose.started_at.isoformat()}"
    identity = ImportIdentity(source, str(whose.customer_id), whose.model_name, 0)
    ledger = ImportLedger(settings.data_dir / "ingestion" / TRACE_NAME / "ledgers", identity)
    num_new = 0
    for first, last in list(ledger.list_missing(0, trace.num_requests - 1)):
        for begin in range(first, last + 1, REQUESTS_OF_PAGE):
            end = min(begin + REQUESTS_OF_PAGE - 1, last)
            rows = make_trace_rows(trace, whose, first=begin, last=end)
            ledger.begin((begin, end))
            append(writer, rows, f"{identity.key}-{begin}-{end}")
            ledger.end()
            num_new += len(rows)
    return num_new
