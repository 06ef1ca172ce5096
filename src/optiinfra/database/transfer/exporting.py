"""A customer written to a file, from one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Table

from optiinfra.database import migrate
from optiinfra.database.contents import fix_settings, refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.ownership import Ownership, find_ownership, list_columns
from optiinfra.database.transfer.file import FORMAT, VERSION, Header, Writer
from optiinfra.database.transfer.report import SCHEMA, Transfer, get_customer
from optiinfra.database.whole_file import writing_whole


def export_customer(url: str, customer: str, path: Path) -> Transfer:
    """Write a customer, by id or e-mail, with everything that is theirs; one snapshot of it.

    Raises NotFoundError, DatabaseError for a role that would not see every row, and InputError for
    a file that cannot be written.
    """
    ownership = find_ownership()
    with writing_whole(path) as file, connecting(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        fix_settings(connection)
        refuse_filtered(connection)
        customer_id = get_customer(connection, customer)
        tables = (*ownership.shared, *ownership.owned)
        header = Header(
            format=FORMAT,
            version=VERSION,
            revision=migrate.current(url) or "",
            customer_id=customer_id,
            tables={table.name: list_columns(table) for table in tables},
        )
        writer = Writer(file, header, path=path)
        counts = {}
        for table in tables:
            counts[table.name] = 0
            for row in _read_rows(connection, ownership, table, customer_id):
                writer.write(table.name, row)
                counts[table.name] += 1
        writer.close()
    return Transfer(customer_id=customer_id, num_rows=counts)


def _select(ownership: Ownership, table: Table) -> sql.Composable:
    """The rows to take: the customer's own, or the shared ones that those refer to."""
    if table in ownership.owned:
        return ownership.make_condition(table)
    parts = [
        sql.SQL("id IN (SELECT {column} FROM {child} WHERE {condition})").format(
            column=sql.Identifier(column),
            child=sql.Identifier(SCHEMA, child.name),
            condition=ownership.make_condition(child),
        )
        for child in ownership.owned
        for column, shared in ownership.list_shared_keys(child).items()
        if shared == table.name
    ]
    return sql.SQL(" OR ").join(parts)


def _read_rows(
    connection: psycopg.Connection, ownership: Ownership, table: Table, customer_id: UUID
) -> Iterator[tuple[Any, ...]]:
    query = sql.SQL("COPY (SELECT {columns} FROM {table} WHERE {condition}) TO STDOUT").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, list_columns(table))),
        table=sql.Identifier(SCHEMA, table.name),
        condition=_select(ownership, table),
    )
    connection.execute(f"SET LOCAL search_path = {SCHEMA}".encode())
    with connection.cursor() as cursor:
        # COPY takes no parameters; a UUID has no characters that could mean anything else.
        statement = query.as_string(connection).replace("%(customer)s", f"'{customer_id}'")
        with cursor.copy(statement.encode()) as copy:
            yield from copy.rows()
