"""The cache in PostgreSQL: an unlogged table, swept as it is written to."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from optiinfra.database.engine import Database, Role
from optiinfra.kit.time import require_utc
from optiinfra.ports.cache import compute_end, make_full_key

SWEPT_EVERY: Final = 256  # writes
MAX_SWEPT: Final = 10_000
MAX_ENTRIES: Final = 100_000
_FIND: Final = text("SELECT value FROM cache_entries WHERE key = :key AND expires_at > :now")
_KEEP: Final = """
    INSERT INTO cache_entries (key, customer_id, value, expires_at)
    VALUES (:key, :customer, :value, :expires_at)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"""
_SET: Final = text(_KEEP)
_ADD: Final = text(f"{_KEEP} WHERE cache_entries.expires_at <= :now")
_DROP: Final = text("DELETE FROM cache_entries WHERE key = :key")
# What is over, and of too many those that would be over first.
_SWEEP: Final = text("""
    DELETE FROM cache_entries WHERE key IN (
        SELECT key FROM cache_entries WHERE expires_at <= :now
        UNION ALL (SELECT key FROM cache_entries WHERE expires_at > :now
                   ORDER BY expires_at DESC OFFSET :max_entries)
        LIMIT :max_swept)""")


class PostgresCache:
    """See Cache; at most `max_entries`, give or take what is written between two sweeps."""

    def __init__(
        self,
        url: str,
        *,
        role: Role | None = Role.WORKER,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._database = Database(url)
        self._role = role
        self._max_entries = max_entries
        self._writes = count(1)

    def find(self, key: str, *, customer_id: UUID | None, now: datetime) -> bytes | None:
        """See Cache."""
        values = {"key": make_full_key(key, customer_id), "now": require_utc(now)}
        with self._database.reading(role=self._role) as session:
            found: bytes | None = session.scalar(_FIND, values)
        return found

    def set(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> None:
        """See Cache."""
        self._write(_SET, key, value, customer_id=customer_id, ttl_s=ttl_s, now=now)

    def add(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> bool:
        """See Cache."""
        return self._write(_ADD, key, value, customer_id=customer_id, ttl_s=ttl_s, now=now) == 1

    def drop(self, key: str, *, customer_id: UUID | None) -> bool:
        """See Cache."""
        return self._execute(_DROP, {"key": make_full_key(key, customer_id)}) == 1

    def sweep(self, *, now: datetime) -> int:
        """See Cache; in portions, each a transaction of its own."""
        total, num = 0, MAX_SWEPT
        values = {
            "now": require_utc(now),
            "max_entries": self._max_entries,
            "max_swept": MAX_SWEPT,
        }
        while num == MAX_SWEPT:
            num = self._execute(_SWEEP, values)
            total += num
        return total

    def close(self) -> None:
        """See Cache."""
        self._database.close()

    def _write(
        self,
        statement: Any,
        key: str,
        value: bytes,
        *,
        customer_id: UUID | None,
        ttl_s: float,
        now: datetime,
    ) -> int:
        values = {
            "key": make_full_key(key, customer_id),
            "customer": customer_id,
            "value": value,
            "expires_at": compute_end(value, ttl_s=ttl_s, now=now),
            "now": require_utc(now),
        }
        if next(self._writes) % SWEPT_EVERY == 0:
            self.sweep(now=now)
        return self._execute(statement, values)

    def _execute(self, statement: Any, values: dict[str, Any]) -> int:
        with self._database.transaction(role=self._role) as session:
            return int(session.execute(statement, values).rowcount)  # type: ignore[attr-defined]
