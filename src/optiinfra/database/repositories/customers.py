"""The customers' table."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import Customer, CustomerStatus
from optiinfra.database.models.keys import compute_key_digest
from optiinfra.database.repositories.email_address import parse_email
from optiinfra.kit.time import require_utc

KEY_BYTES = 32


class Customers:
    """Every query on customers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_by_email(self, email: str) -> Customer | None:
        """The customer of that address in any case, or None."""
        address = parse_email(email, field="email")
        query = select(Customer).where(Customer.email == address).options(raiseload("*"))
        return self._session.scalars(query).one_or_none()

    def get_or_create(self, *, name: str, email: str, now: datetime) -> Customer:
        """The customer of that address, made where there is none; an existing name stays.

        A new one gets a key that nobody has seen: its digest is stored because the column asks for
        one, and the key is thrown away. `issue_key` makes one to use.
        """
        made_at = require_utc(now)
        address = parse_email(email, field="email")
        unseen_key = secrets.token_urlsafe(KEY_BYTES)
        self._session.execute(
            insert(Customer)
            .values(
                name=name,
                email=address,
                api_key_digest=compute_key_digest(unseen_key),
                created_at=made_at,
                updated_at=made_at,
            )
            .on_conflict_do_nothing(index_elements=[Customer.email])
        )
        query = select(Customer).where(Customer.email == address).options(raiseload("*"))
        return self._session.scalars(query).one()

    def issue_key(self, customer: Customer, *, now: datetime) -> str:
        """A new key in place of the old one; show it once, since only its digest is kept."""
        changed_at = require_utc(now)
        key = secrets.token_urlsafe(KEY_BYTES)
        customer.api_key = key
        customer.updated_at = changed_at
        self._session.flush()
        return key

    def find_by_key(self, key: str) -> Customer | None:
        """The active customer whose key this is, or None."""
        query = select(Customer).where(
            Customer.api_key_digest == compute_key_digest(key),
            Customer.status == CustomerStatus.ACTIVE,
        )
        return self._session.scalars(query.options(raiseload("*"))).one_or_none()
