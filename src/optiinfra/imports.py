"""The wiring of imports: what others have recorded to the metric store, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from optiinfra.domain.errors import StoreFullError
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
    from optiinfra.settings import Settings

Progress = Callable[[int, int], None]  # steps that are done, of how many
NAME = "import-prometheus"
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
            if self._append(rows, f"{token}-{number}") and rows.table is MetricTable.SAMPLES:
                self.outcome.num_samples += len(rows)

    def _append(self, rows: MetricRows, token: str) -> bool:
        """Wait for a store that takes rows, however long; not for one that is away."""
        while True:
            try:
                return self.writer.append(rows, token=token)
            except StoreFullError:
                if self.writer.get_state().last_error is not None:
                    raise
