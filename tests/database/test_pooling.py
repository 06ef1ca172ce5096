"""Behind PgBouncer in transaction mode nothing of one transaction is left to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text
from tests.database.pooler import NUM_SERVER_CONNECTIONS, PROGRAM, pooling
from tests.factories.core import make_agent, make_customer, make_event

from optiinfra.database import migrate
from optiinfra.database.driver import connecting
from optiinfra.database.engine import Database, Role
from optiinfra.domain.errors import DatabaseError

pytestmark = [
    pytest.mark.pgbouncer,
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"),
]
STATE = text("""
    SELECT current_user, current_setting('optiinfra.customer_id', true),
           current_setting('lock_timeout'), current_setting('statement_timeout'),
           current_setting('timezone')""")


@pytest.fixture(scope="module")
def pooler_url(postgres_url: str) -> Iterator[str]:
    with pooling(postgres_url) as url:
        yield url


@pytest.fixture
def pooled(pooler_url: str, fresh_url: str) -> Iterator[Database]:
    """A database of the test's own, by way of the pooler."""
    url = make_url(pooler_url).set(database=make_url(fresh_url).database)
    with Database(url.render_as_string(hide_password=False)) as database:
        yield database


def list_states(database: Database) -> set[tuple[object, ...]]:
    """What transactions find that set nothing, over all connections of the pool."""

    def ask(_: int) -> tuple[object, ...]:
        with database.reading() as session:
            return tuple(session.execute(STATE).one())

    with ThreadPoolExecutor(max_workers=4 * NUM_SERVER_CONNECTIONS) as threads:
        return set(threads.map(ask, range(40)))


def test_role_and_tenant_end_with_the_transaction(pooled: Database) -> None:
    with pooled.transaction() as session:
        customers = [make_customer(session).id for _ in range(6)]
        for customer in customers:
            session.execute(
                text("INSERT INTO events (customer_id, event_type) VALUES (:c, 'e')"),
                {"c": customer},
            )
    before = list_states(pooled)

    def read(number: int) -> bool:
        customer = customers[number % len(customers)]
        with pooled.reading(role=Role.APP, customer_id=customer) as session:
            found = session.execute(text("SELECT customer_id FROM events")).scalars().all()
        return found == [customer]

    with ThreadPoolExecutor(max_workers=8) as threads:
        assert all(threads.map(read, range(200)))
    after = list_states(pooled)
    assert {state[0] for state in after} == {state[0] for state in before}
    assert {state[1] or None for state in after} == {None}


def test_statements_that_repeat_are_not_prepared_on_one_connection(pooled: Database) -> None:
    """Otherwise the next transaction asks another connection for what only the first one has."""
    with pooled.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)

    def write(number: int) -> int:
        with pooled.transaction() as session:
            for _ in range(12):
                make_event(session, customer, agent_id=agent.id, data={"n": number})
        return number

    with ThreadPoolExecutor(max_workers=8) as threads:
        assert list(threads.map(write, range(24))) == list(range(24))
    with pooled.reading() as session:
        assert session.execute(text("SELECT count(*) FROM events")).scalar_one() == 24 * 12


def test_an_upgrade_leaves_nothing_to_the_sessions_after_it(
    pooler_url: str, make_database: Callable[..., str]
) -> None:
    name = make_url(make_database()).database
    url = make_url(pooler_url).set(database=name).render_as_string(hide_password=False)
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.list_revisions()[-1]
    migrate.require_schema(url)
    with Database(url) as database:
        assert {state[2:4] for state in list_states(database)} == {("0", "0")}


def test_a_direct_connection_may_prepare(fresh_url: str) -> None:
    url = make_url(fresh_url).update_query_dict({"prepare_threshold": "2"})
    with Database(url.render_as_string(hide_password=False)) as database:
        query = text("SELECT count(*) FROM pg_prepared_statements")
        with database.reading() as session:
            assert [session.execute(query).scalar_one() for _ in range(4)] == [0, 0, 1, 1]
    with Database(fresh_url) as database, database.reading() as session:
        assert {session.execute(query).scalar_one() for _ in range(9)} == {0}
    with connecting(url.render_as_string(hide_password=False)) as connection:
        assert connection.prepare_threshold == 2
    with pytest.raises(DatabaseError, match="prepare_threshold=often"):
        Database(f"{fresh_url}&prepare_threshold=often")
