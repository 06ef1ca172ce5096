"""A database that somebody else's revisions 001 to 005 made is upgraded without losing a row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, make_url, select, text
from tests.database.test_migrations import dump

from optiinfra.database import migrate
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import MigrationFinding
from optiinfra.database.repositories import Customers
from optiinfra.domain.errors import DatabaseError

LAST = "005_application_schema"
PLAIN_KEY = "0123456789abcdef0123456789abcdef"  # a UUID's hex digits
WEAK_KEY = "test-key"
# How tables of other hands differ: naive times, no defaults, names of PostgreSQL's or their own.
FORM = """
    ALTER TABLE resource_metrics ALTER timestamp TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp, ALTER id DROP DEFAULT;
    ALTER TABLE scaling_events ALTER executed_at TYPE timestamp, ALTER completed_at TYPE timestamp,
        ALTER created_at DROP DEFAULT, ALTER created_at TYPE timestamp,
        ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE timestamp;
    ALTER TABLE quality_metrics ALTER timestamp TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp;
    ALTER TABLE quality_baselines ALTER established_at TYPE timestamp,
        ALTER valid_until TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp;
    ALTER TABLE quality_regressions ALTER detected_at TYPE timestamp,
        ALTER resolved_at TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp, ALTER updated_at DROP DEFAULT,
        ALTER updated_at TYPE timestamp;
    ALTER TABLE customers ALTER id DROP DEFAULT, ALTER plan DROP DEFAULT;
    ALTER TABLE customers RENAME CONSTRAINT customers_api_key_key TO their_key;
    ALTER TABLE agent_capabilities RENAME CONSTRAINT uq_agent_capability TO their_capability;
    ALTER TABLE approvals RENAME CONSTRAINT approvals_recommendation_id_fkey TO their_fkey;
    ALTER TABLE approvals RENAME CONSTRAINT approvals_pkey TO their_pkey;
    ALTER TABLE scaling_events DROP CONSTRAINT scaling_events_workflow_execution_id_fkey,
        ADD CONSTRAINT theirs FOREIGN KEY (workflow_execution_id)
            REFERENCES workflow_executions (id);
    ALTER TABLE quality_metrics DROP CONSTRAINT quality_metrics_request_id_key;
    ALTER INDEX idx_rec_type RENAME TO their_index;
    DROP INDEX idx_opt_status;
    DROP INDEX ix_quality_metrics_request_id;
    CREATE UNIQUE INDEX theirs_unique ON quality_metrics (request_id)
