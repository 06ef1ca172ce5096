"""Series of resource metrics: the latest of each, one in detail, and the hours of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import ResourceMetric
from optiinfra.domain.enums import ResourceType
from optiinfra.domain.errors import DatabaseError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SERIES: Final = 10_000  # a page
MAX_DAYS: Final = 400
HOURS_A_DAY: Final = 24
_WHOLE_DAY: Final = (1 << HOURS_A_DAY) - 1
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
# A row a day, not one a series and day: the driver takes longer for a row than for 300 bytes. The
# aggregates of one day see its rows in one order.
_DAYS: Final = """
    SELECT day, string_agg(int8send(series_id), ''), string_agg(int4send(hours), ''),
           string_agg(array_send(value_mean), '')
    FROM resource_metric_days WHERE customer_id = %s AND day >= %s AND day <= %s GROUP BY day"""
_ROOM: Final = (  # else the days are grouped on disk, and by one process
    "SELECT set_config('work_mem', '64MB', true), set_config('parallel_setup_cost', '0', true),"
    " set_config('parallel_tuple_cost', '0', true)"
)


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
        days = self._read_days(first, last)
        numbers = np.unique(np.concatenate([day.series for day in days] or [np.zeros(0, np.int64)]))
        mean = np.full((numbers.size, (last - first).days + 1, HOURS_A_DAY), np.nan)
        for day in days:
            mean[np.searchsorted(numbers, day.series), (day.day - first).days] = day.mean
        return HourlyMeans(
            series_ids=numbers,
            start=datetime(first.year, first.month, first.day, tzinfo=UTC),
            mean=mean.reshape(numbers.size, mean.shape[1] * HOURS_A_DAY),
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

    def _read_days(self, first: date, last: date) -> list[_Day]:
        """Every day that has hours, decoded from what PostgreSQL sends in binary."""
        connection = self._session.connection().connection.driver_connection
        assert connection is not None  # noqa: S101 - the session is in a transaction
        with connection.cursor(binary=True) as cursor:
            cursor.execute(_ROOM)
            cursor.execute(_DAYS, (self._customer_id, first, last))
            return [_decode_day(*row) for row in cursor]


@dataclass(frozen=True, slots=True)
class _Day:
    """Of each series that has hours on a day: `series` int64[n], `mean` float64[n, 24] or NaN."""

    day: date
    series: NDArray[np.int64]
    mean: NDArray[np.float64]


def _decode_day(day: date, series: bytes, hours: bytes, means: bytes) -> _Day:
    """Arrays of 24 doubles each, none of them NULL. Raises DatabaseError for others."""
    import numpy as np

    kind = _make_array_type()
    numbers = np.frombuffer(series, ">i8").astype(np.int64)
    is_regular = len(means) == numbers.size * kind.itemsize
    if is_regular:
        rows = np.frombuffer(means, kind)
        is_regular = bool((rows["size"] == HOURS_A_DAY).all() and not rows["has_null"].any())
    if not is_regular:
        raise DatabaseError(
            "Rows of resource_metric_days are not 24 hours each.",
            remedy="Run `optiinfra db verify`.",
        )
    mean = rows["items"]["value"].astype(np.float64)
    has_samples = np.frombuffer(hours, ">i4").astype(np.int32)
    if (has_samples != _WHOLE_DAY).any():
        has_hour = has_samples[:, None] >> np.arange(HOURS_A_DAY) & 1
        mean[has_hour == 0] = np.nan
    return _Day(day, numbers, mean)


def _make_array_type() -> np.dtype[np.void]:
    """An array of 24 doubles in PostgreSQL's binary form: its header, then each with its length."""
    import numpy as np

    header = [(name, ">i4") for name in ("dimensions", "has_null", "type", "size", "low")]
    items = np.dtype([("length", ">i4"), ("value", ">f8")])
    return np.dtype([*header, ("items", items, (HOURS_A_DAY,))])
