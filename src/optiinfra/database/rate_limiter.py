"""The rate limiter in PostgreSQL: one statement a question, in an unlogged table."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Final

from sqlalchemy import text

from optiinfra.database.engine import Database, Role
from optiinfra.ports.rate_limiter import (
    RateLimit,
    Verdict,
    check_acquire,
    make_verdict,
    to_microseconds,
)

SWEPT_EVERY: Final = 1024  # questions
MAX_SWEPT: Final = 10_000
# Where the condition does not hold the row stays as it is, and nothing is returned.
_ACQUIRE: Final = text("""
    INSERT INTO rate_buckets AS b (key, full_at_us)
    VALUES (:key, CAST(:now AS bigint) + :cost)
    ON CONFLICT (key) DO UPDATE
    SET full_at_us = greatest(b.full_at_us, CAST(:now AS bigint)) + :cost
    WHERE greatest(b.full_at_us, CAST(:now AS bigint)) + :cost - :now <= CAST(:whole AS bigint)
    RETURNING full_at_us""")
_FIND: Final = text("SELECT full_at_us FROM rate_buckets WHERE key = :key")
_SWEEP: Final = text("""
    DELETE FROM rate_buckets WHERE key IN (
        SELECT key FROM rate_buckets WHERE full_at_us <= :now LIMIT :max_swept)
      AND full_at_us <= :now""")


class PostgresRateLimiter:
    """See RateLimiter."""

    def __init__(self, url: str, *, role: Role | None = Role.WORKER) -> None:
        self._database = Database(url)
        self._role = role
        self._questions = count(1)

    def acquire(self, key: str, limit: RateLimit, *, now: datetime, num_tokens: int = 1) -> Verdict:
        """See RateLimiter."""
        check_acquire(key, limit, num_tokens)
        now_us = to_microseconds(now)
        if next(self._questions) % SWEPT_EVERY == 0:
            self.sweep(now=now)
        values = {
            "key": key,
            "now": now_us,
            "cost": limit.compute_refill_us(num_tokens),
            "whole": limit.compute_refill_us(limit.burst),
        }
        with self._database.transaction(role=self._role) as session:
            full_at_us = session.scalar(_ACQUIRE, values)
            is_allowed = full_at_us is not None
            if not is_allowed:
                full_at_us = session.scalar(_FIND, {"key": key})
        return make_verdict(
            now_us if full_at_us is None else full_at_us,
            limit,
            now_us=now_us,
            num_tokens=num_tokens,
            is_allowed=is_allowed,
        )

    def sweep(self, *, now: datetime) -> int:
        """See RateLimiter; in portions, each a transaction of its own."""
        total, num = 0, MAX_SWEPT
        values = {"now": to_microseconds(now), "max_swept": MAX_SWEPT}
        while num == MAX_SWEPT:
            with self._database.transaction(role=self._role) as session:
                num = int(session.execute(_SWEEP, values).rowcount)  # type: ignore[attr-defined]
            total += num
        return total

    def close(self) -> None:
        """See RateLimiter."""
        self._database.close()
