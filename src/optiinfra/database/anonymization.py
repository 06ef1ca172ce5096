"""A copy of a database without the people in it: for tests and for who helps with a fault.

Every text that this program did not choose itself is replaced: e-mails, names, keys, free text and
the strings within JSON. What is replaced depends on the value and a run key alone (HMAC-SHA-256),
so that equal values stay equal, unique ones unique, and nobody without the key can try values. A
column is kept only where it is named here: a new column of text is replaced until somebody decides.

Rows, ids, times and numbers stay. The chains of hashes over replaced texts do not hold any more.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Column, Enum, String, Table
from sqlalchemy.dialects.postgresql import JSONB

from optiinfra.database.contents import refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.models import Base
from optiinfra.database.ownership import disable_triggers, enable_triggers

# Columns of text and JSON with words of this program's own, by name or as table.column.
KEPT: Final = frozenset({
    "agents.name", "agents.version", "agents.capabilities",
    "agent_configs.config_key", "agent_configs.config_value", "agent_configs.description",
    "agent_capabilities.capability_name", "agent_capabilities.capability_version",
    "agent_capabilities.config", "agent_capabilities.description",
    "event_type", "recommendations.type", "step_name", "metric_name", "metric_unit", "unit",
    "content_type", "model_version", "evidence_digest", "hash", "prev_hash", "key_id",
    "table_name", "old_status", "new_status", "migration_findings.revision",
    "migration_findings.rule", "migration_findings.action",
})  # fmt: skip
MIN_KEY_BYTES: Final = 16
_BLOCK: Final = 64  # of SHA-256, for HMAC
# A string within JSON that is an id, a time or a digest says nothing of anybody.
_FUNCTIONS: Final = """
CREATE FUNCTION pg_temp.token(value text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(decode(current_setting('optiinfra.outer_key'), 'hex')
        || sha256(decode(current_setting('optiinfra.inner_key'), 'hex')
        || convert_to(value, 'UTF8'))), 'hex') $$;
CREATE FUNCTION pg_temp.replaced(value text, width int) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN value LIKE '%@%' AND width >= 40
        THEN left(pg_temp.token(lower(value)), 20) || '@example.invalid'
        ELSE left('x' || pg_temp.token(value), least(width, 21)) END $$;
CREATE FUNCTION pg_temp.replaced_json(value jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN CASE
            WHEN value #>> '{}' ~
                '^([0-9a-f-]{36}|[0-9a-f]{64}|\\d{4}-\\d\\d-\\d\\d[T ][0-9:.Z+-]*)$' THEN value
            ELSE to_jsonb(pg_temp.replaced(value #>> '{}', 255)) END
        WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(e.key, pg_temp.replaced_json(e.value)),
            '{}'::jsonb) FROM jsonb_each(value) e)
        WHEN 'array' THEN (SELECT coalesce(jsonb_agg(pg_temp.replaced_json(e.value) ORDER BY e.nr),
            '[]'::jsonb) FROM jsonb_array_elements(value) WITH ORDINALITY e(value, nr))
        ELSE value END;
END $$;
"""


def anonymize(url: str, *, run_key: bytes) -> dict[str, int]:
    """Replace what could name somebody, in one transaction; how many rows of each table changed.

    Cannot be undone. The same key gives the same replacements in every database.
    """
    if len(run_key) < MIN_KEY_BYTES:
        message = f"a run key of {len(run_key)} bytes can be guessed; {MIN_KEY_BYTES} are needed"
        raise ValueError(message)
    tables = tuple(Base.metadata.sorted_tables)
    counts = {}
    with connecting(url) as connection:
        connection.execute("SET LOCAL search_path = public")
        refuse_filtered(connection)
        _set_key(connection, run_key)
        connection.execute(_FUNCTIONS.encode())
        quiet = disable_triggers(connection, tables)
        for table in tables:
            counts[table.name] = _replace(connection, table)
        enable_triggers(connection, quiet)
    return counts


def list_replaced(table: Table) -> list[Column[Any]]:
    """The columns of a table that are replaced."""
    return [
        column
        for column in table.columns
        if isinstance(column.type, (String, JSONB))
        and not isinstance(column.type, Enum)
        and column.computed is None
        and not {column.name, f"{table.name}.{column.name}"} & KEPT
    ]


def _set_key(connection: psycopg.Connection, run_key: bytes) -> None:
    """The two keys of HMAC as settings of this transaction, sent as values and not as text."""
    key = run_key if len(run_key) <= _BLOCK else hashlib.sha256(run_key).digest()
    for name, mask in (("outer_key", 0x5C), ("inner_key", 0x36)):
        masked = bytes(byte ^ mask for byte in key.ljust(_BLOCK, b"\0")).hex()
        connection.execute("SELECT set_config(%s, %s, true)", (f"optiinfra.{name}", masked))


def _replace(connection: psycopg.Connection, table: Table) -> int:
    columns = list_replaced(table)
    if not columns:
        return 0
    statement = sql.SQL("UPDATE {table} SET {changes} WHERE {filled}").format(
        table=sql.Identifier(table.name),
        changes=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(column.name), _make_value(column))
            for column in columns
        ),
        filled=sql.SQL(" OR ").join(_is_filled(column) for column in columns),
    )
    return connection.execute(statement).rowcount


def _make_value(column: Column[Any]) -> sql.Composable:
    name = sql.Identifier(column.name)
    if isinstance(column.type, JSONB):
        return sql.SQL("pg_temp.replaced_json({})").format(name)
    width = getattr(column.type, "length", None) or 255
    if f"{column.table.name}.{column.name}" == "customers.api_key":
        return sql.SQL("pg_temp.token({})").format(name)
    return sql.SQL("pg_temp.replaced({}, {})").format(name, sql.Literal(width))


def _is_filled(column: Column[Any]) -> sql.Composable:
    name = sql.Identifier(column.name)
    if isinstance(column.type, JSONB):
        return sql.SQL("{} NOT IN ('{{}}', '[]')").format(name)
    return sql.SQL("{} IS NOT NULL").format(name)
