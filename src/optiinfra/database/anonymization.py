"""A copy of a database without the people in it: for tests and for who helps with a fault.

Every text that this program did not choose itself is replaced: e-mails, names, keys, free text, and
strings and keys within JSON. What is replaced depends on the value and a run key alone
(HMAC-SHA-256), so that equal values stay equal, unique ones unique, and nobody without the key can
try values. A column of words is named here, and a word in it stays only where the program's own
source has it (database/own_words.py); a new column of text is replaced altogether.

Rows, ids, times and numbers stay. The chains of hashes over replaced texts do not hold any more.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Column, Enum, String, Table
from sqlalchemy.dialects.postgresql import JSONB

from optiinfra.database.anonymizing_functions import FUNCTIONS, WORDS
from optiinfra.database.contents import refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.models import Base
from optiinfra.database.own_words import list_own_words
from optiinfra.database.ownership import disable_triggers, enable_triggers
from optiinfra.domain.errors import DatabaseError

# Columns of text and JSON with words of this program's own, by name or as table.column.
OF_WORDS: Final = frozenset({
    "agents.name", "agents.capabilities",
    "agent_configs.config_key", "agent_configs.description",
    "agent_capabilities.config", "agent_capabilities.description", "capability_name",
    "event_type", "recommendations.type", "step_name", "metric_name", "metric_unit", "unit",
    "content_type", "model_version",
    "table_name", "old_status", "new_status", "migration_findings.revision",
    "migration_findings.rule", "migration_findings.action",
})  # fmt: skip
VERSIONS: Final = frozenset({"agents.version", "capability_version"})
KEYS: Final = frozenset({"customers.api_key"})
SETTING: Final = "agent_configs.config_value"
MIN_KEY_BYTES: Final = 16
_BLOCK: Final = 64  # of SHA-256, for HMAC
# Whatever holds rows, with its columns: an unknown one may hold anything.
_HELD: Final = """
    SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname, a.attname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
      AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
    UNION ALL SELECT 'large objects', '' WHERE EXISTS (
        SELECT FROM pg_catalog.pg_largeobject_metadata)
"""
_NOBODYS: Final = frozenset({"alembic_version"})


def anonymize(url: str, *, run_key: bytes) -> dict[str, int]:
    """Replace what could name somebody, in one transaction; how many rows of each table changed.

    Cannot be undone. The same key gives the same replacements in every database. Raises
    DatabaseError for a database that holds tables or columns which this program does not know.
    """
    if len(run_key) < MIN_KEY_BYTES:
        message = f"a run key of {len(run_key)} bytes can be guessed; {MIN_KEY_BYTES} are needed"
        raise ValueError(message)
    tables = tuple(Base.metadata.sorted_tables)
    counts = {}
    with connecting(url) as connection:
        connection.execute("SET LOCAL search_path = public")
        refuse_filtered(connection)
        _refuse_unknown(connection)
        _set_key(connection, run_key)
        connection.execute(FUNCTIONS.encode())
        with connection.cursor() as cursor, cursor.copy(WORDS) as copy:
            for word in list_own_words():
                copy.write_row((word,))
        quiet = disable_triggers(connection, tables)
        for table in tables:
            counts[table.name] = _replace(connection, table)
        enable_triggers(connection, quiet)
    return counts


def list_replaced(table: Table) -> list[Column[Any]]:
    """The columns of a table that are replaced, altogether or where they are no word of ours."""
    return [
        column
        for column in table.columns
        if isinstance(column.type, (String, JSONB))
        and not isinstance(column.type, Enum)
        and column.computed is None
    ]


def _refuse_unknown(connection: psycopg.Connection) -> None:
    known = {
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
    }
    unknown = sorted(
        f"{table}.{column}".rstrip(".")
        for table, column in connection.execute(_HELD).fetchall()
        if (table, column) not in known and table not in _NOBODYS
    )
    if unknown:
        raise DatabaseError(
            f"The database holds what OptiInfra does not know: {', '.join(unknown[:5])}.",
            remedy="Nothing was changed. Drop it from the copy first: it may name anybody.",
        )


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
    names = {column.name, f"{column.table.name}.{column.name}"}
    keeps_words = sql.Literal(bool(names & OF_WORDS))
    if isinstance(column.type, JSONB):
        return sql.SQL("pg_temp.replaced_json({}, {})").format(name, keeps_words)
    if names & KEYS:
        return sql.SQL("pg_temp.token({})").format(name)
    if names & VERSIONS:
        return sql.SQL("pg_temp.replaced_version({})").format(name)
    if SETTING in names:
        return sql.SQL("pg_temp.replaced_setting({}, config_type::text, is_sensitive)").format(name)
    width = sql.Literal(getattr(column.type, "length", None) or 255)
    return sql.SQL("pg_temp.replaced({}, {}, {})").format(name, width, keeps_words)


def _is_filled(column: Column[Any]) -> sql.Composable:
    name = sql.Identifier(column.name)
    if isinstance(column.type, JSONB):
        return sql.SQL("{} NOT IN ('{{}}', '[]')").format(name)
    return sql.SQL("{} IS NOT NULL").format(name)
