"""A real PostgreSQL for tests: one server a session, started by our own launcher.

Import what a folder needs into its conftest.py. As root the server runs as another user, who may
not enter pytest's own temporary directories; `open_dir` is one that everybody may enter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session

from optiinfra.database import migrate, partitions
from optiinfra.database.engine import Database, WritingSession, make_engine, to_json
from optiinfra.embedded.postgres import running

# Nothing of a test needs to outlive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
}
# A copy of a database is 300 files: in memory it takes a tenth of the time that it takes on a disk.
IN_MEMORY, ON_DISK = Path("/dev/shm"), Path("/tmp")  # noqa: S108 - a short path, and made private
ROOM_BYTES = 8 * 1024**3
TEMPLATE = "migrated"
# Names the programs of another PostgreSQL to run the tests on, such as the oldest one supported.
BIN_VARIABLE = "OPTIINFRA_TEST_POSTGRES_BIN_DIR"
# Whatever the day on which the tests run, the instants that they use have a place.
END_OF_PARTITIONS = datetime(2028, 1, 1, tzinfo=UTC)


@contextmanager
def make_open_dir(parent: Path = ON_DISK) -> Iterator[Path]:
    """A directory with a short path that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="optiinfra-test-", dir=parent))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """For a data directory of an embedded server of the test's own."""
    with make_open_dir() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The server that all tests share; its own database stays empty."""
    named = os.environ.get(BIN_VARIABLE)
    bin_dir = Path(named) if named else None
    with (
        make_open_dir(_find_fastest()) as directory,
        running(directory / "data", bin_dir=bin_dir, settings=FAST) as url,
    ):
        yield url


def _find_fastest() -> Path:
    """Memory where there is a file system in it with room for every worker's server."""
    try:
        has_room = shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES
    except OSError:
        return ON_DISK
    return IN_MEMORY if has_room and os.access(IN_MEMORY, os.W_OK | os.X_OK) else ON_DISK


def change_database(url: str, name: str) -> str:
    """The same server, another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def run_admin(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    engine = create_engine(change_database(url, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """A database that the migrations made; tests that commit use `fresh_url`."""
    run_admin(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    url = change_database(postgres_url, TEMPLATE)
    migrate.upgrade(url)
    partitions.create_ahead(make_engine(url, is_pooled=False), until=END_OF_PARTITIONS)
    return url


_numbers = count(1)


@pytest.fixture
def make_database(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Make a database, by name of its template; it is dropped after the test."""
    names = []

    def make(template: str | None = None) -> str:
        name = f"test_{next(_numbers)}"
        copy = f" TEMPLATE {template} STRATEGY file_copy" if template else ""
        run_admin(postgres_url, f"CREATE DATABASE {name}{copy}")
        names.append(name)
        return change_database(postgres_url, name)

    yield make
    for name in names:
        run_admin(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_url(make_database: Callable[..., str]) -> str:
    """A database with nothing in it."""
    return make_database()


@pytest.fixture
def fresh_url(make_database: Callable[..., str], migrated_url: str) -> str:
    """A migrated database of the test's own, to commit in."""
    del migrated_url  # the template must be there, and nobody connected to it
    return make_database(TEMPLATE)


@pytest.fixture
def database(fresh_url: str) -> Iterator[Database]:
    """The same, ready for transactions."""
    with Database(fresh_url) as database:
        yield database


@pytest.fixture
def session(migrated_url: str) -> Iterator[Session]:
    """A session in one outer transaction, with savepoints inside; all is rolled back."""
    # Connections are closed at once: a template with a connection to it cannot be copied.
    engine = create_engine(migrated_url, json_serializer=to_json)
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        transaction.rollback()
    engine.dispose()


@contextmanager
def make_checked_session(url: str) -> Iterator[Session]:
    """A session as Database makes them, with its checks and errors; all is rolled back."""
    with Database(url) as database, database._engine.connect() as connection:
        transaction = connection.begin()
        with WritingSession(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        transaction.rollback()


@pytest.fixture
def checked_session(migrated_url: str) -> Iterator[Session]:
    """The same, for one test."""
    with make_checked_session(migrated_url) as session:
        yield session
