"""A customer brought in from a file: staged, checked, and placed in one transaction.

Rows that come from elsewhere bring their history with them; the triggers that write history would
write another. They are kept quiet for the tables that have them, which takes a lock that stops
writers of those tables (readers go on). So everything that can be done without it comes first: rows
are staged and checked in temporary tables, and those of all other tables are placed. What is left
under the lock are decisions and workflows, not series.

The trigger on customers is not kept quiet: the audit log says that the customer came, and by whom.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Table

from optiinfra.database import migrate
from optiinfra.database.contents import fix_settings, refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.ownership import (
    CUSTOMERS,
    Ownership,
    find_ownership,
    list_columns,
    list_natural_keys,
)
from optiinfra.database.transfer.checks import Checks
from optiinfra.database.transfer.file import Header, read_header
from optiinfra.database.transfer.report import SCHEMA, Transfer
from optiinfra.database.transfer.staging import LINE, get_staged, stage
from optiinfra.domain.errors import ConflictError, InputError

LOCK_TIMEOUT: Final = "2s"  # so long others queue behind us at a time
MAX_TRIES: Final = 30
PAUSE_S: Final = 1.0
_HERE: Final = "id_here"
# Triggers after an insertion write history; those before it fill in and check.
_HISTORIES: Final = """
    SELECT c.relname, g.tgname
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgconstraint = 0
      AND g.tgtype & 4 <> 0 AND g.tgtype & (2 | 64) = 0 AND c.relname = ANY (%s)
    ORDER BY 1, 2
"""


def import_customer(url: str, path: Path) -> Transfer:
    """Put the customer of a file into the database, keeping ids.

    Raises InputError, with the line, for a file that is not what an export writes, ConflictError
    where the customer or any row of theirs is there already; then nothing was written.
    """
    header = read_header(path)
    ownership = find_ownership()
    tables = {table.name: list_columns(table) for table in (*ownership.shared, *ownership.owned)}
    revision = migrate.current(url)
    if header.revision != revision or list(header.tables.items()) != list(tables.items()):
        raise InputError(
            f"the customer was exported at schema revision {header.revision!r}; the database has"
            f" {revision!r}.",
            remedy="Bring both databases to the same revision and export again.",
            file=str(path),
        )
    with connecting(url) as connection:
        counts = bring_in(connection, ownership, header, path)
    return Transfer(customer_id=header.customer_id, num_rows=counts)


def bring_in(
    connection: psycopg.Connection, ownership: Ownership, header: Header, path: Path
) -> dict[str, int]:
    """Stage, check and place the rows in the connection's transaction; how many of each table."""
    fix_settings(connection)
    refuse_filtered(connection)
    stage(connection, (*ownership.shared, *ownership.owned), header, path)
    Checks(connection, ownership, customer_id=header.customer_id, path=path).check_all()
    try:
        counts = {table.name: _place_shared(connection, table) for table in ownership.shared}
        _renumber_series(connection)
        return counts | _place(connection, ownership)
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(
            f"The database has a row already that {path} would bring"
            f" ({error.diag.table_name}, {error.diag.constraint_name}).",
            remedy="Nothing was written. Purge the customer there first, or import into"
            " another database.",
        ) from error


def _place_shared(connection: psycopg.Connection, table: Table) -> int:
    """Find shared rows by their natural key, or make them; how many were made.

    A row that is made has its id and name and nothing else of what the file says: where an agent
    was reached elsewhere, and how it was, is not true here.
    """
    staged, here = get_staged(table), sql.Identifier(SCHEMA, table.name)
    connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} uuid").format(staged, _name(_HERE)))
    keys = list_natural_keys(table)
    for key in keys:
        equal = sql.SQL(" AND ").join(sql.SQL("h.{0} = s.{0}").format(_name(name)) for name in key)
        connection.execute(
            sql.SQL("UPDATE {} s SET {} = h.id FROM {} h WHERE {}").format(
                staged, _name(_HERE), here, equal
            )
        )
    needed = [
        column.name
        for column in table.columns
        if any(column.name in key for key in keys)
        or (not column.nullable and (column.primary_key or column.server_default is None))
    ]
    names = sql.SQL(", ").join(map(_name, needed))
    made = connection.execute(
        sql.SQL(
            "INSERT INTO {here} ({names}) SELECT {names} FROM {staged} WHERE {id} IS NULL"
        ).format(here=here, names=names, staged=staged, id=_name(_HERE))
    ).rowcount
    connection.execute(
        sql.SQL("UPDATE {0} SET {1} = id WHERE {1} IS NULL").format(staged, _name(_HERE))
    )
    return made


