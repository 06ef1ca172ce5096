"""Where series are kept: ClickHouse, as a server or embedded."""

from __future__ import annotations

from typing import Protocol

from optiinfra.domain.metric_queries import MetricPoint, RangeQuery, Selection, Statistic
from optiinfra.domain.metric_tables import MetricRows


class MetricSink(Protocol):
    """What takes rows."""

    def insert(self, rows: MetricRows, *, token: str) -> None:
        """Keep the rows, once however often they come with this token. Raises StoreError."""


class MetricStore(MetricSink, Protocol):
    """Rows in, answers out. A customer is part of every question. Raises StoreError."""

    def list_range(self, query: RangeQuery) -> list[MetricPoint]:
        """Points in order of time, then group; buckets without samples are left out."""

    def list_latest(
        self, selection: Selection, *, group_by: tuple[str, ...] = ()
    ) -> list[MetricPoint]:
        """The last measured value of each group in the selection, at its own instant."""

    def find_quantile(self, selection: Selection, *, level: float) -> float | None:
        """A quantile of all samples, `level` in 0..1; None where there are none."""

    def list_top(
        self, selection: Selection, *, dimension: str, statistic: Statistic, num_groups: int
    ) -> list[MetricPoint]:
        """The groups whose statistic over the whole selection is highest, highest first."""
