"""Old rows of the tables of series, removed for good without keeping a writer waiting.

Of a partitioned table whole months go: detached concurrently, which waits for whoever uses them and
lets all others through, and then dropped. `quality_metrics` is one table, from which rows go in
batches. Either may be stopped at any time; the next run finishes what the last one began.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, text

from optiinfra.database import locking
from optiinfra.database.partitions import PATTERN, TABLES, TIMES, list_partitions
from optiinfra.kit.time import require_utc

BATCH: Final = 5_000  # rows
_PENDING: Final = text("""
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST(:table AS regclass) AND i.inhdetachpending ORDER BY 1""")
_DETACHED: Final = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relispartition
      AND relname ~ :pattern AND pg_has_role(relowner, 'USAGE') ORDER BY 1""")
_DELETE: Final = text("""
    DELETE FROM quality_metrics WHERE id IN (
        SELECT id FROM quality_metrics WHERE "timestamp" < :before
        ORDER BY "timestamp" LIMIT :batch FOR UPDATE SKIP LOCKED)""")


def prune(engine: Engine, *, table: str, before: datetime) -> list[str]:
    """Drop the partitions of `table` that hold nothing from `before` on; their names.

    The last partition stays, so that rows find a place.
    """
    if table not in TABLES:
        message = f"{table!r} is not partitioned; {', '.join(TABLES)} are"
        raise ValueError(message)
    limit = require_utc(before)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"SET lock_timeout = '{locking.LOCK_TIMEOUT}'"))
        try:
            locking.insist(lambda: _finish_detaching(connection, table))
            own = [p for p in list_partitions(connection) if p.table == table]
            for partition in own[:-1]:
                if partition.until <= limit:
                    _detach(connection, table, partition.name)
            return _drop_detached(connection, table, limit)
        finally:
            connection.execute(text("RESET lock_timeout"))


def _finish_detaching(connection: Connection, table: str) -> None:
    """What was being detached when somebody gave up belongs to no one until this is done."""
    for name in connection.execute(_PENDING, {"table": table}).scalars().all():
        connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name} FINALIZE"))


def _detach(connection: Connection, table: str, name: str) -> None:
    def detach() -> None:
        pending = connection.execute(_PENDING, {"table": table}).scalars().all()
        how = "FINALIZE" if name in pending else "CONCURRENTLY"
        connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name} {how}"))

    locking.insist(detach)


def _drop_detached(connection: Connection, table: str, limit: datetime) -> list[str]:
    """Drop what is detached by now, but for what holds rows that are to stay."""
    dropped = []
    for name in connection.execute(_DETACHED, {"pattern": PATTERN.format(table)}).scalars().all():
        later = f'SELECT EXISTS (SELECT FROM {name} WHERE "{TIMES[table]}" >= :limit)'  # noqa: S608
        if not connection.execute(text(later), {"limit": limit}).scalar_one():
            _drop(connection, name)
            dropped.append(name)
    return dropped


def _drop(connection: Connection, name: str) -> None:
    """Its foreign keys are locked at their other end for a moment."""
    locking.insist(lambda: connection.execute(text(f"DROP TABLE {name}")))


def prune_quality_metrics(engine: Engine, *, before: datetime, batch: int = BATCH) -> int:
    """Delete the quality metrics before that time, a batch a transaction; how many they were.

    Rows that somebody else has locked are left to the next run.
    """
    limit, num_deleted, last = require_utc(before), 0, batch
    while last == batch:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{locking.LOCK_TIMEOUT}'"))
            last = connection.execute(_DELETE, {"before": limit, "batch": batch}).rowcount
        num_deleted += last
    return num_deleted
