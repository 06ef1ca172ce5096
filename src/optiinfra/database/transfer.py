"""One customer out of one database and into another, or out of the world.

The file has a line of JSON a row: first what it is, last the SHA-256 of all lines before. Values
are in PostgreSQL's text form. Ids are kept; shared rows, such as agents, are matched by their
natural key, and made where there is none. An import is one transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Table

from optiinfra.database import migrate
from optiinfra.database.contents import fix_settings, refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.models import Base
from optiinfra.database.ownership import (
    CUSTOMERS,
    Ownership,
    disable_triggers,
    enable_triggers,
    find_ownership,
    list_columns,
    list_natural_keys,
)
from optiinfra.database.whole_file import writing_whole
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError

FORMAT: Final = "optiinfra customer"
VERSION: Final = 1
PURGE_ROLE: Final = "optiinfra_purge"
_PUBLIC: Final = "public"

Values = list[str | None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Whose rows, and how many of each table."""

    customer_id: UUID
    num_rows: dict[str, int]


class _Lines:
    """Writes lines and hashes them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)

    def close(self) -> None:
        self._file.write(json.dumps({"sha256": self._hash.hexdigest()}).encode() + b"\n")


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
        customer_id = _get_customer(connection, customer)
        lines = _Lines(file)
        tables = (*ownership.shared, *ownership.owned)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "revision": migrate.current(url),
            "customer_id": str(customer_id),
            "tables": {table.name: list_columns(table) for table in tables},
        }
        lines.write(header)
        counts = {}
        for table in tables:
            counts[table.name] = 0
            for row in _read_rows(connection, ownership, table, customer_id):
                lines.write([table.name, *row])
                counts[table.name] += 1
        lines.close()
    return Transfer(customer_id=customer_id, num_rows=counts)


def import_customer(url: str, path: Path) -> Transfer:
    """Put the customer of a file into the database, keeping ids.

    The file is checked to its end first. Raises ConflictError where the customer, or any row of
    theirs, is there already; then nothing was written.
    """
    header = _check_file(path)
    ownership = find_ownership()
    tables = {table.name: table for table in (*ownership.shared, *ownership.owned)}
    expected = {name: list_columns(table) for name, table in tables.items()}
    revision = migrate.current(url)
    if header["revision"] != revision or header["tables"] != expected:
        raise InputError(
            f"the customer was exported at schema revision {header['revision']!r}; the database has"
            f" {revision!r}.",
            remedy="Bring both databases to the same revision and export again.",
            file=str(path),
        )
    customer_id = UUID(header["customer_id"])
    with connecting(url) as connection:
        fix_settings(connection)
        refuse_filtered(connection)
        try:
            counts = _import_rows(connection, ownership, path)
        except psycopg.errors.UniqueViolation as error:
            raise ConflictError(
                f"The database has a row already that {path} would bring"
                f" ({error.diag.table_name}, {error.diag.constraint_name}).",
                remedy="Nothing was written. Purge the customer there first, or import into"
                " another database.",
            ) from error
    return Transfer(customer_id=customer_id, num_rows=counts)


def purge_customer(url: str, customer: str) -> Transfer:
    """Remove a customer, by id or e-mail, with everything that is theirs; how much that was.

    The audit log stays. Where the schema has a role that its guards let pass, it acts as that role.
    """
    ownership = find_ownership()
    with connecting(url) as connection:
        connection.execute(f"SET LOCAL search_path = {_PUBLIC}".encode())
        refuse_filtered(connection)
        customer_id = _get_customer(connection, customer)
        deleted = [t for t in ownership.owned if t.name == CUSTOMERS or t.foreign_key_constraints]
        counts = {
            table.name: _count(connection, ownership, table, customer_id) for table in deleted
        }
        known = connection.execute(
            "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (PURGE_ROLE,)
        ).fetchone()
        if known is not None and known[0]:
            connection.execute(f"SET LOCAL ROLE {PURGE_ROLE}".encode())
        connection.execute("DELETE FROM customers WHERE id = %s", (customer_id,))
    return Transfer(customer_id=customer_id, num_rows=counts)


def _get_customer(connection: psycopg.Connection, customer: str) -> UUID:
    rows = connection.execute(
        "SELECT id FROM public.customers WHERE id::text = lower(%(name)s)"
        " OR lower(email) = lower(%(name)s)",
        {"name": customer.strip()},
    ).fetchall()
    if len(rows) != 1:
        raise NotFoundError(
            f"{len(rows) or 'No'} customers have the id or e-mail {customer!r}.",
            remedy="Give the id of one.",
        )
    found: UUID = rows[0][0]
    return found


def _select(ownership: Ownership, table: Table) -> sql.Composable:
    """The rows to take: the customer's own, or the shared ones that those refer to."""
    if table in ownership.owned:
        return ownership.make_condition(table)
    parts = [
        sql.SQL("id IN (SELECT {column} FROM {child} WHERE {condition})").format(
            column=sql.Identifier(column),
            child=sql.Identifier(_PUBLIC, child.name),
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
        table=sql.Identifier(_PUBLIC, table.name),
        condition=_select(ownership, table),
    )
    connection.execute(f"SET LOCAL search_path = {_PUBLIC}".encode())
    with connection.cursor() as cursor:
        # COPY takes no parameters; a UUID has no characters that could mean anything else.
        statement = query.as_string(connection).replace("%(customer)s", f"'{customer_id}'")
        with cursor.copy(statement.encode()) as copy:
            yield from copy.rows()


def _count(
    connection: psycopg.Connection, ownership: Ownership, table: Table, customer_id: UUID
) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        sql.Identifier(_PUBLIC, table.name), ownership.make_condition(table)
    )
    row = connection.execute(query, {"customer": customer_id}).fetchone()
    return int(row[0]) if row else 0


