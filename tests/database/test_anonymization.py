"""In an anonymized copy nobody can be known: not by a text, a key of a document, or a setting."""

from __future__ import annotations

import hmac
import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    Double,
    Enum,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Uuid,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from tests.database.same_schema import list_differences
from tests.database.test_tenants import fill
from tests.factories.core import add, make_agent, make_customer, make_event
from tests.factories.everything import fill_agents

from optiinfra.database.anonymization import anonymize, list_replaced
from optiinfra.database.engine import Database, make_engine
from optiinfra.database.models import (
    AgentConfig,
    Base,
    ConfigType,
    Customer,
    Event,
    UtcDateTime,
)
from optiinfra.database.own_words import list_own_words
from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.binaries import find_binaries

KEY: Final = b"0123456789abcdef"
SECRET: Final = "Zyxwv"  # noqa: S105 - a word to look for
EMAIL: Final = f"jane.roe@{SECRET}.example"
DOCUMENT: Final = f"""{{
    "{SECRET} her name": {{"{EMAIL}": ["{SECRET}", {{"note": "to {EMAIL}"}}]}},
    "error": "{SECRET}", "{SECRET}": 1, "recommendation_id": "{SECRET}"}}"""
# The one column of text whose CHECK leaves no room for anything.
CHECKED: Final = {"migration_findings.action"}
# A column that its table's CHECK wants filled together with another.
TOGETHER: Final = {"workflow_executions.lease_owner": ", lease_expires_at = now()"}
NO_TEXT: Final = (Boolean, Date, Double, Enum, Integer, LargeBinary, Numeric, UtcDateTime, Uuid)


def fill_all(session: Session) -> None:
    """A row in every table, of customers and of agents."""
    fill(session)
    agent = fill_agents(session)
    settings = (
        (ConfigType.STRING, SECRET, False),
        (ConfigType.JSON, DOCUMENT, False),
        (ConfigType.JSON, f"{SECRET}: no document", False),
        (ConfigType.INTEGER, SECRET, False),
        (ConfigType.BOOLEAN, SECRET, False),
        (ConfigType.STRING, SECRET, True),
    )
    for number, (kind, value, is_sensitive) in enumerate(settings):
        config = AgentConfig(
            agent_id=agent.id,
            config_key=f"{SECRET} {number}",
            config_value=value,
            config_type=kind,
            is_sensitive=is_sensitive,
            key_id=SECRET if is_sensitive else None,
        )
        add(session, config)


def list_planted() -> Iterator[Column[Any]]:
    for table in Base.metadata.sorted_tables:
        yield from (c for c in list_replaced(table) if f"{table.name}.{c.name}" not in CHECKED)


def plant(session: Session, column: Column[Any]) -> int:
    """Secrets in every row, as long as the column takes, and each another: some are unique."""
    name = f"{column.table.name}.{column.name}"
    if name in {"agent_configs.config_value", "agent_configs.key_id"}:
        return 1  # planted when they were made
    if isinstance(column.type, JSONB):
        value = f"'{DOCUMENT}'::jsonb"
    elif column.name in {"version", "capability_version"}:
        value = f"'1.0.0-{SECRET}.' || left(md5(random()::text), 4)"
    else:
        width = getattr(column.type, "length", None) or 255
        value = f"left('{SECRET}' || left(md5(random()::text), 15) || ' {EMAIL}', {width})"
    statement = f"UPDATE {column.table.name} SET {column.name} = {value}{TOGETHER.get(name, '')}"  # noqa: S608
    found: int = session.execute(text(statement.replace(":", "\\:"))).rowcount  # type: ignore[attr-defined]
    return found


def dump(url: str) -> str:
    program = find_binaries().bin_dir / "pg_dump"
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return subprocess.run([program, plain], capture_output=True, text=True, check=True).stdout


