"""Many samples at once into the tables of series, by binary COPY and never by the ORM.

COPY refuses row-level security, so the role that does this passes it by, and each row's tenant is
checked here, before it is sent. What a series repeats is encoded once. One call is one transaction
of the caller's: a refused row leaves nothing behind.

With samples of resources go, in the same transaction, their series (revision 022) and a mark for
each day to be rolled up again (revision 024).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql

from optiinfra.database.copy_encoding import (
    DAY_US,
    EPOCH,
    NULL,
    count_microseconds,
    encode_bigint,
    encode_count,
    encode_uuid,
)
from optiinfra.database.copy_rows import (
    check,
    copy_rows,
    draw_id_words,
    encode_detail,
    encode_string,
    encode_word,
    make_error,
)
from optiinfra.database.series import AgentSeries, Series, compute_series_id

INGEST_ROLE: Final = "optiinfra_ingest"
MAX_SERIES: Final = 100_000  # whose encoding is remembered at once
MAX_SERIES_A_CALL: Final = 1_000_000
_SAMPLE: Final = struct.Struct(">iQQidiq")  # lengths before id, value and time
S = TypeVar("S", bound=Series | AgentSeries)
Sample = tuple[S, datetime, float]


def copy_resource_samples(
    connection: psycopg.Connection,
    samples: Iterable[Sample[Series]],
    *,
    customers: Collection[UUID],
) -> int:
    """Write samples of series to resource_metrics; how many. Only of these customers.

    Raises ConstraintError for a row of another, a value that is not finite, a naive time, or a text
    that is too long.
    """
    table = "resource_metrics"
    allowed = frozenset(customers)
    touched = _Touched()

    def encode(series: Series) -> bytes:
        if series.customer_id not in allowed:
            why = "is not the tenant of this writer"
            raise make_error(table, "customer_id", str(series.customer_id), why)
        return b"".join(
            (
                encode_count(11),
                encode_uuid(series.agent_id),
                encode_uuid(series.customer_id),
                encode_string(table, "instance_id", series.instance_id),
                encode_word(table, "resource_type", series.resource_type),
                encode_string(table, "metric_name", series.metric_name),
                encode_string(table, "unit", series.unit),
                encode_detail(table, "metadata", series.detail),
                encode_bigint(touched.add(series)),
            )
        )

    columns = (
        "agent_id", "customer_id", "instance_id", "resource_type", "metric_name", "unit",
        "metadata", "series_id", "id", "metric_value", "timestamp",
    )  # fmt: skip
    writer = _Samples(table, "timestamp", encode, on_day=touched.add_day)
    num_rows = copy_rows(connection, table, columns, writer.rows(samples))
    if num_rows:
        touched.write(connection)
    return num_rows


def copy_agent_samples(
    connection: psycopg.Connection, samples: Iterable[Sample[AgentSeries]]
) -> int:
    """Write samples of agents' own metrics to agent_metrics; how many. Agents have no tenant."""
    table = "agent_metrics"

    def encode(series: AgentSeries) -> bytes:
        unit = series.unit
        return b"".join(
            (
                encode_count(8),
                encode_uuid(series.agent_id),
                encode_string(table, "metric_name", series.metric_name),
                encode_word(table, "metric_type", series.metric_type),
                encode_detail(table, "tags", series.tags),
                NULL if unit is None else encode_string(table, "metric_unit", unit),
            )
        )

    columns = (
        "agent_id", "metric_name", "metric_type", "tags", "metric_unit", "id", "metric_value",
        "recorded_at",
    )  # fmt: skip
    rows = _Samples(table, "recorded_at", encode).rows(samples)
    return copy_rows(connection, table, columns, rows)


def act_as_ingest(connection: psycopg.Connection) -> bool:
    """For this transaction only what the ingest role may; whether the schema has that role."""
    row = connection.execute(
        "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (INGEST_ROLE,)
    ).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(INGEST_ROLE)))
    return True


class _Samples(Generic[S]):
    """Encodes samples; what a series repeats comes from a memory of bounded size.

    By identity, and the series is held so that its id stays its own: hashing it for each row would
    take longer than the row itself. A series made anew for each row is right, only slower.
    """

    def __init__(
        self,
        table: str,
        time_column: str,
        encode: Callable[[S], bytes],
        *,
        on_day: Callable[[S, int], None] | None = None,
    ) -> None:
        self._table = table
        self._time_column = time_column
        self._encode = encode
        self._on_day = on_day

    def rows(self, samples: Iterable[Sample[S]]) -> Iterator[bytes]:
        known: dict[int, tuple[S, bytes]] = {}
        days: dict[int, int] = {}  # by identity of the series, the day of its last sample
        pack, is_finite, on_day = _SAMPLE.pack, math.isfinite, self._on_day
        high, low = draw_id_words()
        for series, at, value in samples:
            found = known.get(id(series))
            if found is None:
                if len(known) >= MAX_SERIES:
                    known.clear()
                    days.clear()
                found = known[id(series)] = series, self._encode(series)
            try:
                is_right = is_finite(value) and at.tzinfo is not None
                time_us = count_microseconds(at)
            except (TypeError, AttributeError, OverflowError):
                is_right = False
            if not is_right:
                check(self._table, "metric_value", value)
                check(self._table, self._time_column, at)
            if on_day is not None and days.get(id(series)) != (day := time_us // DAY_US):
                days[id(series)] = day
                on_day(series, day)
            yield found[1] + pack(16, high, low, 8, value, 8, time_us)
            low += 1


class _Touched:
    """The series and the days of one call, written after its samples."""

    def __init__(self) -> None:
        self._series: dict[int, Series] = {}
        self._days: set[tuple[UUID, int]] = set()

    def add(self, series: Series) -> int:
        """Remember a series; its number."""
        number = compute_series_id(series)
        if number not in self._series:
            if len(self._series) >= MAX_SERIES_A_CALL:
                why = f"is one series too many: a call takes {MAX_SERIES_A_CALL:,}"
                raise make_error("resource_metrics", "series_id", number, why)
            self._series[number] = series
        return number

    def add_day(self, series: Series, day: int) -> None:
        """Remember that the series has a sample on that day, counted from PostgreSQL's epoch."""
        self._days.add((series.customer_id, day))

    def write(self, connection: psycopg.Connection) -> None:
        """Series that are not there yet, and a mark a customer and day."""
        rows = sorted(self._series.items())
        connection.execute(
            """
            INSERT INTO resource_series (id, customer_id, agent_id, instance_id, resource_type,
                                         metric_name, unit)
            SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::text[],
                                 %s::text[]::resource_type[], %s::text[], %s::text[])
            ON CONFLICT DO NOTHING""",
            (
                [number for number, _ in rows],
                [series.customer_id for _, series in rows],
                [series.agent_id for _, series in rows],
                [series.instance_id for _, series in rows],
                [series.resource_type.value for _, series in rows],
                [series.metric_name for _, series in rows],
                [series.unit for _, series in rows],
            ),
        )
        first = EPOCH.date()
        marks: list[tuple[UUID, date]] = [
            (customer, first + timedelta(days=day)) for customer, day in sorted(self._days)
        ]
        connection.execute(
            """
            INSERT INTO resource_rollup_marks (customer_id, day)
            SELECT * FROM unnest(%s::uuid[], %s::date[])""",
            ([customer for customer, _ in marks], [day for _, day in marks]),
        )
