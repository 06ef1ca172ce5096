"""Implementations that the contract suites run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from optiinfra.adapters.clickhouse import ClickHouseStore, open_store


@pytest.fixture(scope="session")
def chdb_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The one directory that this process opens with chDB."""
    path: Path = tmp_path_factory.mktemp("chdb")
    return f"chdb://{path}"


@pytest.fixture(scope="session", params=["embedded"])
def store(request: pytest.FixtureRequest, chdb_url: str) -> Iterator[ClickHouseStore]:
    """A migrated metric store; tests keep apart by customers of their own."""
    del request
    with open_store(chdb_url, is_migrated=False) as opened:
        opened.migrate()
        yield opened
