"""Months are made ahead and dropped behind beside whoever reads and writes, and missed in time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import OperationalError
from tests.database.same_schema import list_differences
from tests.factories.application_schema import make_quality_metric
from tests.factories.core import NOW, make_agent, make_customer, make_event

from optiinfra.cli import main as cli
from optiinfra.database import locking, partitions, pruning
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import Event, QualityMetric
from optiinfra.domain.errors import TimeOutsideError

UNTIL = datetime(2028, 2, 15, tzinfo=UTC)
OLD = datetime(2027, 11, 15, tzinfo=UTC)


@pytest.fixture
def engine(fresh_url: str) -> Iterator[Engine]:
    engine = make_engine(fresh_url, is_pooled=False)
    yield engine
    engine.dispose()


def list_names(engine: Engine, table: str) -> list[str]:
    with engine.connect() as connection:
        return [p.name for p in partitions.list_partitions(connection) if p.table == table]


def run(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def pauses_until(monkeypatch: pytest.MonkeyPatch, released: Connection) -> list[float]:
    """Let the other one go at the second pause; the pauses."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            released.rollback()

    monkeypatch.setattr(time, "sleep", pause)
    return pauses


def test_they_are_made_ahead_and_pruned_behind(database: Database, engine: Engine) -> None:
    with database.transaction() as session:
        customer = make_customer(session)
        make_event(session, customer, created_at=NOW)
        late = make_event(session, customer, created_at=datetime(2027, 12, 5, tzinfo=UTC))
    with pytest.raises(TimeOutsideError) as caught, database.transaction() as session:
        make_event(session, customer, created_at=datetime(2031, 1, 1, tzinfo=UTC))
    assert caught.value.table == "events"
    made = partitions.create_ahead(engine, until=UNTIL)
    assert sorted(made) == [
        f"{table}_p_2028_{month}" for table in sorted(partitions.TABLES) for month in ("01", "02")
    ]
    assert partitions.create_ahead(engine, until=UNTIL) == []
    with engine.connect() as connection:
        assert partitions.get_covered_until(connection) == datetime(2028, 3, 1, tzinfo=UTC)
    dropped = pruning.prune(engine, table="events", before=OLD)
    assert "events_p_first" in dropped
    assert "events_p_2027_11" not in dropped
    assert list_names(engine, "events")[0] == "events_p_2027_11"
    with database.reading() as session:
        assert session.scalars(select(Event.id)).all() == [late.id]
    with pytest.raises(ValueError, match="not partitioned"):
        pruning.prune(engine, table="customers", before=NOW)


def test_making_them_lets_writers_of_what_they_refer_to_go_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.connect() as writer:
        writer.execute(text("LOCK TABLE customers IN ROW EXCLUSIVE MODE"))
        pauses = pauses_until(monkeypatch, writer)
        made = partitions.create_ahead(engine, until=datetime(2028, 1, 15, tzinfo=UTC))
    assert pauses == list(locking.PAUSES_S[:2])
    assert len(made) == len(partitions.TABLES)


def test_dropping_them_waits_for_readers_and_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt leaves the month half detached; the next ones finish that."""
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE events IN ACCESS SHARE MODE"))
        pauses = pauses_until(monkeypatch, reader)
        dropped = pruning.prune(engine, table="events", before=datetime(2027, 6, 15, tzinfo=UTC))
    assert pauses == list(locking.PAUSES_S[:2])
    assert "events_p_first" in dropped
    assert not set(dropped) & set(list_names(engine, "events"))


def test_what_a_run_that_was_stopped_left_is_finished(engine: Engine) -> None:
    half, whole = list_names(engine, "agent_metrics")[:2]
    run(engine, f"ALTER TABLE agent_metrics DETACH PARTITION {whole}")
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE agent_metrics IN ACCESS SHARE MODE"))
        with pytest.raises(OperationalError, match="lock timeout"):
            run(
                engine,
                "SET lock_timeout = '50ms'",
                f"ALTER TABLE agent_metrics DETACH PARTITION {half} CONCURRENTLY",
            )
    assert half not in list_names(engine, "agent_metrics")
    long_ago = datetime(1990, 1, 1, tzinfo=UTC)  # nothing else is that old
    assert pruning.prune(engine, table="agent_metrics", before=long_ago) == sorted((half, whole))


def test_a_detached_month_with_rows_that_are_to_stay_is_kept(
    database: Database, engine: Engine
) -> None:
    with database.transaction() as session:
        make_event(session, make_customer(session), created_at=NOW)
    run(engine, "ALTER TABLE events DETACH PARTITION events_p_first")
    assert pruning.prune(engine, table="events", before=NOW) == []
    assert pruning.prune(engine, table="events", before=NOW + timedelta(days=1)) == [
        "events_p_first"
    ]


def test_quality_metrics_go_in_batches(database: Database, engine: Engine) -> None:
    with database.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)
        for number in range(7):
            make_quality_metric(
                session, customer, agent, timestamp=NOW + number * timedelta(days=1)
            )
    before = NOW + timedelta(days=5)
    with database.transaction() as other:
        other.scalars(
            select(QualityMetric).where(QualityMetric.timestamp == NOW).with_for_update()
        ).one()
        assert pruning.prune_quality_metrics(engine, before=before, batch=2) == 4
    assert pruning.prune_quality_metrics(engine, before=before, batch=2) == 1
    with database.reading() as session:
        assert len(session.scalars(select(QualityMetric.id)).all()) == 2


@pytest.fixture
def say_current(
    fresh_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], str]:
    """What `optiinfra db current` says."""

    def say() -> str:
        monkeypatch.setenv("OPTIINFRA_DATABASE_URL", fresh_url)
        monkeypatch.setattr(sys, "argv", ["optiinfra", "db", "current"])
        with pytest.raises(SystemExit):
            cli.main()
        return capsys.readouterr().out

    return say


@pytest.mark.parametrize("days", [6, 8])
def test_current_and_verify_warn_before_months_are_missing(
    engine: Engine, migrated_url: str, say_current: Callable[[], str], days: int
) -> None:
    end = datetime.now(UTC) + timedelta(days=days)
    for table in partitions.TABLES:
        for name in list_names(engine, table):
            run(engine, f"DROP TABLE {name}")
        bounds = f"FROM (MINVALUE) TO ('{end.isoformat()}')"
        run(engine, f"CREATE TABLE {table}_p_first PARTITION OF {table} FOR VALUES {bounds}")
    found = list_differences(engine.url.render_as_string(hide_password=False), migrated_url)
    is_soon = timedelta(days=days) < partitions.ALARM
    assert (f"WARNING: partitions end at {end:%Y-%m-%d %H:%M} UTC" in say_current()) is is_soon
    assert [line.partition(" is ")[0] for line in found] == [
        f"partition {table}: end" for table in sorted(partitions.TABLES) if is_soon
    ]
