"""Instants that some language has no value for are not stored, and are mended where they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tests.database.at_revision import AtRevision
from tests.factories.core import NOW, make_agent, make_customer, make_event

from optiinfra.database import migrate, partitions
from optiinfra.database.engine import Database, make_engine
from optiinfra.domain.errors import ConstraintError

TIMES = ("infinity", "-infinity", "12000-01-01", "2400-01-01", "1950-01-01", "2026-01-02")
ROWS = (
    "INSERT INTO agents (id, type, name, last_heartbeat) VALUES ({g}, 'cost', 'a', '-infinity')",
    (
        "INSERT INTO customers (id, name, email, api_key, created_at) VALUES"
        " ({c}, 'c', 'c@example.com', 'k', '0044-03-15 BC')"
    ),
    *(
        "INSERT INTO resource_metrics (agent_id, customer_id, instance_id, resource_type,"
        " metric_name, metric_value, unit, timestamp) VALUES"
        " ({g}, {c}, 'TIME', 'gpu', 'm', 1, 'u', 'TIME')".replace("TIME", time)
        for time in TIMES
    ),
    "INSERT INTO agent_metrics (agent_id, metric_name, metric_value) VALUES ({g}, 'm', 1)",
    (
        "INSERT INTO quality_baselines (agent_id, customer_id, model_name, model_version,"
        " baseline_type, sample_size, avg_overall_score, established_at, valid_until) VALUES"
        " ({g}, {c}, 'm', '1', 'initial', 1, 1, '2026-01-02', 'infinity')"
    ),
    (
        "INSERT INTO workflow_executions (agent_id, customer_id, workflow_type, status,"
        " started_at, completed_at) VALUES"
        " ({g}, {c}, 'cost_analysis', 'completed', 'infinity', 'infinity')"
    ),
)  # fmt: skip
IDS = {name: f"'00000000-0000-4000-8000-00000000000{n}'" for n, name in enumerate("cg")}
LATEST = datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def fetch(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(text(query))]


def test_what_was_stored_becomes_what_can_be_read(make_at: AtRevision) -> None:
    url = make_at("005_application_schema")
    engine = make_engine(url, is_pooled=False)
    with engine.begin() as connection:
        for row in ROWS:
            connection.exec_driver_sql(row.format(**IDS))
    migrate.upgrade(url)
    with engine.connect() as connection:
        assert fetch(connection, "SELECT last_heartbeat FROM agents") == [(EARLIEST,)]
        assert fetch(connection, "SELECT created_at FROM customers") == [(EARLIEST,)]
        assert fetch(connection, "SELECT valid_until FROM quality_baselines") == [(LATEST,)]
        times = "SELECT started_at, completed_at FROM workflow_executions"
        assert fetch(connection, times) == [(LATEST, LATEST)]
        kept = 'SELECT instance_id, "timestamp" FROM resource_metrics ORDER BY 2'
        assert fetch(connection, kept) == [
            ("1950-01-01", EARLIEST),
            ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ]
        aside = """
            SELECT revision, row_before ->> 'instance_id' FROM migration_findings
            WHERE table_name = 'resource_metrics' ORDER BY 1, 2"""
        assert fetch(connection, aside) == [
            ("019_partitions", "-infinity"),
            ("019_partitions", "12000-01-01"),
            ("019_partitions", "2400-01-01"),
            ("019_partitions", "infinity"),
            ("035_instants", "1950-01-01"),
        ]
        mended = """
            SELECT table_name FROM migration_findings WHERE revision = '035_instants'
            AND row_before::text LIKE '%infinity%' ORDER BY 1"""
        assert [row[0] for row in fetch(connection, mended)] == [
            "agents",
            "quality_baselines",
            "workflow_executions",
        ]
        # The first month is not stretched by a row that says it is of another millennium.
        until = partitions.get_covered_until(connection)
    assert until < datetime.now(UTC) + timedelta(days=70)


@pytest.mark.parametrize(
    ("instant", "why"),
    [
        (EARLIEST - timedelta(microseconds=1), "is before 1970"),
        (datetime(1, 1, 1, tzinfo=UTC), "is before 1970"),
        (LATEST + timedelta(microseconds=1), "is after 9998"),
    ],
)
def test_others_are_refused_before_they_are_sent(
    checked_session: Session, instant: datetime, why: str
) -> None:
    customer = make_customer(checked_session)
    with pytest.raises(ConstraintError, match=why) as caught:
        make_event(checked_session, customer, created_at=instant)
    error = caught.value
    assert (error.table, error.column, error.constraint) == (
        "events",
        "created_at",
        "check_instants",
    )


@pytest.mark.parametrize("instant", ["infinity", "-infinity", "0001-01-01", "10000-01-01"])
def test_what_goes_past_the_checks_is_refused_by_the_database(
    database: Database, instant: str
) -> None:
    with database.transaction() as session:
        make_agent(session, last_heartbeat=NOW)
    statement = text("UPDATE agents SET last_heartbeat = CAST(:instant AS timestamptz)")
    with pytest.raises(ConstraintError) as caught, database.transaction() as session:
        session.execute(statement, {"instant": instant})
    assert (caught.value.table, caught.value.constraint) == ("agents", "check_instants")


def test_the_first_and_the_last_are_taken_and_read(checked_session: Session) -> None:
    for instant in (EARLIEST, LATEST):
        agent = make_agent(checked_session, last_heartbeat=instant)
        checked_session.expire(agent)
        assert agent.last_heartbeat == instant


def test_what_is_no_instant_of_a_partition_is_refused_too(session: Session) -> None:
    customer = make_customer(session)
    insert = text("INSERT INTO events (customer_id, event_type, created_at) VALUES (:c, 'e', :at)")
    for instant in ("infinity", "-infinity", "1969-12-31"):
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert, {"c": customer.id, "at": instant})
