"""Databases at any revision, each made once a session from the one before and then copied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.database import made_elsewhere
from tests.fixtures_database import change_database, run_admin

from optiinfra.database import migrate

AtRevision = Callable[[str], str]


class Templates:
    """Databases to be copied and never changed; `fill` is run on the first one, at its revision."""

    def __init__(self, server_url: str, prefix: str, fill: Callable[[str], None]) -> None:
        self._server_url = server_url
        self._prefix = prefix
        self._fill = fill
        self._made: dict[str, str] = {}

    def get_name(self, revision: str) -> str:
        """The name of the one at that revision."""
        if revision not in self._made:
            name = f"{self._prefix}_{revision}"
            earlier = [known for known in sorted(self._made) if known < revision]
            copy = f" TEMPLATE {self._made[earlier[-1]]} STRATEGY file_copy" if earlier else ""
            run_admin(self._server_url, f"CREATE DATABASE {name}{copy}")
            url = change_database(self._server_url, name)
            migrate.upgrade(url, revision)
            if not earlier:
                self._fill(url)
            self._made[revision] = name
        return self._made[revision]

    def get_url(self, revision: str) -> str:
        """Where to read that one; close the connection before it is copied."""
        return change_database(self._server_url, self.get_name(revision))


@pytest.fixture(scope="session")
def templates(postgres_url: str) -> Templates:
    """Databases that our revisions made, without rows."""
    return Templates(postgres_url, "at", lambda _: None)


@pytest.fixture(scope="session")
def elsewhere(postgres_url: str) -> Templates:
    """Databases that somebody else made, with rows."""
    found = Templates(postgres_url, "elsewhere", made_elsewhere.fill)
    found.get_name(made_elsewhere.LAST)
    return found


@pytest.fixture
def make_at(templates: Templates, make_database: Callable[..., str]) -> AtRevision:
    """The URL of a new database at that revision, of the test's own."""
    return lambda revision: make_database(templates.get_name(revision))
