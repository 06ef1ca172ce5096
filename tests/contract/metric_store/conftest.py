"""Implementations that the suite of the metric store runs against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optiinfra.adapters.clickhouse import ClickHouseStore, open_store
from optiinfra.embedded.owner.starting import start_owner, stop_owner


@contextmanager
def owned(directory: Path) -> Iterator[str]:
    """The address of the ClickHouse of an owner, which runs for as long as the block."""
    state = start_owner(directory, has_postgres=False)
    try:
        assert state.clickhouse_url is not None
        yield state.clickhouse_url
    finally:
        stop_owner(directory)


@pytest.fixture(scope="session", params=["in process", "through the owner"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClickHouseStore]:
    """A migrated metric store; tests keep apart by customers of their own.

    This process opens one directory with chDB, and no other: chDB allows no second.
    """
    directory = tmp_path_factory.mktemp("stores")
    if request.param == "in process":
        with open_store(f"chdb://{directory}", is_migrated=False) as opened:
            opened.migrate()
            yield opened
        return
    with owned(directory) as url, open_store(url, is_migrated=False) as opened:
        opened.migrate()
        yield opened
