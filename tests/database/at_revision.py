"""Databases at any revision, each made once a session from the one before and then copied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.fixtures_database import change_database, run_admin

from optiinfra.database import migrate

AtRevision = Callable[[str], str]


@pytest.fixture(scope="session")
def make_template(postgres_url: str) -> AtRevision:
    """The name of a database at that revision, to be copied and never changed."""
    made: dict[str, str] = {}

    def make(revision: str) -> str:
        if revision not in made:
            name = f"at_{revision}"
            earlier = [known for known in sorted(made) if known < revision]
            copy = f" TEMPLATE {made[earlier[-1]]} STRATEGY file_copy" if earlier else ""
            run_admin(postgres_url, f"CREATE DATABASE {name}{copy}")
            migrate.upgrade(change_database(postgres_url, name), revision)
            made[revision] = name
        return made[revision]

    return make


@pytest.fixture
def make_at(make_template: AtRevision, make_database: Callable[..., str]) -> AtRevision:
    """The URL of a new database at that revision, of the test's own."""
    return lambda revision: make_database(make_template(revision))
