"""What was moved or removed, and whose it was."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg

from optiinfra.domain.errors import NotFoundError

SCHEMA = "public"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Whose rows, and how many of each table."""

    customer_id: UUID
    num_rows: dict[str, int]


def get_customer(connection: psycopg.Connection, customer: str) -> UUID:
    """The customer of that id or e-mail; raises NotFoundError."""
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
