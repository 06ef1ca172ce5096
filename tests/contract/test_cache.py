"""What every cache promises, on each of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.factories.core import make_customer

from optiinfra.database.cache import PostgresCache
from optiinfra.database.engine import Database
from optiinfra.database.transfer import purge_customer
from optiinfra.domain.errors import InputError
from optiinfra.ports.cache import MAX_KEY_LENGTH, MAX_TTL_S, MAX_VALUE_BYTES, Cache

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
Make = Callable[[], Cache]


def set_value(cache: Cache, key: str, value: bytes, *, ttl_s: float = 60) -> None:
    cache.set(key, value, customer_id=None, ttl_s=ttl_s, now=NOW)


def test_a_value_comes_back_as_it_was_until_its_time_is_over(cache: Cache) -> None:
    for value in (b"", bytes(range(256)), "é🙂".encode()):
        set_value(cache, "k", value, ttl_s=10)
        just_before = NOW + timedelta(seconds=10) - timedelta(microseconds=1)
        assert cache.find("k", customer_id=None, now=NOW) == value
        assert cache.find("k", customer_id=None, now=just_before) == value
        assert cache.find("k", customer_id=None, now=NOW + timedelta(seconds=10)) is None
    assert cache.find("other", customer_id=None, now=NOW) is None


def test_the_latest_value_and_its_time_count(cache: Cache) -> None:
    set_value(cache, "k", b"first", ttl_s=100)
    set_value(cache, "k", b"second", ttl_s=10)
    assert cache.find("k", customer_id=None, now=NOW) == b"second"
    assert cache.find("k", customer_id=None, now=NOW + timedelta(seconds=20)) is None


def test_adding_leaves_what_is_there_and_replaces_what_is_over(cache: Cache) -> None:
    def add(value: bytes, seconds: int) -> bool:
        at = NOW + timedelta(seconds=seconds)
        return cache.add("k", value, customer_id=None, ttl_s=10, now=at)

    assert add(b"first", 0)
    assert not add(b"second", 9)
    assert cache.find("k", customer_id=None, now=NOW) == b"first"
    assert add(b"third", 10)
    assert cache.find("k", customer_id=None, now=NOW + timedelta(seconds=19)) == b"third"


def test_of_many_who_add_at_once_one_succeeds(make_cache: Make) -> None:
    caches = [make_cache() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            added = pool.map(
                lambda cache, key=f"k{number}": cache.add(
                    key, b"v", customer_id=None, ttl_s=60, now=NOW
                ),
                caches,
            )
            assert sum(added) == 1


def test_customers_are_apart_under_the_same_key(
    cache: Cache, customer_ids: tuple[UUID, UUID]
) -> None:
    owners = (*customer_ids, None)
    for owner in owners:
        cache.set("k", str(owner).encode(), customer_id=owner, ttl_s=60, now=NOW)
    for owner in owners:
        assert cache.find("k", customer_id=owner, now=NOW) == str(owner).encode()
    assert cache.drop("k", customer_id=customer_ids[0])
    assert not cache.drop("k", customer_id=customer_ids[0])
    found = [cache.find("k", customer_id=owner, now=NOW) is not None for owner in owners]
    assert found == [False, True, True]
    # The key of nobody's entry cannot be made to look like a customer's.
    spoofed = f"{customer_ids[1]}/k"
    assert cache.find(spoofed, customer_id=None, now=NOW) is None


def test_what_is_over_can_be_swept_away_and_nothing_else(cache: Cache) -> None:
    set_value(cache, "short", b"v", ttl_s=1)
    set_value(cache, "long", b"v", ttl_s=100)
    cache.sweep(now=NOW + timedelta(seconds=1))
    assert cache.find("short", customer_id=None, now=NOW) in {None, b"v"}
    assert cache.find("long", customer_id=None, now=NOW + timedelta(seconds=2)) == b"v"


def test_what_is_beyond_the_limits_is_refused(cache: Cache) -> None:
    for key in ("", "a b", "k" * (MAX_KEY_LENGTH + 1), "é", "a\0", "a\n"):
        with pytest.raises(InputError, match="key"):
            set_value(cache, key, b"v")
        with pytest.raises(InputError, match="key"):
            cache.find(key, customer_id=None, now=NOW)
    with pytest.raises(InputError, match="bytes"):
        set_value(cache, "k", bytes(MAX_VALUE_BYTES + 1))
    for ttl_s in (0, -1, MAX_TTL_S + 1, float("nan")):
        with pytest.raises(InputError, match="cached for"):
            set_value(cache, "k", b"v", ttl_s=ttl_s)
    with pytest.raises(ValueError, match="time zone"):
        cache.set("k", b"v", customer_id=None, ttl_s=1, now=NOW.replace(tzinfo=None))
    set_value(cache, "k" * MAX_KEY_LENGTH, bytes(MAX_VALUE_BYTES), ttl_s=MAX_TTL_S)


def test_the_table_is_swept_and_holds_no_more_than_it_may(fresh_url: str) -> None:
    cache = PostgresCache(fresh_url, max_entries=5)
    for number in range(8):
        set_value(cache, f"k{number}", b"v", ttl_s=10 + number)
    assert cache.sweep(now=NOW) == 3
    assert cache.sweep(now=NOW + timedelta(seconds=14)) == 2
    for number in range(300):  # among so many writes is a sweep
        set_value(cache, f"n{number}", b"v")
    with Database(fresh_url) as database, database.reading() as session:
        num = session.scalar(text("SELECT count(*) FROM cache_entries"))
    assert num is not None
    assert num < 300
    cache.close()


def test_entries_go_with_their_customer(fresh_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        gone = make_customer(session).id
    cache = PostgresCache(fresh_url)
    cache.set("k", b"v", customer_id=gone, ttl_s=60, now=NOW)
    purge_customer(fresh_url, str(gone))
    assert cache.find("k", customer_id=gone, now=NOW) is None
    cache.close()
