"""Every constraint that the catalogue has accepts what it should and refuses the rest.

The constraints are read from the database: a new one without an example makes a test fail.
"""
# ruff: noqa: S608 - statements of names from the catalogue

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from tests.database.check_examples import CHECKS
from tests.database.test_tenants import fill
from tests.factories.everything import fill_agents

OURS = """c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'"""
CHECK_NAMES = f"""
    SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'c' AND {OURS}"""
UNIQUES = f"""
    SELECT c.relname, x.relname, ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indisunique AND {OURS} ORDER BY 1, 2"""
KEYS = f"""
    SELECT c.relname, k.conname, p.relname,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY n(num, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.num ORDER BY place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY n(num, place)
                 JOIN pg_attribute a ON a.attrelid = p.oid AND a.attnum = n.num ORDER BY place)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_class p ON p.oid = k.confrelid
    WHERE k.contype = 'f' AND {OURS} ORDER BY 1, 2"""
COLUMNS = f"""
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attnotnull,
           a.attidentity <> '', ARRAY(SELECT e.enumlabel::text FROM pg_enum e
                                      WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND {OURS} ORDER BY 1, a.attnum"""
# What rows need besides, so that each label of an enum and each partial index has one.
PREPARED = (
    "UPDATE optimizations SET started_at = now(), completed_at = now()",
    "UPDATE workflow_executions SET started_at = now(), completed_at = now()",
    "UPDATE workflow_steps SET completed_at = now(), idempotency_key = 'k'",
    "UPDATE approvals SET status = 'approved'",
)
# A value that no row has yet, by type.
FRESH = {
    "uuid": "gen_random_uuid()",
    "bigint": "(random() * 1e15)::bigint",
    "integer": "(random() * 1e9)::int",
    "date": "current_date + (random() * 1e4)::int",
    "timestamp with time zone": "now() - random() * interval '300 days'",
    "agenttype": "'orchestrator'",
}
ANY_TEXT = "'1.0.' || (random() * 1e9)::int"  # which is a version, too


class Column(NamedTuple):
    """A column of the catalogue; `labels` are those of its enum, if it is one."""

    table: str
    name: str
    type: str
    is_required: bool
    is_identity: bool
    labels: list[str]

    @property
    def fresh(self) -> str:
        return FRESH.get(self.type, ANY_TEXT)


