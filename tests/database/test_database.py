"""Transactions and readings, and what happens when the database is not as it should be."""

from __future__ import annotations

import socket
import threading

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.engine import make_url
from tests.factories.core import make_customer
from tests.fixtures_database import change_database

from optiinfra.database.engine import Database, WriteInReadingError
from optiinfra.database.models import Customer, Recommendation
from optiinfra.domain.errors import ConstraintError, DatabaseError


def count_customers(database: Database) -> int:
    with database.reading() as session:
        return len(session.scalars(select(Customer.id)).all())


def test_a_transaction_is_kept_when_its_block_ends(database: Database) -> None:
    with database.transaction() as session:
        customer = make_customer(session)
    assert customer.name == "Acme"  # not expired by the commit
    assert count_customers(database) == 1


def test_a_transaction_is_undone_when_its_block_raises(database: Database) -> None:
    def fail_halfway() -> None:
        with database.transaction() as session:
            make_customer(session)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert count_customers(database) == 0


def test_reading_refuses_to_flush(database: Database) -> None:
    with pytest.raises(WriteInReadingError, match="asked to write"), database.reading() as session:
        make_customer(session)
    with database.transaction() as session:
        make_customer(session)
    with database.reading() as session:
        session.scalars(select(Customer)).one().name = "Other"
        with pytest.raises(WriteInReadingError):
            session.flush()
    assert count_customers(database) == 1


def test_reading_refuses_statements_that_write(database: Database) -> None:
    with pytest.raises(WriteInReadingError), database.reading() as session:
        session.execute(delete(Customer))
    with pytest.raises(DatabaseError, match="read-only"), database.reading() as session:
        session.execute(text("DELETE FROM customers"))
    with database.transaction() as session:  # the same connection writes again
        make_customer(session)
    assert count_customers(database) == 1


def test_a_constraint_that_refuses_is_our_error_without_values(database: Database) -> None:
    with database.transaction() as session:
        make_customer(session, api_key="a" * 64)
    with pytest.raises(DatabaseError) as caught, database.transaction() as session:
        make_customer(session, api_key="a" * 64)
    assert "customers_api_key_key" in caught.value.problem
    assert "INSERT" not in str(caught.value)


def test_nan_never_reaches_a_json_column(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught, database.transaction() as session:
        make_customer(session, customer_metadata={"saving": float("nan")})
    assert str(caught.value).startswith("customers.metadata: nan at $.saving is not finite.")


def test_a_server_that_is_down_is_named_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql://someone:s3cret@127.0.0.1:{port}/optiinfra"
        database = Database(url)
        with pytest.raises(DatabaseError) as caught, database.reading() as session:
            session.execute(text("SELECT 1"))
    error = caught.value
    assert error.exit_code == 2
    assert f"127.0.0.1:{port}/optiinfra" in error.problem
    assert "refused" in error.problem
    assert "OPTIINFRA_DATABASE_URL" in error.remedy
    assert "s3cret" not in str(error)
    database.close()


def test_a_wrong_password_is_not_repeated(postgres_url: str) -> None:
    wrong = make_url(postgres_url).set(password="wr0ng")  # noqa: S106 - on purpose
    with Database(wrong.render_as_string(hide_password=False)) as database:
        with pytest.raises(DatabaseError, match="authentication") as caught:
            count_customers(database)
        assert "wr0ng" not in str(caught.value)
        assert "password" in caught.value.remedy


def test_a_database_without_our_schema(empty_url: str) -> None:
    with Database(empty_url) as database:
        with pytest.raises(DatabaseError, match="customers") as caught:
            count_customers(database)
        assert "upgrade" in caught.value.remedy


def test_a_database_that_is_missing(postgres_url: str) -> None:
    with Database(change_database(postgres_url, "missing")) as database:
        with pytest.raises(DatabaseError, match='"missing" does not exist') as caught:
            count_customers(database)
        assert "Create that database" in caught.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "postgresql://u:hunter2@host:notaport/db",
        "sqlite:///hunter2.db",
        "mysql://u:hunter2@host/db",
    ],
)
def test_a_url_that_is_no_use_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DatabaseError, match="database URL") as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)
    assert "postgresql://user:password@host" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_uses_psycopg(fresh_url: str, scheme: str) -> None:
    rest = fresh_url.split("://", 1)[1]
    with Database(f"{scheme}://{rest}") as database:
        assert count_customers(database) == 0


def test_names_hide_passwords() -> None:
    assert Database("postgresql://u:p@db.example:5433/ours").name == "db.example:5433/ours"
    assert Database("postgresql://u:p@/ours?host=%2Frun%2Fpg").name == "/run/pg/ours"


def test_a_connection_that_broke_is_replaced(database: Database) -> None:
    assert count_customers(database) == 0
    with Database(database_url(database)) as other, other.transaction() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    assert count_customers(database) == 0


def database_url(database: Database) -> str:
    return database._engine.url.render_as_string(hide_password=False)


def test_a_connection_that_comes_back_late_is_closed(fresh_url: str) -> None:
    database = Database(fresh_url)
    with database.reading() as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        database.close()
        assert not driver.closed
    assert driver.closed


def test_threads_share_a_database(database: Database) -> None:
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            start.wait(timeout=30)
            with database.transaction() as session:
                make_customer(session)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert count_customers(database) == 8
    with database.reading() as session:
        assert session.scalars(select(Recommendation)).all() == []