def test_no_secret_of_any_column_is_left_in_a_dump(fresh_url: str, migrated_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        fill_all(session)
        session.flush()
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for column in list_planted():
            assert plant(session, column), f"no row of {column.table.name}"
    needle = re.compile(f"{SECRET}|jane.roe", re.IGNORECASE)
    before = dump(fresh_url)
    columns = len(list(list_planted()))
    assert len(needle.findall(before)) > columns
    changed = anonymize(fresh_url, run_key=KEY)
    after = dump(fresh_url)
    assert not [line for line in after.splitlines() if needle.search(line)]
    assert after.count("\n") == before.count("\n")  # as many rows
    assert set(changed) == {table.name for table in Base.metadata.sorted_tables}
    assert list_differences(fresh_url, migrated_url) == []  # triggers are on again


def test_every_column_is_replaced_or_of_a_type_that_holds_no_text() -> None:
    for table in Base.metadata.sorted_tables:
        replaced = {column.name for column in list_replaced(table)}
        for column in table.columns:
            is_text = isinstance(column.type, (String, JSONB)) and not isinstance(column.type, Enum)
            if not is_text:
                items = column.type.item_type if isinstance(column.type, ARRAY) else column.type
                assert isinstance(items, NO_TEXT), column
            assert (column.name in replaced) is is_text


def test_what_the_program_wrote_itself_stays_and_equal_values_stay_equal(fresh_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        agent = make_agent(session, name="Cost Optimizer")
        customer = make_customer(session, email="wilhelmina@corp.example")
        digest = "ab" * 32
        data = {
            "recommendation_id": str(customer.id),
            "by": "Wilhelmina@corp.example",
            "error": ["top secret", 7, None, "2026-03-04T05:06:07+00:00", "1980-03-04"],
            "evidence_digest": digest,
            "Wilhelmina": True,
        }
        make_event(session, customer, event_type="optimization_completed", data=data)
        for number, (kind, value) in enumerate(
            ((ConfigType.INTEGER, "85"), (ConfigType.FLOAT, "-1.5e3"), (ConfigType.BOOLEAN, "true"))
        ):
            add(
                session,
                AgentConfig(
                    agent_id=agent.id,
                    config_key=("scale_up_threshold", "theirs", "dry_run")[number],
                    config_value=value,
                    config_type=kind,
                ),
            )
        own, agent_id = customer.id, agent.id
    anonymize(fresh_url, run_key=KEY)
    address = hmac.new(KEY, b"wilhelmina@corp.example", "sha256").hexdigest()[:20]
    with Database(fresh_url) as database, database.reading() as session:
        event = session.scalars(select(Event)).one()
        renamed = "x" + hmac.new(KEY, b"Wilhelmina", "sha256").hexdigest()[:20]
        assert event.data.keys() == (data.keys() - {"Wilhelmina"}) | {renamed}
        assert event.event_type == "optimization_completed"
        assert event.data["recommendation_id"] == str(own)
        assert event.data["by"] == session.scalars(select(Customer.email)).one()
        assert event.data["by"] == f"{address}@example.invalid"  # in every database of this key
        assert event.data["error"][1:4] == [7, None, "2026-03-04T05:06:07+00:00"]
        assert event.data["error"][4].startswith("x")  # the day somebody was born
        assert re.fullmatch("[0-9a-f]{64}", event.data["evidence_digest"])
        assert event.data["evidence_digest"] != digest
        configs = session.scalars(select(AgentConfig).where(AgentConfig.agent_id == agent_id))
        found = {config.config_key: config.config_value for config in configs}
        assert found["scale_up_threshold"] == "85"
        assert sorted(found.values()) == ["-1.5e3", "85", "true"]
        assert "theirs" not in found
    assert {"Cost Optimizer", "recommendation_id", "application/json"} <= list_own_words()
    with pytest.raises(ValueError, match="can be guessed"):
        anonymize(fresh_url, run_key=b"short")


def test_what_the_program_does_not_know_is_not_passed_over(fresh_url: str) -> None:
    """Tables, columns, copies and large objects of others may name anybody."""
    with make_engine(fresh_url, is_pooled=False).begin() as connection:
        for statement in (
            "CREATE TABLE contacts (email text)",
            "ALTER TABLE agents ADD owner text",
            "CREATE MATERIALIZED VIEW people AS SELECT email FROM customers",
            "CREATE SCHEMA hr; CREATE TABLE hr.staff (name text)",
            "SELECT lo_from_bytea(0, 'Jane')",
        ):
            connection.exec_driver_sql(statement)
    with pytest.raises(DatabaseError) as caught:
        anonymize(fresh_url, run_key=KEY)
    named = "agents.owner, contacts.email, hr.staff.name, large objects, people.email"
    assert caught.value.problem.endswith(f"does not know: {named}.")
