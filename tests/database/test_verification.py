"""`verify` finds nothing in a schema of ours, and one planted difference of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Enum,
    Integer,
    MetaData,
    Table,
    make_url,
    text,
)
from tests.database.planted import OBJECTS, PLANTED, YEAR
from tests.fixtures_database import change_database, run_admin

from optiinfra.database import migrate, partitions, verification
from optiinfra.database.catalogue import Catalogue, read_catalogue
from optiinfra.database.engine import make_engine
from optiinfra.database.models import Base
from optiinfra.database.verification import compare_catalogue, scratch, verify
from optiinfra.database.verification.modelled import compare_models
from optiinfra.domain.errors import DatabaseError


def run(url: str, script: str) -> None:
    with make_engine(url, is_pooled=False).connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        autocommit.exec_driver_sql(script)


def test_a_schema_that_the_migrations_made_has_no_difference(
    fresh_url: str, postgres_url: str
) -> None:
    assert verify(fresh_url) == []
    with make_engine(postgres_url, is_pooled=False).connect() as connection:
        left = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars()
        assert not [name for name in left if name.startswith(verification.SCRATCH_PREFIX)]


@pytest.fixture(scope="module")
def planting(migrated_url: str) -> Iterator[tuple[Engine, Catalogue]]:
    """A database of ours with a few objects more, and its catalogue."""
    name = "planting"
    run_admin(migrated_url, f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    url = change_database(migrated_url, name)
    run(url, OBJECTS)
    engine = make_engine(url, is_pooled=False)
    with engine.begin() as connection:
        make_months(connection)
    with engine.connect() as connection:
        expected = read_catalogue(connection)
        assert compare_catalogue(connection, expected) == []
    yield engine, expected
    run_admin(migrated_url, f"DROP DATABASE {name} WITH (FORCE)")


def make_months(connection: Connection) -> None:
    """One partition up to a year in which no test runs, and that year's months."""
    found = read_catalogue(connection).partitions
    connection.exec_driver_sql("SET LOCAL search_path = public")
    months = [datetime(YEAR, month, 1, tzinfo=UTC) for month in range(1, 13)]
    for table in partitions.TABLES:
        latest = max(p.upper for p in found if p.parent == table and p.upper is not None)
        for lower, upper in pairwise([latest, *months, datetime(YEAR + 1, 1, 1, tzinfo=UTC)]):
            connection.exec_driver_sql(
                f"CREATE TABLE {table}_p_{lower:%Y_%m} PARTITION OF {table}"
                f" FOR VALUES FROM ('{lower.isoformat()}') TO ('{upper.isoformat()}')"
            )


@pytest.mark.parametrize("group", PLANTED)
def test_one_planted_difference_of_every_kind_is_found(
    planting: tuple[Engine, Catalogue], group: str
) -> None:
    """All of a group in one transaction, which is rolled back; each is found in its own words."""
    engine, expected = planting
    with engine.connect() as connection:
        for change in PLANTED[group]:
            connection.exec_driver_sql(change.replace("{database}", "planting").replace("%", "%%"))
        found = [str(difference) for difference in compare_catalogue(connection, expected)]
        connection.rollback()
    assert not [words for words in PLANTED[group].values() if not _is_said(words, found)], found


def _is_said(words: str, found: list[str]) -> bool:
    return any(line.startswith(words) for line in found)


def test_all_of_them_at_once_are_all_found(fresh_url: str) -> None:
    for change in (
        "DROP TABLE approvals",
        "ALTER TABLE agents ALTER name DROP NOT NULL",
        "DROP INDEX idx_customer_status",
        "GRANT SELECT ON customers TO PUBLIC",
        "CREATE POLICY mine ON customers USING (true)",
        "ALTER TYPE customerplan ADD VALUE 'gold'",
        "ALTER ROLE CURRENT_USER SET row_security = off",
    ):
        run(fresh_url, change)
    try:
        differences = verify(fresh_url)
    finally:
        run(fresh_url, "ALTER ROLE CURRENT_USER RESET row_security")
    assert [str(difference).partition(" is ")[0] for difference in differences] == [
        "column agents.name: nullability",
        "enum customerplan: labels",
        "grant on customers to PUBLIC should not be there",
        "index idx_customer_status",
        "policy customers.mine should not be there",
        "setting row_security of the owner: value",
        "table approvals",
    ]


