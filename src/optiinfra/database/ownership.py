"""Which tables hold a customer's rows, and how they are found: read from the models.

A table is a customer's when it names the customer, or when a key that it cannot be without leads to
a table that does. Tables that such rows refer to and that are nobody's, such as agents, are shared.
Events on the bus are neither: they go with their customer, and do not happen again elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Table, UniqueConstraint

from optiinfra.database.models import Base
from optiinfra.database.models.base import IN_TRANSIT

CUSTOMERS: Final = "customers"
TENANT: Final = "customer_id"


@dataclass(frozen=True, slots=True)
class Ownership:
    """The customer's tables, parents first, and the shared ones that they refer to."""

    owned: tuple[Table, ...]
    shared: tuple[Table, ...]

    def make_condition(self, table: Table) -> sql.Composable:
        """Which rows are the customer's, with one parameter a mention of `%(customer)s`."""
        if table.name == CUSTOMERS:
            return sql.SQL("id = %(customer)s")
        if TENANT in table.columns:
            return sql.SQL("{} = %(customer)s").format(sql.Identifier(TENANT))
        column, parent, key = next(_list_owners(table, {owned.name for owned in self.owned}))
        return sql.SQL("{column} IN (SELECT {key} FROM {parent} WHERE {condition})").format(
            column=sql.Identifier(column),
            key=sql.Identifier(key),
            parent=sql.Identifier(parent),
            condition=self.make_condition(Base.metadata.tables[parent]),
        )

    def list_shared_keys(self, table: Table) -> dict[str, str]:
        """Columns of a customer's table that name a shared row, with that row's table."""
        names = {shared.name for shared in self.shared}
        return {
            element.parent.name: element.column.table.name
            for constraint in table.foreign_key_constraints
            for element in constraint.elements
            if element.column.table.name in names and element.column.name == "id"
        }


def find_ownership() -> Ownership:
    """What the models say now."""
    owned: list[Table] = []
    names: set[str] = set()
    for table in Base.metadata.sorted_tables:
        if table.info.get(IN_TRANSIT):
            continue
        is_named = table.name == CUSTOMERS or TENANT in table.columns
        if is_named or any(True for _ in _list_owners(table, names)):
            owned.append(table)
            names.add(table.name)
    referred = {
        key.referred_table.name
        for table in owned
        for key in table.foreign_key_constraints
        if key.referred_table.name not in names
    }
    shared = tuple(table for table in Base.metadata.sorted_tables if table.name in referred)
    # The record of what happened names the customer without a key: after all that it tells of.
    owned.sort(key=lambda table: table.name != CUSTOMERS and not table.foreign_keys)
    return Ownership(owned=tuple(owned), shared=shared)


def list_natural_keys(table: Table) -> list[list[str]]:
    """The unique constraints by which a shared row is the same row elsewhere."""
    found = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    return sorted([column.name for column in unique.columns] for unique in found)


def list_columns(table: Table) -> list[str]:
    """The columns whose values move: not those that are computed, and no database's own numbers."""
    return [
        column.name
        for column in table.columns
        if column.computed is None and column.identity is None
    ]


def disable_triggers(connection: psycopg.Connection, tables: tuple[Table, ...]) -> list[str]:
    """Keep triggers of ours quiet until `enable_triggers`; keys and checks still hold.

    Rows that come from elsewhere bring their history with them; the triggers would write another.
    Only the tables' owner may do this, in its own transaction.
    """
    rows = connection.execute(
        "SELECT DISTINCT c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'"
        " WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND c.relname = ANY (%s)",
        ([table.name for table in tables],),
    ).fetchall()
    names = sorted(row[0] for row in rows)
    _alter_triggers(connection, names, "DISABLE")
    return names


def enable_triggers(connection: psycopg.Connection, names: list[str]) -> None:
    """Undo `disable_triggers`."""
    _alter_triggers(connection, names, "ENABLE")


def _alter_triggers(connection: psycopg.Connection, names: list[str], change: str) -> None:
    for name in names:
        statement = sql.SQL("ALTER TABLE {table} {change} TRIGGER USER").format(
            table=sql.Identifier("public", name), change=sql.SQL(change)
        )
        connection.execute(statement)


def _list_owners(table: Table, owned: set[str]) -> Iterator[tuple[str, str, str]]:
    """Column, parent table and its column, for each required key to a customer's table."""
    for column in table.columns:
        for key in column.foreign_keys:
            if not column.nullable and key.column.table.name in owned:
                yield column.name, key.column.table.name, key.column.name
