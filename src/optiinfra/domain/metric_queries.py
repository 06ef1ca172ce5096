"""What can be asked of the metric store. A customer is part of every question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from optiinfra.domain.errors import InputError
from optiinfra.domain.metric_tables import SCHEMAS, ColumnKind, MetricTable, TableSchema

MAX_POINTS = 100_000
MAX_GROUPS = 10_000


class Statistic(StrEnum):
    """What becomes of the samples of a bucket; quantiles are within 1 % of the value."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    P999 = "p999"


QUANTILE_LEVELS: Mapping[Statistic, float] = {
    Statistic.P50: 0.5,
    Statistic.P90: 0.9,
    Statistic.P95: 0.95,
    Statistic.P99: 0.99,
    Statistic.P999: 0.999,
}


class Resolution(StrEnum):
    """How long a bucket is; minutes are worked out from raw rows, the others from rollups."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    TOTAL = "total"  # one bucket, of the finest rollup that the range is aligned to


BUCKETS: Mapping[Resolution, timedelta] = {
    Resolution.MINUTE: timedelta(minutes=1),
    Resolution.HOUR: timedelta(hours=1),
    Resolution.DAY: timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Samples of a measure of a customer in [start, end) whose dimensions equal `where`."""

    customer_id: UUID
    table: MetricTable
    measure: str
    start: datetime
    end: datetime
    where: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schema = SCHEMAS[self.table]
        if self.measure not in schema.measures:
            raise _refuse(self.table, self.measure, schema.measures)
        for name, value in self.where.items():
            if name not in schema.dimensions:
                raise _refuse(self.table, name, schema.dimensions)
            is_text = schema.dimensions[name] is ColumnKind.TEXT
            if is_text is not isinstance(value, str):
                raise InputError(
                    f"`{name}` of {self.table.value} cannot be compared with {value!r}.",
                    remedy=f"Give {'a text' if is_text else 'a number'}.",
                )
        for instant in (self.start, self.end):
            if instant.tzinfo is None:
                raise InputError(f"{instant} has no time zone.", remedy="Give an instant in UTC.")
        if self.start >= self.end:
            raise InputError(
                f"There is nothing between {self.start} and {self.end}.",
                remedy="Give a start before the end.",
            )

    @property
    def schema(self) -> TableSchema:
        """Of the table."""
        return SCHEMAS[self.table]

    def is_aligned(self, bucket: timedelta) -> bool:
        """Whether start and end lie on edges of buckets."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return all(not (instant - epoch) % bucket for instant in (self.start, self.end))


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """A statistic by bucket of time and by group. At most `limit` points, or it is refused."""

    selection: Selection
    statistic: Statistic = Statistic.MEAN
    resolution: Resolution = Resolution.HOUR
    group_by: tuple[str, ...] = ()
    limit: int = MAX_POINTS

    def __post_init__(self) -> None:
        for name in self.group_by:
            if name not in self.selection.schema.dimensions:
                raise _refuse(self.selection.table, name, self.selection.schema.dimensions)
        if not 1 <= self.limit <= MAX_POINTS:
            raise InputError(
                f"{self.limit} points cannot be asked for.", remedy=f"Ask for 1 to {MAX_POINTS}."
            )
        bucket = BUCKETS.get(self.resolution)
        if bucket is not None and not self.selection.is_aligned(bucket):
            raise InputError(
                f"{self.selection.start} to {self.selection.end} does not lie on edges of a"
                f" {self.resolution.value}.",
                remedy="Round the range, or ask for minutes.",
            )


class MetricPoint(NamedTuple):
    """One bucket of one group: `at` is its start; `value` is None where nothing was measured.

    A named tuple, since an answer has up to tens of thousands of them.
    """

    at: datetime
    group: tuple[str | int, ...]
    value: float | None
    num_samples: int


def _refuse(table: MetricTable, name: str, known: Mapping[str, ColumnKind]) -> InputError:
    return InputError(
        f"{table.value} has no {name!r} to ask for.", remedy=f"Use one of {', '.join(known)}."
    )
