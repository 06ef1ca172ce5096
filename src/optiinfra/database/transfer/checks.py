"""Whether the staged rows are one customer's and nobody else's, before any of them is placed.

A file says of itself whose rows it has, and may say anything. Each row must name the customer of
the header and refer to rows of the file alone; the records of what happened must not tell of rows
that somebody else has here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import ForeignKeyConstraint, Table, UniqueConstraint

from optiinfra.database.ownership import CUSTOMERS, TENANT, Ownership, list_columns
from optiinfra.database.transfer.report import SCHEMA
from optiinfra.database.transfer.staging import LINE, get_staged
from optiinfra.domain.errors import ConflictError, InputError

# Tables that tell of rows of any table, by name and id and without a key.
TELLING: Final = ("audit_log", "migration_findings")
# Columns that name a row without a key, since it may be gone, and its table.
NAMING: Final = (("workflow_state_transitions", "step_id", "workflow_steps"),)
_REMEDY: Final = "Nothing was written. Export the customer again, or correct what wrote the file."


class Checks:
    """Asks about the staged rows; each check raises an error that names the first line at fault."""

    def __init__(
        self, connection: psycopg.Connection, ownership: Ownership, *, customer_id: UUID, path: Path
    ) -> None:
        self._connection = connection
        self._ownership = ownership
        self._customer_id = customer_id
        self._path = path

    def check_all(self) -> None:
        """Raises InputError for rows that cannot be, ConflictError for a customer that is here."""
        self._check_customer()
        for table in self._ownership.owned:
            self._check_tenant(table)
        for table in (*self._ownership.shared, *self._ownership.owned):
            self._check_keys(table)
            for key in table.foreign_key_constraints:
                self._check_reference(table, key)
        for table in self._ownership.shared:
            self._check_use(table)
        for name in TELLING:
            self._check_telling(name)
        for name, column, parent in NAMING:
            self._check_naming(name, column, parent)
        self._check_conflicts()

    def _check_customer(self) -> None:
        statement = sql.SQL(
            "SELECT count(*), count(*) FILTER (WHERE id = {id}), max({line}) FROM {staged}"
        ).format(
            id=sql.Literal(self._customer_id),
            line=sql.Identifier(LINE),
            staged=get_staged(CUSTOMERS),
        )
        row = self._connection.execute(statement).fetchone()
        if row is None or row[:2] != (1, 1):
            line = row[2] if row is not None else None
            raise self._make_error(
                "the file has not exactly one customer, that of its header", line
            )

    def _check_tenant(self, table: Table) -> None:
        if TENANT in table.columns:
            condition = sql.SQL("s.{} IS DISTINCT FROM {}").format(
                sql.Identifier(TENANT), sql.Literal(self._customer_id)
            )
            self._refuse(table.name, condition, f"the row of {table.name} is another customer's")

    def _check_keys(self, table: Table) -> None:
        """No two rows of the file may have one key."""
        for columns in _list_keys(table):
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            statement = sql.SQL(
                "SELECT min(last) FROM (SELECT max({line}) AS last FROM {staged}"
                " WHERE num_nulls({names}) = 0 GROUP BY {names} HAVING count(*) > 1) twice"
            ).format(line=sql.Identifier(LINE), staged=get_staged(table), names=names)
            found = self._find(statement)
            if found is not None:
                what = f"a second row of {table.name} has the same {', '.join(columns)}"
                raise self._make_error(what, found)

    def _check_reference(self, table: Table, key: ForeignKeyConstraint) -> None:
        """What a row refers to must be in the file: keys of our own would accept what is here."""
        children = [element.parent.name for element in key.elements]
        parents = [element.column.name for element in key.elements]
        equal = sql.SQL(" AND ").join(
            sql.SQL("p.{} = s.{}").format(sql.Identifier(parent), sql.Identifier(child))
            for parent, child in zip(parents, children, strict=True)
        )
        condition = sql.SQL(
            "num_nulls({columns}) = 0 AND NOT EXISTS (SELECT FROM {parent} p WHERE {equal})"
        ).format(
            columns=sql.SQL(", ").join(sql.SQL("s.{}").format(sql.Identifier(c)) for c in children),
            parent=get_staged(key.referred_table),
            equal=equal,
        )
        what = f"the row of {table.name} refers to {key.referred_table.name} that the file has not"
        self._refuse(table.name, condition, what, field=f"{table.name}.{children[0]}")

    def _check_use(self, shared: Table) -> None:
        """A shared row comes along only because a row of the customer needs it."""
        uses = [
            sql.SQL("EXISTS (SELECT FROM {} c WHERE c.{} = s.id)").format(
                get_staged(table), sql.Identifier(column)
            )
            for table in self._ownership.owned
            for column, parent in self._ownership.list_shared_keys(table).items()
            if parent == shared.name
        ]
        condition = sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(uses))
        self._refuse(shared.name, condition, f"no row of the customer needs the {shared.name}")

    def _check_telling(self, name: str) -> None:
        owned = {table.name: table for table in self._ownership.owned}
        known = sql.SQL(", ").join(map(sql.Literal, owned))
        condition = sql.SQL("s.table_name NOT IN ({})").format(known)
        self._refuse(name, condition, f"{name} tells of a table that holds nothing of customers")
        statement = sql.SQL("SELECT DISTINCT table_name FROM {}").format(get_staged(name))
        for (told,) in self._connection.execute(statement).fetchall():
            if not _has_uuid(owned[told]):
                continue
            condition = sql.SQL("s.table_name = {} AND {}").format(
                sql.Literal(told), _is_somebody_elses("row_id", told)
            )
            what = f"{name} tells of a row of {told} that somebody else has here"
            self._refuse(name, condition, what, field=f"{name}.row_id")

    def _check_naming(self, name: str, column: str, parent: str) -> None:
        what = f"the row names a row of {parent} that somebody else has here"
        condition = _is_somebody_elses(column, parent)
        self._refuse(name, condition, what, field=f"{name}.{column}")

    def _check_conflicts(self) -> None:
        """The customer, or who has their address or key, may be here already."""
        for columns in _list_keys(self._ownership.owned[0]):
            statement = sql.SQL("SELECT count(*) FROM {} s JOIN {} h USING ({})").format(
                get_staged(CUSTOMERS),
                sql.Identifier(SCHEMA, CUSTOMERS),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
            )
            if self._find(statement):
                raise ConflictError(
                    f"The database has a row already that {self._path} would bring"
                    f" ({CUSTOMERS}, by {', '.join(columns)}).",
                    remedy="Nothing was written. Purge the customer there first, or import into"
                    " another database.",
                )

    def _refuse(
        self, table: str, condition: sql.Composable, what: str, *, field: str | None = None
    ) -> None:
        statement = sql.SQL("SELECT min(s.{line}) FROM {staged} s WHERE {condition}").format(
            line=sql.Identifier(LINE), staged=get_staged(table), condition=condition
        )
        found = self._find(statement)
        if found is not None:
            raise self._make_error(what, found, field=field)

    def _find(self, statement: sql.Composed) -> int | None:
        row = self._connection.execute(statement).fetchone()
        return None if row is None else row[0]

    def _make_error(
        self, problem: str, line: int | None, *, field: str | None = None
    ) -> InputError:
        return InputError(
            f"{problem}.", remedy=_REMEDY, file=str(self._path), line=line, field=field
        )


def _is_somebody_elses(column: str, table: str) -> sql.Composable:
    """Here before the import, and not in the file."""
    return sql.SQL(
        "EXISTS (SELECT FROM {here} h WHERE h.id = s.{column})"
        " AND NOT EXISTS (SELECT FROM {staged} o WHERE o.id = s.{column})"
    ).format(
        here=sql.Identifier(SCHEMA, table),
        staged=get_staged(table),
        column=sql.Identifier(column),
    )


def _has_uuid(table: Table) -> bool:
    return "id" in list_columns(table) and table.columns["id"].type.python_type is UUID


def _list_keys(table: Table) -> Iterator[list[str]]:
    """Columns that are unique together, of those that the file has; the primary key first."""
    moved = set(list_columns(table))
    others = [
        [column.name for column in unique.columns]
        for unique in table.constraints
        if isinstance(unique, UniqueConstraint)
    ]
    others += [
        [column.name for column in index.columns]
        for index in table.indexes
        if index.unique and index.dialect_options["postgresql"]["where"] is None
    ]
    keys = [[column.name for column in table.primary_key.columns], *sorted(others)]
    return (key for key in keys if moved.issuperset(key))
