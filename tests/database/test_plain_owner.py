"""An owner of the tables who is no superuser: CREATEROLE is enough to upgrade and to work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from tests.factories.core import make_agent, make_customer, make_optimization, make_recommendation
from tests.fixtures_database import (
    BIN_VARIABLE,
    FAST,
    change_database,
    make_open_dir,
    run_admin,
)

from optiinfra.cli import main as cli
from optiinfra.database import migrate, partitions, pruning, role_rights
from optiinfra.database.engine import Database, Role, make_engine
from optiinfra.embedded.postgres import running

NAMED = "CREATE ROLE plain_owner LOGIN CREATEROLE PASSWORD 'secret'"
MISSING = [
    "ALTER ROLE optiinfra_backup BYPASSRLS;",
    "ALTER ROLE optiinfra_ingest BYPASSRLS;",
    "GRANT pg_read_all_data TO optiinfra_backup;",
]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """A server of its own, on which nobody has made our roles yet."""
    named = os.environ.get(BIN_VARIABLE)
    with (
        make_open_dir() as directory,
        running(directory / "data", bin_dir=Path(named) if named else None, settings=FAST) as url,
    ):
        run_admin(url, NAMED)
        run_admin(url, "CREATE DATABASE plain OWNER plain_owner")
        yield url


@pytest.fixture(scope="module")
def plain_url(server_url: str) -> str:
    """The database of that owner, at the newest revision."""
    url = make_url(change_database(server_url, "plain"))
    plain = url.set(username="plain_owner", password="secret")  # noqa: S106 - a test's
    rendered = plain.render_as_string(hide_password=False)
    migrate.upgrade(rendered)
    return rendered


def test_the_upgrade_comes_to_its_end(plain_url: str) -> None:
    assert migrate.current(plain_url) == migrate.list_revisions()[-1]


def test_the_owner_acts_in_every_role(plain_url: str) -> None:
    with Database(plain_url) as database:
        with database.transaction() as session:
            customer = make_customer(session)
            recommendation = make_recommendation(session, customer, make_agent(session))
            make_optimization(session, recommendation)
        for role in Role:
            with database.reading(role=role, customer_id=customer.id) as session:
                assert session.execute(text("SELECT current_user")).scalar_one() == role.value
        with database.reading(role=Role.APP, customer_id=customer.id) as session:
            assert session.execute(text("SELECT count(*) FROM optimizations")).scalar_one() == 1


def test_partitions_are_made_and_dropped(plain_url: str) -> None:
    until = datetime.now(UTC) + timedelta(days=400)
    engine = make_engine(plain_url, is_pooled=False)
    assert partitions.create_ahead(engine, until=until)
    assert len(pruning.prune(engine, table="events", before=until - timedelta(days=60))) > 9


def test_what_only_an_administrator_may_give_is_said(
    server_url: str,
    plain_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = role_rights.list_missing_of(plain_url)
    assert before == [statement for statement in MISSING if statement in before]
    assert before[:2] == MISSING[:2]  # before PostgreSQL 16, CREATEROLE may grant the third
    monkeypatch.setenv("OPTIINFRA_DATABASE_URL", plain_url)
    monkeypatch.setattr("sys.argv", ["optiinfra", "db", "upgrade"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"An administrator has to run: {MISSING[0]}" in capsys.readouterr().out
    for statement in MISSING:
        run_admin(server_url, statement)
    assert role_rights.list_missing_of(plain_url) == []


def test_the_way_back_is_open_too(plain_url: str) -> None:
    migrate.downgrade(plain_url, "base", accept_loss=True)
    assert migrate.current(plain_url) is None
    migrate.upgrade(plain_url)
