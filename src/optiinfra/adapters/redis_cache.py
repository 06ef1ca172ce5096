"""The cache and the rate limiter in Redis or Valkey."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from optiinfra.adapters.redis_client import connect, get_name, translated
from optiinfra.ports.cache import compute_end, make_full_key
from optiinfra.ports.rate_limiter import (
    RateLimit,
    Verdict,
    check_acquire,
    make_verdict,
    to_microseconds,
)

_PREFIX: Final = "optiinfra:cache:"
_BUCKETS: Final = "optiinfra:rate:"
# An entry is a hash of its value and its end by the caller's clock; the server's own clock only
# clears away what is over, a minute late, so that clocks may differ.
_LATE_MS: Final = 60_000
_KEEP: Final = """
local now, ends, value, ttl_ms, is_add = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if is_add == '1' then
    local before = redis.call('HGET', KEYS[1], 'ends')
    if before and tonumber(before) > tonumber(now) then return 0 end
end
redis.call('HSET', KEYS[1], 'ends', ends, 'value', value)
redis.call('PEXPIRE', KEYS[1], ttl_ms)
return 1
"""
# Numbers of this size go out by format: tostring() would round them.
_ACQUIRE: Final = """
local now, cost, whole = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if full_at + cost - now > whole then return {0, string.format('%.0f', full_at)} end
full_at = full_at + cost
redis.call('SET', KEYS[1], string.format('%.0f', full_at),
           'PX', math.ceil((full_at - now) / 1000) + tonumber(ARGV[4]))
return {1, string.format('%.0f', full_at)}
"""


class RedisCache:
    """See Cache; how much it may hold is for the server's `maxmemory` to say."""

    def __init__(self, url: str) -> None:
        self._name = get_name(url)
        self._client = connect(url, is_text=False)
        self._keep = self._client.register_script(_KEEP)

    def find(self, key: str, *, customer_id: UUID | None, now: datetime) -> bytes | None:
        """See Cache."""
        with translated(self._name):
            found: Any = self._client.hmget(_make_key(key, customer_id), ["ends", "value"])
        if found[0] is None or int(found[0]) <= to_microseconds(now):
            return None
        value: bytes = found[1]
        return value

    def set(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> None:
        """See Cache."""
        self._write(key, value, customer_id=customer_id, ttl_s=ttl_s, now=now, is_add=False)

    def add(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> bool:
        """See Cache."""
        return self._write(key, value, customer_id=customer_id, ttl_s=ttl_s, now=now, is_add=True)

    def drop(self, key: str, *, customer_id: UUID | None) -> bool:
        """See Cache."""
        with translated(self._name):
            return bool(self._client.delete(_make_key(key, customer_id)))

    def sweep(self, *, now: datetime) -> int:
        """See Cache: the server forgets by itself."""
        del now
        return 0

    def close(self) -> None:
        """See Cache."""
        self._client.close()

    def _write(
        self,
        key: str,
        value: bytes,
        *,
        customer_id: UUID | None,
        ttl_s: float,
        now: datetime,
        is_add: bool,
    ) -> bool:
        ends_us = to_microseconds(compute_end(value, ttl_s=ttl_s, now=now))
        ttl_ms = round(ttl_s * 1000) + _LATE_MS
        at_us = to_microseconds(now)
        values: list[bytes | int] = [at_us, ends_us, value, ttl_ms, int(is_add)]
        with translated(self._name):
            return bool(self._keep(keys=[_make_key(key, customer_id)], args=values))


class RedisRateLimiter:
    """See RateLimiter."""

    def __init__(self, url: str) -> None:
        self._name = get_name(url)
        self._client = connect(url)
        self._acquire = self._client.register_script(_ACQUIRE)

    def acquire(self, key: str, limit: RateLimit, *, now: datetime, num_tokens: int = 1) -> Verdict:
        """See RateLimiter."""
        check_acquire(key, limit, num_tokens)
        now_us, cost = to_microseconds(now), limit.compute_refill_us(num_tokens)
        values = [now_us, cost, limit.compute_refill_us(limit.burst), _LATE_MS]
        with translated(self._name):
            found: Any = self._acquire(keys=[f"{_BUCKETS}{key}"], args=values)
        return make_verdict(
            int(found[1]), limit, now_us=now_us, num_tokens=num_tokens, is_allowed=bool(found[0])
        )

    def sweep(self, *, now: datetime) -> int:
        """See RateLimiter: the server forgets by itself."""
        del now
        return 0

    def close(self) -> None:
        """See RateLimiter."""
        self._client.close()


def _make_key(key: str, customer_id: UUID | None) -> str:
    return f"{_PREFIX}{make_full_key(key, customer_id)}"
