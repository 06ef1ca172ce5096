"""A schema change lets others go first, and asks everything before it goes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text
from tests.database.at_revision import AtRevision
from tests.database.test_migrations import dump
from tests.factories.application_schema import make_quality_metric
from tests.factories.core import make_agent, make_customer

from optiinfra.database import locking, migrate
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.migrations import operations
from optiinfra.domain.errors import DatabaseError

NEWEST = migrate.list_revisions()[-1]


@contextmanager
def reading(url: str, table: str) -> Iterator[Connection]:
    """Somebody who reads a table for a long time."""
    with make_engine(url, is_pooled=False).connect() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS SHARE MODE"))
        yield connection


def release_when_asked(monkeypatch: pytest.MonkeyPatch, reader: Connection) -> list[float]:
    """Let go when a change pauses for the second time; the pauses that it made."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            reader.rollback()

    monkeypatch.setattr(time, "sleep", pause)
    return pauses


def test_a_revision_begins_again_while_others_read(
    make_at: AtRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_at("007_migration_findings")
    with reading(url, "workflow_steps") as reader:
        pauses = release_when_asked(monkeypatch, reader)
        migrate.upgrade(url, "008_control_columns")
    assert pauses == list(locking.PAUSES_S[:2])
    assert migrate.current(url) == "008_control_columns"


def test_a_single_step_is_asked_again_alone(
    make_at: AtRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_at("012_tenants")
    mended: list[object] = []

    def record(*arguments: str, **words: str) -> None:
        mended.append((*arguments, *words.values()))

    monkeypatch.setattr(operations, "record_findings", record)
    with reading(url, "quality_metrics") as reader:
        pauses = release_when_asked(monkeypatch, reader)
        migrate.upgrade(url, "013_checks")
    assert pauses == list(locking.PAUSES_S[:2])
    assert mended
    assert len(mended) == len(set(mended))  # what came before was not done twice
    assert migrate.current(url) == "013_checks"


@pytest.mark.parametrize("revision", ["008_control_columns", "019_partitions"])
def test_a_revision_gives_up_in_the_end_and_leaves_what_was_there(
    make_at: AtRevision, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    revisions = migrate.list_revisions()
    before = revisions[revisions.index(revision) - 1]
    url = make_at(before)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(locking, "PAUSES_S", ())
    with (
        reading(url, "events"),
        reading(url, "agent_configs"),
        pytest.raises(DatabaseError, match="lock timeout") as caught,
    ):
        migrate.upgrade(url, revision)
    assert "try again" in caught.value.remedy
    assert migrate.current(url) == before
    migrate.upgrade(url, revision)


def test_maintenance_is_waited_for_before_writers_are_stopped(
    make_at: AtRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds what VACUUM holds is met by a lock that lets writers through."""
    url = make_at("007_migration_findings")
    monkeypatch.setattr(
        locking, "LOCK_TIMEOUT", "0"
    )  # to wait for a strong lock would take for ever
    monkeypatch.setattr(locking, "MAINTENANCE_TIMEOUT", "50ms")
    with make_engine(url, is_pooled=False).connect() as vacuum:
        vacuum.execute(text("LOCK TABLE agent_configs IN SHARE UPDATE EXCLUSIVE MODE"))
        pauses = release_when_asked(monkeypatch, vacuum)
        migrate.upgrade(url, "008_control_columns")
    assert pauses == list(locking.PAUSES_S[:2])
    assert migrate.current(url) == "008_control_columns"


def test_a_step_that_cannot_be_undone_is_known_before_the_first(fresh_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        agent = make_agent(session)
        for _ in range(2):
            make_quality_metric(session, make_customer(session), agent, request_id="same")
    before = dump(fresh_url)
    with pytest.raises(DatabaseError, match="not possible with quality metrics of two customers"):
        migrate.downgrade(fresh_url, "012_tenants", accept_loss=True)
    assert migrate.current(fresh_url) == NEWEST
    assert dump(fresh_url) == before


@pytest.mark.parametrize("target", ["033_claim_indexes", "017_guards"])
def test_nothing_is_asked_that_is_not_undone(fresh_url: str, target: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        make_customer(session)  # lost by 011 alone
    migrate.downgrade(fresh_url, target)
    assert migrate.current(fresh_url) == target
