"""What every rate limiter promises, on each of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from optiinfra.database.engine import Database
from optiinfra.database.rate_limiter import PostgresRateLimiter
from optiinfra.domain.errors import InputError
from optiinfra.ports.rate_limiter import MAX_KEY_LENGTH, RateLimit, RateLimiter

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
SLOW = RateLimit(rate_per_s=2, burst=4)
Make = Callable[[], RateLimiter]
KEYS = count(1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class NaiveBucket:
    """Tokens as a number, refilled when somebody looks; exact in units of a token's time."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.token_us = limit.compute_refill_us(1)
        self.units = limit.burst * self.token_us  # microseconds of refill that lie in it
        self.at = NOW

    def acquire(self, now: datetime, num_tokens: int) -> bool:
        rest = max(timedelta(0), now - self.at) // timedelta(microseconds=1)
        self.units = min(self.limit.burst * self.token_us, self.units + rest)
        self.at = max(self.at, now)
        if self.units < num_tokens * self.token_us:
            return False
        self.units -= num_tokens * self.token_us
        return True


def test_a_burst_and_then_the_rate(limiter: RateLimiter) -> None:
    first = [limiter.acquire("k", SLOW, now=NOW).is_allowed for _ in range(6)]
    assert first == [True] * 4 + [False] * 2
    denied = limiter.acquire("k", SLOW, now=NOW)
    assert denied.retry_after_s == pytest.approx(0.5, abs=1e-6)
    assert not limiter.acquire("k", SLOW, now=after(0.499)).is_allowed
    assert limiter.acquire("k", SLOW, now=after(0.5)).is_allowed
    assert not limiter.acquire("k", SLOW, now=after(0.5)).is_allowed
    later = [limiter.acquire("k", SLOW, now=after(3600)).is_allowed for _ in range(6)]
    assert later == [True] * 4 + [False] * 2


def test_tokens_are_taken_together_or_not_at_all(limiter: RateLimiter) -> None:
    assert limiter.acquire("k", SLOW, now=NOW, num_tokens=3).is_allowed
    denied = limiter.acquire("k", SLOW, now=NOW, num_tokens=3)
    assert not denied.is_allowed
    assert denied.retry_after_s == pytest.approx(1.0, abs=1e-6)
    assert limiter.acquire("k", SLOW, now=NOW).is_allowed, "the denial took nothing"
    assert not limiter.acquire("k", SLOW, now=NOW).is_allowed


def test_buckets_are_apart(limiter: RateLimiter) -> None:
    assert limiter.acquire("a", SLOW, now=NOW, num_tokens=4).is_allowed
    assert limiter.acquire("b", SLOW, now=NOW, num_tokens=4).is_allowed
    assert not limiter.acquire("a", SLOW, now=NOW).is_allowed


def test_a_clock_that_goes_back_refills_nothing(limiter: RateLimiter) -> None:
    assert limiter.acquire("k", SLOW, now=after(100), num_tokens=4).is_allowed
    assert not limiter.acquire("k", SLOW, now=NOW).is_allowed
    assert not limiter.acquire("k", SLOW, now=after(100)).is_allowed
    assert limiter.acquire("k", SLOW, now=after(100.5)).is_allowed


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(RateLimit, rate_per_s=st.floats(0.5, 10_000), burst=st.integers(1, 20)),
    st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 20)),
        max_size=12,
    ),
)
def test_it_is_a_bucket_of_tokens(
    limiter: RateLimiter, limit: RateLimit, steps: list[tuple[float, int]]
) -> None:
    key, bucket, now = f"k{next(KEYS)}", NaiveBucket(limit), NOW
    for seconds, wanted in steps:
        now += timedelta(seconds=seconds / limit.rate_per_s)
        num_tokens = min(wanted, limit.burst)
        verdict = limiter.acquire(key, limit, now=now, num_tokens=num_tokens)
        assert verdict.is_allowed == bucket.acquire(now, num_tokens)
        if not verdict.is_allowed:
            soon = now + timedelta(seconds=verdict.retry_after_s)
            early = soon - timedelta(microseconds=2)
            assert not limiter.acquire(key, limit, now=early, num_tokens=num_tokens).is_allowed


def test_many_at_once_get_no_more_than_there_is(make_limiter: Make) -> None:
    limit = RateLimit(rate_per_s=1, burst=25)
    limiters = [make_limiter() for _ in range(4)]

    def ask(limiter: RateLimiter) -> int:
        return sum(limiter.acquire("k", limit, now=NOW).is_allowed for _ in range(15))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, limiters)) == 25


def test_what_is_beyond_the_limits_is_refused(limiter: RateLimiter) -> None:
    for key in ("", "a b", "k" * (MAX_KEY_LENGTH + 1), "é"):
        with pytest.raises(InputError, match="bucket"):
            limiter.acquire(key, SLOW, now=NOW)
    for num_tokens in (0, -1, 5):
        with pytest.raises(InputError, match="tokens"):
            limiter.acquire("k", SLOW, now=NOW, num_tokens=num_tokens)
    for rate_per_s, burst in (
        (0, 1),
        (-1, 1),
        (10_001, 1),
        (float("nan"), 1),
        (1, 0),
        (0.1, 10**6),
    ):
        with pytest.raises(InputError):
            RateLimit(rate_per_s=rate_per_s, burst=burst)
    assert limiter.acquire("k" * MAX_KEY_LENGTH, SLOW, now=NOW).is_allowed


def test_full_buckets_are_swept_away(fresh_url: str) -> None:
    limiter = PostgresRateLimiter(fresh_url)
    for number in range(5):
        limiter.acquire(f"k{number}", SLOW, now=NOW, num_tokens=number % 4 + 1)
    assert limiter.sweep(now=after(1)) == 3
    with Database(fresh_url) as database, database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM rate_buckets")) == 2
    assert limiter.acquire("k3", SLOW, now=after(1), num_tokens=2).is_allowed
    assert not limiter.acquire("k3", SLOW, now=after(1)).is_allowed
    limiter.close()
