"""Fixtures of the contract tests: one suite a port, each implementation on its real store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar
from uuid import UUID

import pytest
from tests.factories.core import make_customer
from tests.fixtures_database import (
    database,
    empty_url,
    fresh_url,
    make_database,
    migrated_url,
    postgres_url,
    session,
)
from tests.fixtures_redis import redis_server, redis_url

from optiinfra.adapters.qdrant import open_embedded_memory, open_server_memory
from optiinfra.adapters.redis_bus import RedisEventBus
from optiinfra.adapters.redis_cache import RedisCache, RedisRateLimiter
from optiinfra.database.cache import PostgresCache
from optiinfra.database.engine import Database
from optiinfra.database.event_bus import PostgresEventBus
from optiinfra.database.rate_limiter import PostgresRateLimiter
from optiinfra.embedded.owner.starting import start_owner, stop_owner
from optiinfra.embedded.owner_state import OwnerState
from optiinfra.ports.cache import Cache
from optiinfra.ports.event_bus import EventBus
from optiinfra.ports.outcome_memory import OutcomeMemory
from optiinfra.ports.rate_limiter import RateLimiter

__all__ = [
    "database",
    "empty_url",
    "fresh_url",
    "make_database",
    "migrated_url",
    "postgres_url",
    "redis_server",
    "redis_url",
    "session",
]
URLS = {"postgres": "fresh_url", "redis": "redis_url"}
STORES = sorted(URLS)


class Closing(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closing)


def opening(
    request: pytest.FixtureRequest, kinds: dict[str, Callable[[str], T]]
) -> Iterator[Callable[[], T]]:
    """Yields what opens the store of this test once more, as another process would."""
    url = request.getfixturevalue(URLS[request.param])
    opened: list[T] = []

    def open_once_more() -> T:
        opened.append(kinds[request.param](url))
        return opened[-1]

    yield open_once_more
    for one in opened:
        one.close()


@pytest.fixture(params=STORES)
def make_bus(request: pytest.FixtureRequest) -> Iterator[Callable[[], EventBus]]:
    kinds: dict[str, Callable[[str], EventBus]] = {
        "postgres": PostgresEventBus,
        "redis": RedisEventBus,
    }
    yield from opening(request, kinds)


@pytest.fixture
def bus(make_bus: Callable[[], EventBus]) -> EventBus:
    """An empty event bus."""
    return make_bus()


@pytest.fixture(params=STORES)
def make_cache(request: pytest.FixtureRequest) -> Iterator[Callable[[], Cache]]:
    kinds: dict[str, Callable[[str], Cache]] = {"postgres": PostgresCache, "redis": RedisCache}
    yield from opening(request, kinds)


@pytest.fixture
def cache(make_cache: Callable[[], Cache]) -> Cache:
    """An empty cache."""
    return make_cache()


@pytest.fixture(params=STORES)
def make_limiter(request: pytest.FixtureRequest) -> Iterator[Callable[[], RateLimiter]]:
    kinds: dict[str, Callable[[str], RateLimiter]] = {
        "postgres": PostgresRateLimiter,
        "redis": RedisRateLimiter,
    }
    yield from opening(request, kinds)


@pytest.fixture
def limiter(make_limiter: Callable[[], RateLimiter]) -> RateLimiter:
    """A rate limiter all of whose buckets are full."""
    return make_limiter()


@pytest.fixture
def customer_ids(request: pytest.FixtureRequest) -> tuple[UUID, UUID]:
    """Two customers; where the bus is PostgreSQL, they are in its database."""
    ids = (UUID(int=1), UUID(int=2))
    if "postgres" in request.node.callspec.params.values():
        with (
            Database(request.getfixturevalue("fresh_url")) as database,
            database.transaction() as session,
        ):
            for id_ in ids:
                make_customer(session, id=id_)
    return ids


QDRANT_VARIABLE = "OPTIINFRA_TEST_QDRANT_URL"
MEMORIES = ("embedded", "owner", "server")


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerState]:
    """The process that owns the embedded stores and serves them."""
    home = tmp_path_factory.mktemp("owner")
    yield start_owner(home, has_postgres=False)
    stop_owner(home)


@pytest.fixture(scope="session")
def embedded_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutcomeMemory]:
    opened = open_embedded_memory(tmp_path_factory.mktemp("memory"))
    yield opened
    opened.close()


@pytest.fixture(params=MEMORIES)
def memory(request: pytest.FixtureRequest) -> Iterator[OutcomeMemory]:
    """An empty outcome memory: in this process, by the owner's REST interface, in a server."""
    if request.param == "embedded":
        opened = request.getfixturevalue("embedded_memory")
        opened.clear()
        yield opened
        return
    if request.param == "owner":
        state = request.getfixturevalue("owner")
        opened = open_server_memory(state.qdrant_url, api_key=state.qdrant_api_key)
    elif QDRANT_VARIABLE in os.environ:
        opened = open_server_memory(os.environ[QDRANT_VARIABLE])
    else:
        pytest.skip(f"NOT TESTED ON A QDRANT SERVER: {QDRANT_VARIABLE} names none")
    opened.clear()
    yield opened
    opened.close()
