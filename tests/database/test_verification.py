"""`verify` finds nothing in a schema of ours, and one planted difference of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import make_url
from tests.fixtures_database import run_admin

from optiinfra.database import migrate, verification
from optiinfra.database.catalogue import read_catalogue
from optiinfra.database.engine import make_engine
from optiinfra.database.models import Base
from optiinfra.database.verification import compare_catalogue, verify
from optiinfra.domain.errors import DatabaseError

# Objects that revisions make or may make later; the test brings its own, so that it holds for all.
OBJECTS = """
    CREATE TABLE planted (id uuid PRIMARY KEY, customer_id uuid NOT NULL, note text, n integer);
    CREATE TABLE samples (id uuid, at timestamptz NOT NULL, n integer NOT NULL DEFAULT 1)
        PARTITION BY RANGE (at);
    CREATE TABLE samples_old PARTITION OF samples
        FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00+00');
    CREATE TABLE samples_now PARTITION OF samples
        FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2999-01-01 00:00+00');
    CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
    CREATE TRIGGER guard BEFORE DELETE ON planted FOR EACH ROW EXECUTE FUNCTION guard();
    CREATE TRIGGER guard_twice BEFORE DELETE ON planted FOR EACH ROW EXECUTE FUNCTION guard();
    ALTER TABLE planted ENABLE ROW LEVEL SECURITY;
    CREATE POLICY by_tenant ON planted USING (note = current_setting('optiinfra.tenant'));
    CREATE POLICY by_reader ON planted FOR SELECT TO pg_monitor USING (true);
    CREATE VIEW shared WITH (security_barrier) AS SELECT id FROM planted;
    CREATE SEQUENCE numbers;
    GRANT SELECT ON planted TO pg_monitor;
    GRANT UPDATE (note) ON planted TO pg_monitor;
    CREATE TYPE colour AS ENUM ('red', 'green');
    CREATE INDEX planted_note ON planted (note) WHERE note IS NOT NULL;
