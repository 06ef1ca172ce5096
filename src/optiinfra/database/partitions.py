"""Partitions of the tables of series: months made ahead, and months dropped behind.

There is no partition for what fits in none: a row outside is refused (TimeOutsideError). The first
partition of a table has no lower bound and is named `_p_first`, a month `_p_2026_04`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from optiinfra.kit.time import require_utc

TABLES: Final = ("resource_metrics", "agent_metrics", "events")
AHEAD: Final = timedelta(days=62)
ALARM: Final = timedelta(days=7)  # less than this ahead, and somebody should be told
MAX_MONTHS: Final = 1200
_TURN: Final = 7_263_018_244_115_902  # any constant that nobody else uses
_PARTITIONS: Final = text("""
    SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE p.relname = ANY (:tables) AND p.relkind = 'p'
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
    """The first instant for which some table has no partition."""
    latest = {partition.table: partition.until for partition in list_partitions(connection)}
    return min(latest.values())


def is_running_out(connection: Connection, *, now: datetime) -> bool:
    """Whether too few partitions were made ahead: an alarm."""
    return get_covered_until(connection) < require_utc(now) + ALARM


def create_ahead(connection: Connection, *, until: datetime) -> list[str]:
    """Make what is missing up to `until`; names of what was made. Writers are not locked out."""
    end = require_utc(until)
    if get_covered_until(connection) >= end:
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
    latest = {partition.table: partition.until for partition in list_partitions(connection)}
    created = []
    for table in TABLES:
        for start, stop in _list_months(latest[table], end):
            name = f"{table}_p_{start:%Y_%m}"
            # Made apart and attached: that needs no lock that writers would wait for.
            connection.execute(
                text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            )
            connection.execute(
                text(
                    f"ALTER TABLE {table} ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ('{start.isoformat()}') TO ('{stop.isoformat()}')"
                )
            )
            created.append(name)
    return created


def prune(connection: Connection, *, table: str, before: datetime) -> list[str]:
    """Drop the partitions of `table` that hold nothing from `before` on; their names.

    The last partition stays, so that rows find a place.
    """
    if table not in TABLES:
        message = f"{table!r} is not partitioned; {', '.join(TABLES)} are"
        raise ValueError(message)
    limit = require_utc(before)
    own = [p for p in list_partitions(connection) if p.table == table]
    old = [partition.name for partition in own[:-1] if partition.until <= limit]
    for name in old:
        connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name}"))
        connection.execute(text(f"DROP TABLE {name}"))
    return old


def _list_months(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    for _ in range(MAX_MONTHS):
        if start >= end:
            return
        stop = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield start, stop
        start = stop
