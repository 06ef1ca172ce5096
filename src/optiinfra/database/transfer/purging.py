"""A customer removed."""

from __future__ import annotations

from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Table

from optiinfra.database.contents import refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.ownership import CUSTOMERS, Ownership, find_ownership
from optiinfra.database.transfer.report import SCHEMA, Transfer, get_customer

PURGE_ROLE = "optiinfra_purge"
FINDINGS = "migration_findings"


def purge_customer(url: str, customer: str) -> Transfer:
    """Remove a customer, by id or e-mail, with everything that is theirs; how much that was.

    The audit log stays. Where the schema has a role that its guards let pass, it acts as that role.
    """
    ownership = find_ownership()
    with connecting(url) as connection:
        connection.execute(f"SET LOCAL search_path = {SCHEMA}".encode())
        refuse_filtered(connection)
        customer_id = get_customer(connection, customer)
        deleted = [t for t in ownership.owned if t.name == CUSTOMERS or t.foreign_key_constraints]
        counts = {
            table.name: _count(connection, ownership, table, customer_id) for table in deleted
        }
        known = connection.execute(
            "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (PURGE_ROLE,)
        ).fetchone()
        if known is not None and known[0]:
            connection.execute(f"SET LOCAL ROLE {PURGE_ROLE}".encode())
        counts[FINDINGS] += _purge_doubtful(connection, ownership, customer_id)
        connection.execute("DELETE FROM customers WHERE id = %s", (customer_id,))
    return Transfer(customer_id=customer_id, num_rows=counts)


def _purge_doubtful(connection: psycopg.Connection, ownership: Ownership, customer_id: UUID) -> int:
    """Findings of rows that named one customer and were another's go with either of the two."""
    is_theirs: list[sql.Composable] = [sql.SQL("row_before ->> 'customer_id' = %(customer)s::text")]
    is_theirs += [
        sql.SQL("table_name = {name} AND row_id IN (SELECT id FROM {table} WHERE {rows})").format(
            name=sql.Literal(table.name),
            table=sql.Identifier(table.name),
            rows=ownership.make_condition(table),
        )
        for table in ownership.owned
        if any(key.referred_table.name == CUSTOMERS for key in table.foreign_key_constraints)
        and table.columns.get("id") is not None
        and table.columns["id"].type.python_type is UUID
    ]
    statement = sql.SQL("DELETE FROM {} WHERE customer_id IS NULL AND ({})").format(
        sql.Identifier(FINDINGS), sql.SQL(" OR ").join(is_theirs)
    )
    return connection.execute(statement, {"customer": customer_id}).rowcount


def _count(
    connection: psycopg.Connection, ownership: Ownership, table: Table, customer_id: UUID
) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        sql.Identifier(SCHEMA, table.name), ownership.make_condition(table)
    )
    row = connection.execute(query, {"customer": customer_id}).fetchone()
    return int(row[0]) if row else 0