"""
# What is changed in the live schema, and what must be said about it, in a few words.
PLANTED = {
    "DROP TABLE events": "table events is missing",
    "CREATE TABLE theirs (id int PRIMARY KEY)": "table theirs should not be there",
    "ALTER TABLE planted SET (fillfactor = 70)": "table planted: storage_settings is fillfactor=70",
    "ALTER TABLE planted FORCE ROW LEVEL SECURITY": "table planted: row_security is on, forced",
    "ALTER TABLE customers DISABLE ROW LEVEL SECURITY": "table customers: row_security is off",
    "ALTER TABLE approvals SET UNLOGGED": "table approvals: persistence is not permanent",
    "COMMENT ON TABLE planted IS 'mine'": "table planted: comment is mine",
    "ALTER TABLE agents ALTER endpoint TYPE varchar(99)": "column agents.endpoint: type",
    "ALTER TABLE agents ALTER name DROP NOT NULL": "column agents.name: nullability is null",
    "ALTER TABLE agents ALTER status SET DEFAULT 'failed'": "column agents.status: default",
    'ALTER TABLE customers ALTER name TYPE varchar(255) COLLATE "C"': "column customers.name: coll",
    "ALTER TABLE agents DROP metadata": "column agents.metadata is missing",
    "ALTER TABLE agents ADD mine int": "column agents.mine should not be there",
    "ALTER TABLE planted ADD d int GENERATED ALWAYS AS (n) STORED": "column planted.d should not",
    "ALTER TABLE planted ALTER n SET NOT NULL, ALTER n ADD GENERATED ALWAYS AS IDENTITY": (
        "column planted.n: identity is always"
    ),
    "REVOKE UPDATE (note) ON planted FROM pg_monitor": "column planted.note: grants is none",
    "DROP INDEX idx_agent_status": "index idx_agent_status is missing",
    "CREATE INDEX mine ON agents (name)": "index mine should not be there",
    "DROP INDEX planted_note; CREATE INDEX planted_note ON planted (note)": (
        "index planted_note: definition"
    ),
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_agent_heartbeat'::regclass": (
        "index idx_agent_heartbeat: state is invalid"
    ),
    "ALTER TABLE recommendations DROP CONSTRAINT check_confidence_range": (
        "constraint recommendations.check_confidence_range is missing"
    ),
    "ALTER TABLE planted ADD CONSTRAINT mine CHECK (n > 0)": "constraint planted.mine should not",
    "ALTER TABLE agent_states DROP CONSTRAINT agent_states_agent_id_fkey, "
    "ADD CONSTRAINT agent_states_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES agents (id) "
    "NOT VALID": "constraint agent_states.agent_states_agent_id_fkey: definition",
    "ALTER TYPE colour ADD VALUE 'blue' BEFORE 'green'": "enum colour: labels is red, blue, green",
    "CREATE TYPE mine AS ENUM ('a')": "enum mine should not be there",
    "DROP POLICY by_reader ON planted": "policy planted.by_reader is missing",
    "ALTER POLICY by_tenant ON planted USING (true)": "policy planted.by_tenant: using is true",
    "ALTER POLICY by_tenant ON planted TO pg_monitor": "policy planted.by_tenant: roles",
    "CREATE POLICY mine ON agents USING (true)": "policy agents.mine should not be there",
    "GRANT DELETE ON planted TO pg_monitor": "grant planted: grants is pg_monitor: DELETE, SELECT",
    "GRANT SELECT ON agents TO PUBLIC": "grant agents: grants is PUBLIC: SELECT",
    "GRANT CREATE ON SCHEMA public TO pg_monitor": "schema public: grants",
    "CREATE SCHEMA mine": "schema mine should not be there",
    "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RETURN NULL; END $$": "function guard(): definition",
    "REVOKE EXECUTE ON FUNCTION guard() FROM PUBLIC": "function guard(): grants",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'": "function mine() should not",
    "ALTER TABLE planted DISABLE TRIGGER guard": "trigger planted.guard: state is disabled",
    "DROP TRIGGER guard_twice ON planted": "trigger planted.guard_twice is missing",
    "ALTER VIEW shared RESET (security_barrier)": "view shared: storage_settings is none",
    "CREATE VIEW mine AS SELECT 1 AS one": "view mine should not be there",
    "ALTER SEQUENCE numbers INCREMENT BY 7": "sequence numbers: definition",
    "GRANT SELECT ON samples_now TO pg_monitor": "partition samples_now: own grantees is pg_mon",
    "ALTER TABLE samples_now ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON samples_now "
    "USING (true)": "partition samples_now: own policies is mine",
    "ALTER TABLE samples_now ALTER n SET DEFAULT 2": "partition samples_now: own columns is n",
    "CREATE TRIGGER mine BEFORE DELETE ON samples_now FOR EACH ROW EXECUTE FUNCTION guard()": (
        "partition samples_now: own triggers is mine"
    ),
    "CREATE TABLE samples_any PARTITION OF samples DEFAULT": "partition samples_any: bounds is DEF",
    "DROP TABLE samples_now": "partition samples: now is not covered",
    "DROP TABLE samples_now; CREATE TABLE samples_now PARTITION OF samples "
    "FOR VALUES FROM ('2021-01-01 00:00+00') TO ('2999-01-01 00:00+00')": (
        "partition samples: ranges is a gap from 2020-01-01 00:00:00+00:00 to 2021-01-01"
    ),
    "CREATE ROLE optiinfra_app BYPASSRLS; GRANT SELECT ON agents TO optiinfra_app": (
        "role optiinfra_app: row security is passes it by"
    ),
}


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


def test_one_planted_difference_of_every_kind_is_found(fresh_url: str) -> None:
    """One after the other, each in a transaction that is rolled back."""
    run(fresh_url, OBJECTS)
    engine = make_engine(fresh_url, is_pooled=False)
    with engine.connect() as connection:
        expected = read_catalogue(connection)
        assert compare_catalogue(connection, expected) == []
    unseen = []
    for change, words in PLANTED.items():
        with engine.connect() as connection:
            role_exists = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_roles WHERE rolname = 'optiinfra_app'"
            ).scalar_one()
            statement = change.replace("CREATE ROLE", "ALTER ROLE") if role_exists else change
            connection.exec_driver_sql(statement)
            found = [str(difference) for difference in compare_catalogue(connection, expected)]
            if not any(line.startswith(words) for line in found):
                unseen.append((words, found))
            connection.rollback()
    assert not unseen


def test_all_of_them_at_once_are_all_found(fresh_url: str) -> None:
    for change in (
        "DROP TABLE approvals",
        "ALTER TABLE agents ALTER name DROP NOT NULL",
        "DROP INDEX idx_customer_status",
        "GRANT SELECT ON customers TO PUBLIC",
        "CREATE POLICY mine ON customers USING (true)",
        "ALTER TYPE customerplan ADD VALUE 'gold'",
    ):
        run(fresh_url, change)
    assert [str(difference).partition(" is ")[0] for difference in verify(fresh_url)] == [
        "column agents.name: nullability",
        "enum customerplan: labels",
        "grant customers: grants",
        "index idx_customer_status",
        "policy customers.mine should not be there",
        "table approvals",
    ]


def test_models_that_expect_more_than_the_migrations_make(
    fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import Column, Integer, MetaData, Table

    metadata = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(metadata)
    Table("customers", metadata, Column("age", Integer), extend_existing=True)
    Table("wishes", metadata, Column("id", Integer, primary_key=True))
    monkeypatch.setattr(Base, "metadata", metadata)
    assert [str(difference) for difference in verify(fresh_url)] == [
        "model customers.age: column is missing, should be present",
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
        assert str(difference).startswith("grant alembic_version: grants is the owner")
        with pytest.raises(DatabaseError, match="holds agent_capabilities"):
            verify(plain, scratch_url=empty_url)
    finally:
        run(fresh_url, "DROP OWNED BY verifier")
        run_admin(postgres_url, "DROP ROLE verifier")