def _check_file(path: Path) -> dict[str, Any]:
    """The first line of a file, after its last line was found to agree with all before it."""
    seen, last, header = hashlib.sha256(), b"", None
    try:
        with path.open("rb") as file:
            for line in file:
                if last:
                    seen.update(last)
                    header = header or json.loads(last)
                last = line
        seal = json.loads(last) if header is not None else None
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}.",
            remedy="Check the path and its rights.",
            file=str(path),
        ) from error
    except ValueError:
        header = seal = None
    is_ours = isinstance(header, dict) and header.get("format") == FORMAT
    if not is_ours or seal != {"sha256": seen.hexdigest()}:
        raise InputError(
            "the file is no customer's export, or is cut off or changed.",
            remedy="Export the customer again; nothing was written.",
            file=str(path),
        )
    assert isinstance(header, dict)  # noqa: S101
    if header.get("version") != VERSION:
        raise InputError(
            f"the file has format version {header.get('version')!r}; this program reads {VERSION}.",
            remedy="Export the customer again with this program.",
            file=str(path),
        )
    return header


def _read_file(path: Path) -> Iterator[tuple[str, Values]]:
    with path.open("rb") as file:
        next(file)
        for line in file:
            value = json.loads(line)
            if isinstance(value, list):
                yield value[0], value[1:]


def _import_rows(
    connection: psycopg.Connection, ownership: Ownership, path: Path
) -> dict[str, int]:
    connection.execute(f"SET LOCAL search_path = {_PUBLIC}".encode())
    quiet = disable_triggers(connection, ownership.owned)
    ids: dict[str, str] = {}  # of shared rows: there to here
    counts = dict.fromkeys((table.name for table in ownership.owned), 0)
    shared = {table.name for table in ownership.shared}
    rows = iter(_read_file(path))
    row = next(rows, None)
    while row is not None:
        name = row[0]
        table = Base.metadata.tables[name]
        if name in shared:
            counts[name] = counts.get(name, 0) + _place_shared(connection, table, row[1], ids)
            row = next(rows, None)
            continue
        positions = {
            list_columns(table).index(column) for column in ownership.list_shared_keys(table)
        }
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, list_columns(table)))
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            while row is not None and row[0] == name:
                values = [
                    ids.get(value or "", value) if place in positions else value
                    for place, value in enumerate(row[1])
                ]
                copy.write_row(values)
                counts[name] += 1
                row = next(rows, None)
    enable_triggers(connection, quiet)
    return counts


def _place_shared(
    connection: psycopg.Connection, table: Table, values: Values, ids: dict[str, str]
) -> int:
    """Find a shared row by its natural key and note its id here, or make it; how many were made."""
    columns = list_columns(table)
    by_name = dict(zip(columns, values, strict=True))
    there = by_name["id"] or ""
    for key in list_natural_keys(table):
        condition = sql.SQL(" AND ").join(
            sql.SQL("{}::text = {}").format(sql.Identifier(column), sql.Placeholder(column))
            for column in key
        )
        query = sql.SQL("SELECT id::text FROM {} WHERE {}").format(
            sql.Identifier(table.name), condition
        )
        found = connection.execute(query, {column: by_name[column] for column in key}).fetchone()
        if found is not None:
            ids[there] = found[0]
            return 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write_row(values)
    return 1
