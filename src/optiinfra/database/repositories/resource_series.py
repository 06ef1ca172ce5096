"""Series of resource metrics: the latest of each, one in detail, and the hours of all."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.copy_encoding import EPOCH, TRAILER
from optiinfra.database.models import ResourceMetric
from optiinfra.domain.enums import ResourceType
from optiinfra.domain.errors import DatabaseError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SERIES: Final = 10_000  # a page
MAX_DAYS: Final = 400
HOURS_A_DAY: Final = 24
NUM_FIELDS: Final = 4
_LATEST: Final = text("""
    SELECT s.id, s.agent_id, s.instance_id, s.resource_type, s.metric_name, s.unit, l."timestamp",
           l.metric_value
    FROM resource_series s
    LEFT JOIN LATERAL (
        SELECT m."timestamp", m.metric_value FROM resource_metrics m
        WHERE m.series_id = s.id AND m.customer_id = s.customer_id
        ORDER BY m."timestamp" DESC LIMIT 1) l ON true
    WHERE s.customer_id = :customer AND s.id > :after
    ORDER BY s.id LIMIT :limit""")
_QUANTILE: Final = text("""
    SELECT percentile_cont(:level) WITHIN GROUP (ORDER BY metric_value) FROM resource_metrics
    WHERE customer_id = :customer AND series_id = :series
      AND "timestamp" >= :start AND "timestamp" < :end""")
# Days with a mark have samples that are not in the rollup: they are read from the samples.
_HOURS: Final = text("""
    WITH pending AS MATERIALIZED (
        SELECT DISTINCT day FROM resource_rollup_marks
        WHERE customer_id = :customer AND day >= :first AND day <= :last)
    SELECT (d.day + (h.number - 1) * interval '1 hour') AT TIME ZONE 'UTC', h.n, h.mean, h.lo,
           h.hi
    FROM resource_metric_days d
    CROSS JOIN LATERAL unnest(d.num_samples, d.value_mean, d.value_min, d.value_max)
        WITH ORDINALITY AS h (n, mean, lo, hi, number)
    WHERE d.customer_id = :customer AND d.series_id = :series AND d.day >= :first
      AND d.day <= :last AND h.n > 0 AND NOT EXISTS (SELECT FROM pending p WHERE p.day = d.day)
    UNION ALL
    SELECT date_trunc('hour', m."timestamp" AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
           count(*)::integer, avg(m.metric_value), min(m.metric_value), max(m.metric_value)
    FROM pending p JOIN resource_metrics m ON m.customer_id = :customer AND m.series_id = :series
         AND m."timestamp" >= p.day::timestamp AT TIME ZONE 'UTC'
         AND m."timestamp" < (p.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
    ORDER BY 1""")
_PENDING: Final = text("""
    SELECT DISTINCT day FROM resource_rollup_marks
    WHERE customer_id = :customer AND day >= :first AND day <= :last ORDER BY day""")
_ALL_HOURS: Final = """
    COPY (SELECT series_id, day, hours, value_mean FROM resource_metric_days
          WHERE customer_id = %s AND day >= %s AND day <= %s) TO STDOUT (FORMAT binary)"""
_SIGNATURE_BYTES: Final = 11
_EXTENSION: Final = struct.Struct(">ii")  # flags, and the length of what follows


@dataclass(frozen=True, slots=True)
class LatestSample:
    """A series with its latest sample; both None where it has none any more."""

    series_id: int
    agent_id: UUID
    instance_id: str
    resource_type: ResourceType
    metric_name: str
    unit: str
    at: datetime | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Hour:
    """What the samples of one hour, from `start` on, come to."""

    start: datetime
    num_samples: int
    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class HourlyMeans:
    """Means of all series. `mean` float64[series, hours] is NaN where there was no sample.

    `series_ids` int64[series], ascending; hour h began h hours after `start`. `pending_days` have
    samples that are not in here yet.
    """

    series_ids: NDArray[np.int64]
    start: datetime
    mean: NDArray[np.float64]
    pending_days: tuple[date, ...]


class ResourceSeriesReader:
    """Every query on a customer's series."""

    def __init__(self, session: Session, *, customer_id: UUID) -> None:
        self._session = session
        self._customer_id = customer_id

    def list_latest(
        self, *, after: int = -(1 << 63), limit: int = MAX_SERIES
    ) -> list[LatestSample]:
        """The latest sample of each series, in order of number, of those after `after`."""
        values = {
            "customer": self._customer_id,
            "after": after,
            "limit": max(1, min(limit, MAX_SERIES)),
        }
        return [
            LatestSample(id_, agent, instance, ResourceType(type_), name, unit, at, value)
            for id_, agent, instance, type_, name, unit, at, value in self._session.execute(
                _LATEST, values
            )
        ]

    def compute_quantile(
        self, series_id: int, level: float, *, start: datetime, end: datetime
    ) -> float | None:
        """A quantile, `level` in 0..1, of the samples from `start` until before `end`, or None."""
        values = {
            "customer": self._customer_id,
            "series": series_id,
            "level": level,
            "start": require_utc(ResourceMetric.timestamp, start),
            "end": require_utc(ResourceMetric.timestamp, end),
        }
        found: float | None = self._session.execute(_QUANTILE, values).scalar_one()
        return found

    def list_hours(self, series_id: int, *, first: date, last: date) -> list[Hour]:
        """The hours of one series that have samples, from day `first` to day `last`, in UTC.

        Exact: days that are not rolled up yet are read from the samples.
        """
        values = self._bound(first, last) | {"series": series_id}
        return [Hour(*row) for row in self._session.execute(_HOURS, values)]

    def fetch_hourly_means(self, *, first: date, last: date) -> HourlyMeans:
        """The hours of all series, from day `first` to day `last`, as they were rolled up."""
        import numpy as np

        values = self._bound(first, last)
        pending = tuple(self._session.scalars(_PENDING, values))
        rows = self._copy_days(first, last)
        numbers, index = np.unique(rows["series_id"].astype(np.int64), return_inverse=True)
        num_days = (last - first).days + 1
        mean = np.full((numbers.size, num_days, HOURS_A_DAY), np.nan)
        place = rows["day"].astype(np.int64) - (first - EPOCH.date()).days
        has_samples = rows["hours"][:, None].astype(np.int32) >> np.arange(HOURS_A_DAY) & 1
        mean[index, place] = np.where(has_samples, rows["value_mean"]["items"]["value"], np.nan)
        return HourlyMeans(
            series_ids=numbers,
            start=datetime(first.year, first.month, first.day, tzinfo=UTC),
            mean=mean.reshape(numbers.size, num_days * HOURS_A_DAY),
            pending_days=pending,
        )

    def _bound(self, first: date, last: date) -> dict[str, object]:
        if not first <= last <= first + timedelta(days=MAX_DAYS):
            raise InputError(
                f"{first} to {last} are no days, or more than {MAX_DAYS}.",
                remedy="Ask for fewer days, the first one first.",
                field="last",
            )
        return {"customer": self._customer_id, "first": first, "last": last}

    def _copy_days(self, first: date, last: date) -> NDArray[np.void]:
        """Rows of one width, as PostgreSQL sends them in binary: no value of them is NULL."""
        import numpy as np

        connection = self._session.connection().connection.driver_connection
        assert connection is not None  # noqa: S101 - the session is in a transaction
        with connection.cursor() as cursor:
            values = (self._customer_id, first, last)
            with cursor.copy(_ALL_HOURS, values) as copy:
                data = b"".join(copy)
        _, extension = _EXTENSION.unpack_from(data, _SIGNATURE_BYTES)
        begin = _SIGNATURE_BYTES + _EXTENSION.size + extension
        kind = np.dtype(
            [
                ("num_fields", ">i2"),
                ("length_0", ">i4"),
                ("series_id", ">i8"),
                ("length_1", ">i4"),
                ("day", ">i4"),
                ("length_2", ">i4"),
                ("hours", ">i4"),
                ("value_mean", _make_array_type()),
            ]
        )
        rows = np.frombuffer(data, kind, offset=begin, count=(len(data) - begin) // kind.itemsize)
        if (len(data) - begin) % kind.itemsize != len(TRAILER) or not _is_regular(rows):
            raise DatabaseError(
                "Rows of resource_metric_days are not 24 hours each.",
                remedy="Run `optiinfra db verify`.",
            )
        return rows


def _make_array_type() -> np.dtype[np.void]:
    """An array of 24 doubles in PostgreSQL's binary form: its header, then each with its length."""
    import numpy as np

    header = [(name, ">i4") for name in ("length", "dimensions", "has_null", "type", "size", "low")]
    items = np.dtype([("length", ">i4"), ("value", ">f8")])
    return np.dtype([*header, ("items", items, (HOURS_A_DAY,))])


def _is_regular(rows: NDArray[np.void]) -> bool:
    """Whether every row is four fields, of which the last is 24 values and none of them NULL."""
    means = rows["value_mean"]
    return bool(
        (rows["num_fields"] == NUM_FIELDS).all()
        and (means["size"] == HOURS_A_DAY).all()
        and not means["has_null"].any()
    )
