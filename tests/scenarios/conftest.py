"""Files a user would have, and a database of the test's own on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.fixtures_database import (
    database,
    fresh_url,
    make_database,
    migrated_url,
    open_dir,
    postgres_url,
)
from tests.scenarios.files import Files, write_files

from optiinfra.settings import Settings

__all__ = [
    "database",
    "fresh_url",
    "make_database",
    "migrated_url",
    "open_dir",
    "postgres_url",
]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A fleet of four H100 where two suffice, and its traffic."""
    return write_files(tmp_path)


@pytest.fixture
def settings(fresh_url: str) -> Settings:
    return Settings(database_url=SecretStr(fresh_url))
