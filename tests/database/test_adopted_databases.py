"""A database that somebody else's revisions 001 to 005 made is upgraded without losing a row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, make_url, select, text
from tests.database.at_revision import Templates
from tests.database.made_elsewhere import IDS, LAST, PLAIN_KEY, WEAK_KEY
from tests.database.test_migrations import dump

from optiinfra.database import migrate
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import MigrationFinding
from optiinfra.database.repositories import Customers
from optiinfra.domain.errors import DatabaseError

TABLES = """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN ('alembic_version',
    'migration_findings', 'audit_log', 'workflow_state_transitions')"""


def count_rows(connection: Connection) -> dict[str, int]:
    tables = connection.execute(text(TABLES)).scalars().all()
    return {
        table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
        for table in tables
    }


@pytest.fixture
def elsewhere_url(elsewhere: Templates, make_database: Callable[..., str]) -> str:
    """Somebody else's database, with rows."""
    return make_database(elsewhere.get_name(LAST))


def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    with make_engine(url, is_pooled=False).connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_the_schema_becomes_ours(elsewhere_url: str, make_database: Callable[..., str]) -> None:
    ours = make_database()
    for revision in ("006_adopted_databases", "head"):
        migrate.upgrade(ours, revision)
        migrate.upgrade(elsewhere_url, revision)
        assert dump(elsewhere_url) == dump(ours)


def test_no_row_is_lost(elsewhere_url: str) -> None:
    engine = make_engine(elsewhere_url, is_pooled=False)
    with engine.connect() as connection:
        before = count_rows(connection)
    migrate.upgrade(elsewhere_url)
    with engine.connect() as connection:
        after = count_rows(connection)
        quarantined = connection.execute(
            text("""SELECT table_name, count(*) FROM migration_findings
                WHERE action = 'quarantined' GROUP BY 1""")
        )
        aside = {row[0]: row[1] for row in quarantined}
    assert before == {table: after[table] + aside.get(table, 0) for table in before}
    assert aside == {
        "agent_metrics": 1,
        "approvals": 1,
        "quality_metrics": 1,
        "quality_regressions": 1,
        "resource_metrics": 1,
    }


def test_what_was_mended_is_listed_as_it_was(elsewhere_url: str) -> None:
    migrate.upgrade(elsewhere_url)
    with Database(elsewhere_url) as database, database.reading() as session:
        found = session.scalars(select(MigrationFinding)).all()
        session.expunge_all()
    mended = {(finding.table_name, finding.rule) for finding in found if finding.action == "mended"}
    assert mended >= {
        ("optimizations", "takes the tenant of recommendations"),
        ("quality_regressions", "takes the tenant of quality_baselines"),
        ("scaling_events", "lets go of another tenant's workflow_executions"),
        ("workflow_artifacts", "lets go of another execution's step"),
        ("workflow_steps", "moves behind the last step"),
        ("optimizations", "one is live, others failed"),
        ("agent_metrics", "a counter below 0 is a gauge"),
    }
    steps = "SELECT step_order FROM workflow_steps ORDER BY 1"
    assert [row[0] for row in fetch(elsewhere_url, steps)] == [1, 2, 3, 4]
    nan = [f for f in found if f.action == "quarantined" and f.table_name == "agent_metrics"]
    assert nan[0].row_before["metric_value"] == "NaN"
    live = "SELECT status::text, customer_id::text FROM optimizations ORDER BY 1"
    assert fetch(elsewhere_url, live) == [
        ("completed", IDS["a"]),
        ("completed", IDS["a"]),
        ("executing", IDS["a"]),
        ("failed", IDS["a"]),
    ]
    baseline = "SELECT avg_overall_score, sample_size, valid_until = established_at FROM"
    assert fetch(elsewhere_url, f"{baseline} quality_baselines") == [(1.0, 0, True)]
    digests = "SELECT evidence_digest FROM recommendations UNION SELECT evidence_digest FROM"
    assert fetch(elsewhere_url, f"{digests} approvals") == [("abc",)]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_naive_times_were_utc(elsewhere_url: str, zone: str) -> None:
    url = make_url(elsewhere_url)
    with make_engine(elsewhere_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {url.database} SET timezone = '{zone}'")
    migrate.upgrade(elsewhere_url)
    found = fetch(elsewhere_url, "SELECT timestamp FROM resource_metrics")[0][0]
    assert found == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_a_plain_key_keeps_working_and_a_weak_one_is_marked(elsewhere_url: str) -> None:
    migrate.upgrade(elsewhere_url)
    with Database(elsewhere_url) as database, database.reading() as session:
        customers = Customers(session)
        strong, weak = customers.find_by_key(PLAIN_KEY), customers.find_by_key(WEAK_KEY)
        assert strong is not None
        assert weak is not None
        assert (strong.name, strong.is_api_key_weak) == ("A", False)
        assert strong.api_key_prefix == "01234567"
        assert (weak.name, weak.is_api_key_weak) == ("B", True)
        assert strong.api_key_digest == hashlib.sha256(PLAIN_KEY.encode()).hexdigest()
        with pytest.raises(AttributeError, match="never read"):
            _ = strong.api_key


def test_going_back_refuses_a_loss_until_it_is_accepted(elsewhere_url: str) -> None:
    migrate.upgrade(elsewhere_url)
    before = dump(elsewhere_url)
    with pytest.raises(DatabaseError, match="would lose the history of capability") as caught:
        migrate.downgrade(elsewhere_url, LAST)
    assert "Nothing was changed" in caught.value.remedy
    assert "--accept-loss" in caught.value.remedy
    for lost in ("workflow states", "every customer's API key", "rows that were set aside"):
        assert lost in caught.value.problem  # of every step, not of the first alone
    assert migrate.current(elsewhere_url) == migrate.list_revisions()[-1]
    assert dump(elsewhere_url) == before
    migrate.downgrade(elsewhere_url, LAST, accept_loss=True)
    assert migrate.current(elsewhere_url) == LAST
    keys = fetch(elsewhere_url, "SELECT DISTINCT left(api_key, 9) FROM customers")
    assert keys == [("unusable-",)]
    migrate.upgrade(elsewhere_url)


@pytest.mark.parametrize("revision", ["base", "001_core_schema", "003_workflow_history"])
def test_tables_with_rows_are_not_dropped_unasked(elsewhere_url: str, revision: str) -> None:
    with pytest.raises(DatabaseError, match="would lose"):
        migrate.downgrade(elsewhere_url, revision)
    assert migrate.current(elsewhere_url) == LAST
    migrate.downgrade(elsewhere_url, revision, accept_loss=True)
    assert migrate.current(elsewhere_url) == (None if revision == "base" else revision)
