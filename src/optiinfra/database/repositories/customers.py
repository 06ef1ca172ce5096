"""The customers' table."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import Customer
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
        one, and the key is thrown away. A key to use is issued later.
        """
        made_at = require_utc(now)
        address = parse_email(email, field="email")
        unseen_key = secrets.token_bytes(KEY_BYTES)
        self._session.execute(
            insert(Customer)
            .values(
                name=name,
                email=address,
                api_key=hashlib.sha256(unseen_key).hexdigest(),
                created_at=made_at,
                updated_at=made_at,
            )
            .on_conflict_do_nothing(index_elements=[Customer.email])
        )
        query = select(Customer).where(Customer.email == address).options(raiseload("*"))
        return self._session.scalars(query).one()
