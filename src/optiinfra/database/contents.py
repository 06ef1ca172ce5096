"""What the tables of a database hold, as counts and hashes that do not depend on the server.

A table's hash is the SHA-256 of its rows in COPY's text form under fixed settings, in the order of
the primary key by bytes: the same rows give the same hash on every version, locale and time zone.
A partitioned table is read as one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import psycopg

from optiinfra.database.archive import TableContent
from optiinfra.domain.errors import DatabaseError

SETTINGS: Final = {
    "search_path": "pg_catalog",
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "row_security": "off",  # a table that would be filtered is an error
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
}
# The name of each table, and the statement that reads it; PostgreSQL quotes the names itself.
COPIES: Final = """
    SELECT format('%I.%I', n.nspname, c.relname),
           format('COPY (SELECT %s FROM %I.%I t ORDER BY %s) TO STDOUT',
                  string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), n.nspname, c.relname,
                  coalesce((
                      SELECT string_agg(quote_ident(k.attname) || CASE WHEN k.attcollation <> 0
                                                                  THEN ' COLLATE "C"' ELSE '' END,
                                        ', ' ORDER BY array_position(i.indkey::int2[], k.attnum))
                      FROM pg_index i
                      JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
                      WHERE i.indrelid = c.oid AND i.indisprimary), 't::text COLLATE "C"'))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
    GROUP BY c.oid, n.nspname, c.relname ORDER BY 1
"""
_FILTERED: Final = """
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND left(n.nspname, 3) <> 'pg_'
      AND n.nspname <> 'information_schema' AND row_security_active(c.oid) ORDER BY 1
"""


def fix_settings(connection: psycopg.Connection) -> None:
    """Make this transaction print values in one way, whatever the server's defaults are."""
    for name, value in SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def refuse_filtered(connection: psycopg.Connection) -> None:
    """Raise DatabaseError where row-level security would hide rows from this role."""
    tables = [row[0] for row in connection.execute(_FILTERED)]
    if tables:
        raise DatabaseError(
            f"Row-level security hides rows of {', '.join(tables)} from the user of the database"
            " URL, so that not everything would be read.",
            remedy="Connect as the owner of the tables or as a role with BYPASSRLS, such as"
            " optiinfra_backup.",
        )


def list_copies(connection: psycopg.Connection) -> dict[str, str]:
    """The statement by which each table's rows are read, by the table's qualified name."""
    return dict(connection.execute(COPIES).fetchall())


def hash_copy(connection: psycopg.Connection, copy: str) -> TableContent:
    """Count and hash of what a statement of `list_copies` gives."""
    with connection.cursor() as cursor, cursor.copy(copy.encode()) as rows:
        return hash_rows(rows)


def hash_rows(rows: Iterable[bytes | bytearray | memoryview]) -> TableContent:
    """Count and hash of rows in COPY's text form; a row ends where a newline stands."""
    seen, num_rows = hashlib.sha256(), 0
    for chunk in rows:
        seen.update(chunk)
        num_rows += bytes(chunk).count(b"\n")
    return TableContent(num_rows=num_rows, sha256=seen.hexdigest())