def _renumber_series(connection: psycopg.Connection) -> None:
    """A series is known by a hash of its agent's id among others: another agent, another number."""
    series, column = get_staged("resource_series"), _name(_HERE)
    connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} bigint").format(series, column))
    moved = connection.execute(
        sql.SQL("""
            UPDATE {series} s SET {column} = public.compute_series_id(
                s.customer_id, a.{column}, s.instance_id, s.resource_type::text, s.metric_name,
                s.unit)
            FROM {agents} a WHERE a.id = s.agent_id AND a.id <> a.{column}""").format(
            series=series, column=column, agents=get_staged("agents")
        )
    ).rowcount
    for table in ("resource_metrics", "resource_metric_days") if moved else ():
        connection.execute(
            sql.SQL(
                "UPDATE {} t SET series_id = s.{column} FROM {} s"
                " WHERE s.id = t.series_id AND s.{column} IS NOT NULL"
            ).format(get_staged(table), series, column=column)
        )
    connection.execute(
        sql.SQL("UPDATE {0} SET id = {1} WHERE {1} IS NOT NULL").format(series, column)
    )


def _place(connection: psycopg.Connection, ownership: Ownership) -> dict[str, int]:
    """First what needs no lock, then what does, and what refers to that."""
    names = [table.name for table in ownership.owned if table.name != CUSTOMERS]
    histories = connection.execute(_HISTORIES, (names,)).fetchall()
    locked = {table for table, _ in histories}
    late: list[Table] = []
    counts = {}
    for table in ownership.owned:
        referred = {key.referred_table.name for key in table.foreign_key_constraints}
        if table.name in locked or referred & {other.name for other in late}:
            late.append(table)
        else:
            counts[table.name] = _insert(connection, ownership, table)
    _lock(connection, sorted(locked))
    _alter_triggers(connection, histories, "DISABLE")
    for table in late:
        counts[table.name] = _insert(connection, ownership, table)
    _alter_triggers(connection, histories, "ENABLE")
    return counts


def _lock(connection: psycopg.Connection, names: list[str]) -> None:
    """Take the locks at once, and let others pass between two tries."""
    if not names:
        return
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
    statement = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
        sql.SQL(", ").join(sql.Identifier(SCHEMA, name) for name in names)
    )
    for number in range(1, MAX_TRIES + 1):
        try:
            with connection.transaction():  # a savepoint
                connection.execute(statement)
        except psycopg.errors.LockNotAvailable:
            if number == MAX_TRIES:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def _alter_triggers(
    connection: psycopg.Connection, triggers: Iterable[tuple[str, str]], change: str
) -> None:
    for table, trigger in triggers:
        connection.execute(
            sql.SQL("ALTER TABLE {table} {change} TRIGGER {trigger}").format(
                table=sql.Identifier(SCHEMA, table), change=sql.SQL(change), trigger=_name(trigger)
            )
        )


def _insert(connection: psycopg.Connection, ownership: Ownership, table: Table) -> int:
    """The staged rows, in the order of the file, with the ids that shared rows have here."""
    columns = list_columns(table)
    shared = ownership.list_shared_keys(table)
    values = [
        sql.SQL("{}.{}").format(_name(f"of_{name}"), _name(_HERE))
        if name in shared
        else sql.SQL("s.{}").format(_name(name))
        for name in columns
    ]
    joins = [
        sql.SQL("LEFT JOIN {staged} {alias} ON {alias}.id = s.{column}").format(
            staged=get_staged(parent), alias=_name(f"of_{column}"), column=_name(column)
        )
        for column, parent in shared.items()
    ]
    statement = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {values} FROM {staged} s {joins} ORDER BY s.{line}"
    ).format(
        table=sql.Identifier(SCHEMA, table.name),
        columns=sql.SQL(", ").join(map(_name, columns)),
        values=sql.SQL(", ").join(values),
        staged=get_staged(table),
        joins=sql.SQL(" ").join(joins),
        line=_name(LINE),
    )
    return connection.execute(statement).rowcount


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)