"""
# Rows, many of which break what later revisions check. {a} and {b} are customers, {g} the agent.
ROWS = """
    INSERT INTO customers (id, name, email, api_key, plan) VALUES
        ('{a}', 'A', 'a@example.com', '{plain}', 'free'),
        ('{b}', 'B', 'b@example.com', '{weak}', 'free');
    INSERT INTO agents (id, type, name) VALUES ('{g}', 'cost', 'Cost Optimizer');
    INSERT INTO agent_capabilities (agent_id, capability_name, enabled) VALUES
        ('{g}', 'one', true), ('{g}', 'two', false);
    INSERT INTO agent_metrics (agent_id, metric_name, metric_value, metric_type) VALUES
        ('{g}', 'fine', 1, 'gauge'), ('{g}', 'nan', 'NaN', 'gauge'),
        ('{g}', 'minus', -1, 'counter');
    INSERT INTO recommendations (id, customer_id, agent_id, type, title, data) VALUES
        ('{r}', '{a}', '{g}', 't', 'ours', '{{"evidence_digest": "abc"}}');
    INSERT INTO approvals (recommendation_id, approved_by, status) VALUES
        ('{r}', 'boss', 'approved'), ('{r}', 'boss', 'rejected'), ('{r}', 'other', 'approved');
    INSERT INTO optimizations (recommendation_id, customer_id, agent_id, status, started_at,
        completed_at) VALUES
        ('{r}', '{b}', '{g}', 'executing', '2026-01-02', NULL),
        ('{r}', '{a}', '{g}', 'queued', NULL, NULL),
        ('{r}', '{a}', '{g}', 'completed', '2026-01-02', NULL),
        ('{r}', '{a}', '{g}', 'completed', '2026-01-02', '2026-01-01');
    INSERT INTO workflow_executions (id, agent_id, customer_id, workflow_type, status) VALUES
        ('{e}', '{g}', '{a}', 'cost_analysis', 'running'),
        ('{f}', '{g}', '{b}', 'cost_analysis', 'completed');
    INSERT INTO workflow_steps (id, workflow_execution_id, step_name, step_order, status,
        retry_count) VALUES
        ('{s}', '{e}', 'one', 1, 'completed', -1),
        (gen_random_uuid(), '{e}', 'two', 1, 'pending', 0),
        (gen_random_uuid(), '{e}', 'three', 1, 'pending', 0),
        (gen_random_uuid(), '{e}', 'four', 2, 'pending', 0);
    INSERT INTO workflow_artifacts (workflow_execution_id, workflow_step_id, artifact_type,
        artifact_name, artifact_path, artifact_size_bytes) VALUES
        ('{f}', '{s}', 'report', 'n', 'p', -5);
    INSERT INTO resource_metrics (id, agent_id, customer_id, instance_id, resource_type,
        metric_name, metric_value, unit, timestamp, created_at) VALUES
        (gen_random_uuid(), '{g}', '{a}', 'i', 'gpu', 'm', 1, 'u', '2026-01-02 03:04', now()),
        (gen_random_uuid(), '{g}', '{a}', 'i', 'gpu', 'm', 'Infinity', 'u', '2026-01-02', now());
    INSERT INTO scaling_events (agent_id, customer_id, workflow_execution_id, event_type,
        trigger_reason, before_state, after_state, executed_at, completed_at, created_at,
        updated_at) VALUES
        ('{g}', '{a}', '{f}', 'scale_up', 'r', '{{}}', '{{}}', '2026-01-02', '2026-01-01', now(),
         now());
    INSERT INTO quality_metrics (agent_id, customer_id, request_id, model_name, model_version,
        latency_ms, relevance_score, overall_quality_score, timestamp, created_at) VALUES
        ('{g}', '{a}', '1', 'm', '1', 'NaN', 1.5, 0.5, '2026-01-02', now()),
        ('{g}', '{a}', '2', 'm', '1', 1, 1, 85, '2026-01-02', now());
    INSERT INTO quality_baselines (id, agent_id, customer_id, model_name, model_version,
        baseline_type, sample_size, avg_overall_score, established_at, created_at) VALUES
        ('{q}', '{g}', '{a}', 'm', '1', 'initial', -1, 85, '2026-01-02', now());
    INSERT INTO quality_regressions (agent_id, customer_id, baseline_id, workflow_execution_id,
        regression_type, severity, detected_at, metric_name, baseline_value, current_value,
        delta_percent, sample_size, action_taken, created_at, updated_at) VALUES
        ('{g}', '{b}', '{q}', '{f}', 'quality_drop', 'low', '2026-01-02', 'm', 1, 0, -1, 1,
         'alert_only', now(), now()),
        ('{g}', '{a}', '{q}', NULL, 'quality_drop', 'low', '2026-01-02', 'm', 1, 0, 'NaN', 1,
         'alert_only', now(), now())
"""
IDS = {name: f"00000000-0000-4000-8000-00000000000{i}" for i, name in enumerate("abgrefsq")}
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
def elsewhere_url(empty_url: str) -> str:
    """Somebody else's database, with rows."""
    migrate.upgrade(empty_url, LAST)
    rows = ROWS.format(plain=PLAIN_KEY, weak=WEAK_KEY, **IDS)
    with make_engine(empty_url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
        for statement in (FORM + ";" + rows).split(";"):
            connection.exec_driver_sql(statement.replace("%", "%%"))
    return empty_url


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