def test_settings_that_change_nothing_that_is_seen_or_done_are_nobodys_affair(
    planting: tuple[Engine, Catalogue],
) -> None:
    engine, expected = planting
    with engine.connect() as connection:
        for setting in ("statement_timeout = '10s'", "jit = off", "work_mem = '64MB'"):
            connection.exec_driver_sql(f"ALTER ROLE optiinfra_app SET {setting}")
        assert compare_catalogue(connection, expected) == []
        connection.rollback()


def test_models_that_expect_something_else_than_the_migrations_make(
    planting: tuple[Engine, Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.sorted_tables:
        table.to_metadata(metadata)
    Table("customers", metadata, Column("age", Integer), extend_existing=True)
    wish = Enum("big", "small", name="wish")
    Table("wishes", metadata, Column("id", Integer, primary_key=True), Column("kind", wish))
    for check in metadata.tables["quality_metrics"].constraints:
        if isinstance(check, CheckConstraint) and check.name == "check_prompt_tokens":
            check.sqltext = text("prompt_tokens > 0")
    metadata.tables["agents"].columns["name"].nullable = True
    monkeypatch.setattr(Base, "metadata", metadata)
    with planting[0].connect() as connection:
        found = [str(difference) for difference in compare_models(connection)]
        connection.rollback()
    extra = ("planted", "samples", "readings", "colour")  # the test's own, which no model has
    assert [line for line in found if not line.split()[1].startswith(extra)] == [
        "model agents.name: column nullability is not null, should be null",
        "model customers.age: column is missing, should be present",
        (
            "model quality_metrics.check_prompt_tokens: constraint definition is"
            " CHECK ((prompt_tokens >= 0)), should be CHECK ((prompt_tokens > 0))"
        ),
        "model wish: enum is missing, should be present",
        "model wishes: table is missing, should be present",
    ]


def test_an_older_or_foreign_schema_is_one_difference(
    empty_url: str, make_database: Callable[..., str]
) -> None:
    assert [str(d) for d in verify(empty_url)] == [
        f"schema revision: number is none, should be {migrate.list_revisions()[-1]}"
    ]
    older = make_database()
    migrate.upgrade(older, "001_core_schema")
    assert [d.found for d in verify(older)] == ["001_core_schema"]


def test_a_role_that_may_not_create_a_database_names_an_empty_one(
    fresh_url: str, empty_url: str, postgres_url: str
) -> None:
    run_admin(postgres_url, "CREATE ROLE verifier LOGIN PASSWORD 'secret'")
    try:
        url = make_url(fresh_url).set(username="verifier", password="secret")  # noqa: S106
        plain = url.render_as_string(hide_password=False)
        run(fresh_url, "GRANT SELECT ON alembic_version TO verifier")
        with pytest.raises(DatabaseError, match="may not create a database"):
            verify(plain)
        (difference,) = verify(plain, scratch_url=empty_url)
        assert str(difference) == "grant on alembic_version to verifier should not be there"
        with pytest.raises(DatabaseError, match="holds agent_capabilities"):
            verify(plain, scratch_url=empty_url)
    finally:
        run(fresh_url, "DROP OWNED BY verifier")
        run_admin(postgres_url, "DROP ROLE verifier")


def test_roles_that_making_the_schema_brought_are_not_left_behind(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the server's: `verify` would mend by the way what it reports."""
    names = text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'verified%'")
    members = text(
        "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole"
    )
    monkeypatch.setattr(scratch, "OUR_ROLES", ("verified_before", "verified_after"))
    monkeypatch.setattr(scratch, "list_roles", lambda asked: set(asked.execute(names).scalars()))
    engine = make_engine(postgres_url, is_pooled=False)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE ROLE verified_before")
        with scratch.keeping_roles(connection):
            connection.exec_driver_sql("GRANT verified_before TO CURRENT_USER")
            connection.exec_driver_sql("CREATE ROLE verified_after")
        assert connection.execute(names).scalars().all() == ["verified_before"]
        assert "verified_before" not in connection.execute(members).scalars()
        connection.exec_driver_sql("DROP ROLE verified_before")
