"""What is written comes back, in every JSON and enum column, by both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Enum, create_engine, make_url, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from tests.database.test_constraints import PREPARED
from tests.database.test_tenants import fill
from tests.factories.everything import fill_agents
from tests.fixtures_database import change_database, run_admin

from optiinfra.database.engine import Database, to_json
from optiinfra.database.models import Base

Store = Callable[[Column[Any], object], object]

COLUMNS = [column for table in Base.metadata.sorted_tables for column in table.columns]
JSON_COLUMNS = [column for column in COLUMNS if isinstance(column.type, JSONB)]
# Columns whose documents are lists; all others are objects.
LISTS = {"agents.capabilities", "agent_states.active_workflows"}
MEMBERS = [
    (column, member)
    for column in COLUMNS
    if isinstance(column.type, Enum) and column.type.enum_class is not None
    for member in column.type.enum_class
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=6)


@pytest.fixture(scope="module")
def filled_url(migrated_url: str) -> Iterator[str]:
    """A row in every table, and no trigger of ours that would keep it as it is."""
    name = "round_trips"
    run_admin(migrated_url, f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    url = change_database(migrated_url, name)
    with Database(url) as database, database.transaction() as session:
        fill(session)
        fill_agents(session)
    with Database(url) as database, database.transaction() as session:
        for table in Base.metadata.sorted_tables:
            session.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
        for statement in PREPARED:
            session.execute(text(statement))
    yield url
    run_admin(migrated_url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def storing_by_psycopg(url: str) -> Iterator[Store]:
    engine = create_engine(url, json_serializer=to_json)
    with engine.connect() as connection:

        def store(column: Column[Any], value: object) -> object:
            connection.execute(update(column.table).values({column: value}))
            return connection.execute(select(column).limit(1)).scalar_one()

        yield store
    engine.dispose()


@contextmanager
def storing_by_asyncpg(url: str) -> Iterator[Store]:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), json_serializer=to_json
    )

    async def store(connection: AsyncConnection, column: Column[Any], value: object) -> object:
        await connection.execute(update(column.table).values({column: value}))
        return (await connection.execute(select(column).limit(1))).scalar_one()

    with asyncio.Runner() as runner:
        connection = runner.run(_open(engine.connect()))

        def run(column: Column[Any], value: object) -> object:
            return runner.run(store(connection, column, value))

        yield run
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _open(connecting: Any) -> AsyncConnection:
    connection: AsyncConnection = await connecting
    return connection


DRIVERS = {"psycopg": storing_by_psycopg, "asyncpg": storing_by_asyncpg}


@pytest.fixture(scope="module", params=DRIVERS)
def store(request: pytest.FixtureRequest, filled_url: str) -> Iterator[Store]:
    """Writes a value into a column of every row and reads it again, by one of the drivers."""
    with DRIVERS[request.param](filled_url) as store:
        yield store


def is_same(written: object, found: object) -> bool:
    """JSON has one kind of number: a large float comes back as the integer of its digits."""
    match written:
        case bool() | None:
            return found is written
        case float():
            return isinstance(found, int | float) and float(found) == written
        case dict():
            return (
                isinstance(found, dict)
                and written.keys() == found.keys()
                and all(is_same(value, found[key]) for key, value in written.items())
            )
        case list():
            return (
                isinstance(found, list)
                and len(written) == len(found)
                and all(map(is_same, written, found))
            )
    return type(found) is type(written) and found == written


@settings(max_examples=150, deadline=None)
@given(column=st.sampled_from(JSON_COLUMNS), data=st.data())
def test_documents_come_back(store: Store, column: Column[Any], data: st.DataObject) -> None:
    is_list = f"{column.table.name}.{column.name}" in LISTS
    kinds = st.lists(VALUES, max_size=5) if is_list else OBJECTS
    document = data.draw(kinds | st.none() if column.nullable else kinds)
    assert is_same(document, store(column, document))


def test_members_come_back(store: Store) -> None:
    """All of them in every column that takes them: there are few enough to leave none to chance."""
    assert len({type(member) for _, member in MEMBERS}) == 22
    for column, member in MEMBERS:
        assert store(column, member) is member
