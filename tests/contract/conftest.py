"""Fixtures of the contract tests: one suite a port, each implementation on its real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

from optiinfra.adapters.redis_bus import RedisEventBus
from optiinfra.database.engine import Database
from optiinfra.database.event_bus import PostgresEventBus
from optiinfra.ports.event_bus import EventBus

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
BUSES: dict[str, tuple[str, Callable[[str], EventBus]]] = {
    "postgres": ("fresh_url", PostgresEventBus),
    "redis": ("redis_url", RedisEventBus),
}


@pytest.fixture(params=sorted(BUSES))
def make_bus(request: pytest.FixtureRequest) -> Iterator[Callable[[], EventBus]]:
    """Opens the bus of this test once more, as another process would."""
    fixture, kind = BUSES[request.param]
    url = request.getfixturevalue(fixture)
    opened: list[EventBus] = []

    def open_once_more() -> EventBus:
        opened.append(kind(url))
        return opened[-1]

    yield open_once_more
    for bus in opened:
        bus.close()


@pytest.fixture
def bus(make_bus: Callable[[], EventBus]) -> EventBus:
    """An empty event bus."""
    return make_bus()


@pytest.fixture
def customer_ids(request: pytest.FixtureRequest) -> tuple[UUID, UUID]:
    """Two customers; where the bus is PostgreSQL, they are in its database."""
    ids = (UUID(int=1), UUID(int=2))
    if request.node.callspec.params.get("make_bus") == "postgres":
        with (
            Database(request.getfixturevalue("fresh_url")) as database,
            database.transaction() as session,
        ):
            for id_ in ids:
                make_customer(session, id=id_)
    return ids