class Asker:
    """Tries statements one by one, each undone, and collects what was answered otherwise."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.wrong: list[str] = []

    def list_all(self, query: str) -> list[Any]:
        return list(self._connection.execute(text(query)))

    def accept(self, statement: str) -> None:
        error, num_rows = self._run(statement)
        if error is not None or not num_rows:
            self.wrong.append(f"{statement}: {error or 'no row'}")

    def refuse(self, statement: str, kind: type[psycopg.Error], *names: str) -> None:
        """By that kind of error and, where there are `names`, by a constraint of such a name."""
        error, _ = self._run(statement)
        name = getattr(getattr(error, "diag", None), "constraint_name", None) or ""
        if not isinstance(error, kind) or (names and name not in names):
            self.wrong.append(f"{statement}: {error or 'accepted'}, not by {names}")

    def _run(self, statement: str) -> tuple[BaseException | None, int]:
        savepoint = self._connection.begin_nested()
        try:
            return None, self._connection.exec_driver_sql(statement.replace("%", "%%")).rowcount
        except DBAPIError as error:
            return error.orig, 0
        finally:
            savepoint.rollback()


@pytest.fixture
def asker(session: Session) -> Asker:
    """On a row in every table, with the triggers of ours off: constraints alone are asked."""
    fill(session)
    fill_agents(session)
    session.flush()
    connection = session.connection()
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # nothing is pending then
    tables = {row[0] for row in connection.execute(text(UNIQUES))}
    for table in sorted(tables):
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in PREPARED:
        connection.exec_driver_sql(statement)
    return Asker(connection)


def list_columns(asker: Asker) -> dict[str, dict[str, Column]]:
    found: dict[str, dict[str, Column]] = {}
    for row in asker.list_all(COLUMNS):
        found.setdefault(row[0], {})[row[1]] = Column(*row)
    return found


def test_every_check_has_examples_and_keeps_to_them(asker: Asker) -> None:
    for table, name in asker.list_all(CHECK_NAMES):
        assert f"{table}.{name}" in CHECKS, "a CHECK without examples"
        accepted, refused = CHECKS[f"{table}.{name}"]
        assert accepted
        assert refused
        for values in accepted:
            asker.accept(f"UPDATE {table} SET {values}")
        for values in refused:
            asker.refuse(f"UPDATE {table} SET {values}", psycopg.errors.CheckViolation, name)
    assert not asker.wrong


def test_every_unique_refuses_a_second_row_and_accepts_another(asker: Asker) -> None:
    columns = list_columns(asker)
    uniques = asker.list_all(UNIQUES)
    for table, name, key in uniques:
        others = {c for t, n, other in uniques if t == table and n != name for c in other}
        # One that a narrower one implies is refused by that one.
        names = [n for t, n, other in uniques if t == table and set(other) <= set(key)]
        names += [f"{table}_p_first_{n.removeprefix(f'{table}_')}" for n in names]
        asker.refuse(
            insert_copy(columns[table], others - set(key)), psycopg.errors.UniqueViolation, *names
        )
        asker._connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        asker.accept(insert_copy(columns[table], others | set(key)))
        asker._connection.exec_driver_sql("SET LOCAL session_replication_role = origin")
    assert not asker.wrong


def insert_copy(columns: dict[str, Column], fresh: set[str]) -> str:
    """A copy of a row of the table, but for these columns."""
    values = [
        column.fresh if column.name in fresh else f'"{name}"' for name, column in columns.items()
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    table = next(iter(columns.values())).table
    return (
        f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
        f" SELECT {', '.join(values)} FROM {table} LIMIT 1"
    )


def test_every_foreign_key_refuses_what_is_not_there_and_accepts_what_is(asker: Asker) -> None:
    """By a new row, since keys to an old one would refuse the change as well."""
    columns = list_columns(asker)
    keys = asker.list_all(KEYS)
    for table, name, parent, own, theirs in keys:
        others = {c for t, n, _, other, _ in keys if t == table and n != name for c in other}
        changed = next((column for column in own if column not in others), own[0])
        # Where every column is another key's too, either of them may answer first.
        names = {n for t, n, _, other, _ in keys if t == table and changed in other}
        if table in {of for _, _, of, _, _ in keys}:
            unique = {c for t, _, key in asker.list_all(UNIQUES) if t == table for c in key}
            statement = insert_copy(columns[table], {changed, *(unique - others - set(own))})
        else:
            statement = f"UPDATE {table} SET {changed} = {columns[table][changed].fresh}"
        asker.refuse(statement, psycopg.errors.ForeignKeyViolation, *names)
        asker.accept(
            f"UPDATE {table} SET ({', '.join(own)})"
            f" = (SELECT {', '.join(theirs)} FROM {parent} LIMIT 1)"
        )
    assert not asker.wrong


def test_every_enum_refuses_what_is_not_its_member_and_accepts_all_that_are(asker: Asker) -> None:
    found = [c for of_table in list_columns(asker).values() for c in of_table.values() if c.labels]
    assert len({column.type for column in found}) == 22
    for column in found:
        for label in column.labels:
            asker.accept(f"UPDATE {column.table} SET {column.name} = '{label}'")
        for other in ("nonsense", "", column.labels[0].upper()):
            asker.refuse(
                f"UPDATE {column.table} SET {column.name} = '{other}'",
                psycopg.errors.InvalidTextRepresentation,
            )
    assert not asker.wrong


def test_every_required_column_refuses_null_and_every_other_accepts_it(asker: Asker) -> None:
    for of_table in list_columns(asker).values():
        for column in of_table.values():
            statement = f'UPDATE {column.table} SET "{column.name}" = NULL'
            if column.is_identity:
                continue  # the database numbers these itself
            if column.is_required:
                asker.refuse(statement, psycopg.errors.IntegrityError)
            elif column.name != "completed_at":  # a status may need it: its CHECK says which
                asker.accept(statement)
    assert not asker.wrong
