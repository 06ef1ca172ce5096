"""Partitions of the tables of series: months made ahead (database/pruning.py drops those behind).

There is no partition for what fits in none: a row outside is refused (TimeOutsideError). The first
partition of a table has no lower bound and is named `_p_first`, a month `_p_2026_04`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, text

from optiinfra.database import locking
from optiinfra.kit.time import require_utc

TABLES: Final = ("resource_metrics", "agent_metrics", "events")
TIMES: Final = {
    "resource_metrics": "timestamp", "agent_metrics": "recorded_at", "events": "created_at",
}  # fmt: skip
PATTERN: Final = "^{}_p_(first|[0-9]{{4}}_[0-9]{{2}})$"
AHEAD: Final = timedelta(days=62)
ALARM: Final = timedelta(days=7)  # less than this ahead, and somebody should be told
MAX_MONTHS: Final = 1200
_TURN: Final = 7_263_018_244_115_902  # any constant that nobody else uses
_PARTITIONS: Final = text("""
    SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE p.relname = ANY (:tables) AND p.relkind = 'p' AND NOT i.inhdetachpending
      AND p.relnamespace = 'public'::regnamespace
    ORDER BY 1, 2""")
_BOUND: Final = re.compile(r"TO \('([^']+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; it holds what is earlier than `until`."""

    table: str
    name: str
    until: datetime


def list_partitions(connection: Connection) -> list[Partition]:
    """All partitions, earliest first within each table."""
    connection.execute(text("SET LOCAL timezone = 'UTC'"))  # bounds are written in the session's
    found = []
    for table, name, bounds in connection.execute(_PARTITIONS, {"tables": list(TABLES)}):
        until = _BOUND.search(bounds)
        assert until is not None, f"{name} has no upper bound: {bounds}"  # noqa: S101
        found.append(Partition(table, name, datetime.fromisoformat(until[1]).astimezone(UTC)))
    return sorted(found, key=lambda partition: (partition.table, partition.until))


def get_covered_until(connection: Connection) -> datetime:
    """The first instant for which some table has no partition; partitions there must be."""
    latest = {partition.table: partition.until for partition in list_partitions(connection)}
    return min(latest.values())


def find_alarm(connection: Connection, *, now: datetime) -> datetime | None:
    """Until when there are partitions, where that is too soon; None where all is well."""
    if not list_partitions(connection):
        return None  # a schema from before there were any
    until = get_covered_until(connection)
    return until if until < require_utc(now) + ALARM else None


def create_ahead(engine: Engine, *, until: datetime) -> list[str]:
    """Make what is missing up to `until`; names of what was made.

    A month a transaction. No writer waits longer than LOCK_TIMEOUT; what is in the way is asked to
    let go again and again, and in the end is the error.
    """
    end = require_utc(until)
    created: list[str] = []
    with engine.connect() as connection:
        while (name := locking.insist(lambda: _create_next(connection, end))) is not None:
            created.append(name)
    return created


def _create_next(connection: Connection, end: datetime) -> str | None:
    """Make one month that is missing; None when there is none. Others may be doing the same."""
    with connection.begin():
        if get_covered_until(connection) >= end:
            return None
        connection.execute(text(f"SET LOCAL lock_timeout = '{locking.MAINTENANCE_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        connection.execute(text(f"SET LOCAL lock_timeout = '{locking.LOCK_TIMEOUT}'"))
        latest = {partition.table: partition.until for partition in list_partitions(connection)}
        table = min(TABLES, key=lambda name: latest[name])
        for start, stop in _list_months(latest[table], end):
            name = f"{table}_p_{start:%Y_%m}"
            # Made apart and attached: that needs no lock of its table that writers would wait for.
            connection.execute(
                text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            )
            connection.execute(
                text(
                    f"ALTER TABLE {table} ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ('{start.isoformat()}') TO ('{stop.isoformat()}')"
                )
            )
            return name
    return None


def _list_months(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    for _ in range(MAX_MONTHS):
        if start >= end:
            return
        stop = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield start, stop
        start = stop
