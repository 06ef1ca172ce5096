"""What an upgrade mended or set aside is printed, listed, and its customer's."""
# ruff: noqa: S608 - statements of constants of this module

from __future__ import annotations

import json

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tests.database.test_database_commands import Shell
from tests.factories.core import make_customer
from tests.factories.records import make_finding

from optiinfra.database import migrate
from optiinfra.database.engine import make_engine
from optiinfra.database.repositories.migration_findings import MigrationFindings

A = "00000000-0000-4000-8000-00000000000a"
B = "00000000-0000-4000-8000-00000000000b"
# Two answers that cannot be, one of them with a latency, and an optimization across tenants.
ROWS = f"""
    INSERT INTO customers (id, name, email, api_key) VALUES
        ('{A}', 'A', 'person@a.example', 'a'), ('{B}', 'B', 'person@b.example', 'b');
    INSERT INTO agents (id, type, name) VALUES ('{A}', 'cost', 'Cost Optimizer');
    INSERT INTO quality_metrics (agent_id, customer_id, request_id, model_name, model_version,
                                 overall_quality_score, latency_ms, timestamp, metadata) VALUES
        ('{A}', '{A}', 'r1', 'm', '1', 85, 1, now(), '{{"user": "Jane Doe"}}'),
        ('{A}', '{B}', 'r2', 'm', '1', 0.5, -1, now(), '{{}}');
    INSERT INTO recommendations (id, customer_id, agent_id, type, title)
        VALUES ('{A}', '{A}', '{A}', 't', 't');
    INSERT INTO optimizations (recommendation_id, customer_id, agent_id)
        VALUES ('{A}', '{B}', '{A}')
"""


def list_rows(url: str, query: str) -> list[tuple[object, ...]]:
    with make_engine(url, is_pooled=False).connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def test_an_upgrade_says_what_it_did_to_rows_and_purge_takes_their_findings(
    shell: Shell, empty_url: str
) -> None:
    migrate.upgrade(empty_url, "005_application_schema")
    with make_engine(empty_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql(ROWS)
    assert shell.run(empty_url, "upgrade", "012").splitlines() == [
        "012_tenants: 1 row mended: takes the tenant of recommendations",
        "`optiinfra db findings` lists them as they were.",
        "From 005_application_schema to 012_tenants.",
    ]
    said = shell.run(empty_url, "upgrade").splitlines()
    assert said[:2] == [
        "013_checks: 1 row mended: what cannot be becomes unknown",
        "013_checks: 1 row set aside: a number that cannot be is set aside with its row",
    ]
    assert shell.run(empty_url, "upgrade").startswith("Nothing to do")
    first = shell.run(empty_url, "findings", "--limit", "2").splitlines()
    assert first[0].startswith("1  012_tenants  optimizations ")
    assert first[0].endswith("  mended: takes the tenant of recommendations")
    assert first[2] == "There may be more: --after 2."
    assert "Jane Doe" not in "".join(first)
    rest = json.loads(shell.run(empty_url, "findings", "--json", "--after", "2"))
    assert rest["next_after"] is None
    (aside,) = rest["findings"]
    assert (aside["customer_id"], aside["action"]) == (A, "quarantined")
    assert aside["row_before"]["metadata"] == {"user": "Jane Doe"}
    query = "SELECT id, customer_id::text FROM migration_findings ORDER BY id"
    # Whose the optimization was that named B and hung on a recommendation of A is not known.
    assert list_rows(empty_url, query) == [(1, None), (2, B), (3, A)]
    shell.run(empty_url, "purge", "--customer", "person@a.example", "--yes")
    assert list_rows(empty_url, query) == [(2, B)]


def test_findings_of_a_customer_who_is_no_more_go_with_the_upgrade(empty_url: str) -> None:
    migrate.upgrade(empty_url, "005_application_schema")
    with make_engine(empty_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql(ROWS)
    before = migrate.list_revisions().index("034_findings_of_customers") - 1
    migrate.upgrade(empty_url, migrate.list_revisions()[before])
    with make_engine(empty_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM customers WHERE id = '{A}'")
    migrate.upgrade(empty_url)
    query = "SELECT table_name, customer_id::text FROM migration_findings ORDER BY id"
    assert list_rows(empty_url, query) == [("quality_metrics", B)]


def test_a_finding_of_a_later_revision_gets_its_customer_by_itself(session: Session) -> None:
    customer = make_customer(session)
    own = make_finding(session, customer)
    self_ = make_finding(
        session, customer, table_name="customers", row_before={"id": str(customer.id)}
    )
    other = make_finding(session, customer, rule="takes the tenant of recommendations")
    shared = make_finding(session, customer, table_name="agent_metrics", row_before={"n": 1})
    session.expire_all()
    found = [row.customer_id for row in (own, self_, other, shared)]
    assert found == [customer.id, customer.id, None, None]
    session.execute(text("DELETE FROM customers"))
    assert [row.id for row in MigrationFindings(session).list_page()] == [other.id, shared.id]
