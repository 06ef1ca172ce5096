"""The customers' table."""

from __future__ import annotations

import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, defer, raiseload

from optiinfra.database.checked_rows import check_values, require_text, require_utc
from optiinfra.database.models import Customer, CustomerStatus
from optiinfra.database.models.keys import compute_key_digest
from optiinfra.database.repositories.email_address import parse_email
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.database.repositories.turns import take_turn
from optiinfra.domain.errors import ConflictError, NotFoundError
from optiinfra.domain.lifecycles import CUSTOMER

KEY_BYTES = 32
MAX_OF_ADDRESS = 10


class Customers:
    """Every query on customers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_by_email(self, email: str) -> Customer | None:
        """The customer of that address in any case, or None.

        Of several, which a database made elsewhere may hold, the one that is written like this;
        ConflictError where none of them is.
        """
        address = parse_email(email, field="email")
        query = select(Customer).where(func.lower(Customer.email) == address)
        found = self._session.scalars(query.limit(MAX_OF_ADDRESS).options(raiseload("*"))).all()
        if len(found) <= 1:
            return found[0] if found else None
        exact = [row for row in found if row.email in {email.strip(), address}]
        if len(exact) != 1:
            raise ConflictError(
                f"Several customers have the address {address}, written in different ways.",
                remedy="Name the customer by id.",
            )
        return exact[0]

    def find_id_by_key(self, key: str) -> UUID | None:
        """The active customer whose key this is, or None; before anybody knows the tenant.

        By way of a function that Role.APP may call although it reads no digest.
        """
        digest = compute_key_digest(key)
        return self._session.scalar(select(func.find_customer_by_key(digest, type_=Uuid)))

    def get_or_create(self, *, name: str, email: str, now: datetime) -> Customer:
        """The customer of that address, made where there is none; an existing name stays.

        A new one gets a key that nobody has seen: its digest is stored because the column asks for
        one, and the key is thrown away. `issue_key` makes one to use.
        """
        made_at = require_utc(Customer.created_at, now)
        check_values(Customer, {"name": name})
        require_text(Customer.name, name)
        address = parse_email(email, field="email")
        take_turn(self._session, "customer", address)
        found = self.find_by_email(email)
        if found is not None:
            return found
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
        changed_at = require_utc(Customer.updated_at, now)
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

    def suspend(self, customer_id: UUID, *, by: str, now: datetime) -> None:
        """Active to suspended: kept, but nothing is done for it, and its key opens nothing."""
        self._change(customer_id, CustomerStatus.SUSPENDED, by=by, now=now)

    def reactivate(self, customer_id: UUID, *, by: str, now: datetime) -> None:
        """Suspended to active."""
        self._change(customer_id, CustomerStatus.ACTIVE, by=by, now=now)

    def churn(self, customer_id: UUID, *, by: str, now: datetime) -> None:
        """Active or suspended to churned: it has left, for good."""
        self._change(customer_id, CustomerStatus.CHURNED, by=by, now=now)

    def list_page(
        self, *, status: CustomerStatus | None = None, after: Cursor | None = None, limit: int = 50
    ) -> Page[Customer]:
        """Customers, latest first, with the beginning of their keys; the digests are not read."""
        query = select(Customer).options(
            defer(Customer.api_key_digest, raiseload=True), raiseload("*")
        )
        if status is not None:
            query = query.where(Customer.status == status)
        return fetch_page(
            self._session, query, at=Customer.created_at, id=Customer.id, after=after, limit=limit
        )

    def _change(self, customer_id: UUID, target: CustomerStatus, *, by: str, now: datetime) -> None:
        """By compare-and-set; `by` is the email address of who decided it."""
        person, changed_at = parse_email(by, field="by"), require_utc(Customer.updated_at, now)
        query = select(Customer.status).where(Customer.id == customer_id)
        source = self._session.scalar(query)
        if source is None:
            raise NotFoundError(f"There is no customer {customer_id}.", remedy="Check its id.")
        swapped = None
        if CUSTOMER.allows(source=source, target=target):
            swapped = self._session.scalar(
                update(Customer)
                .where(Customer.id == customer_id, Customer.status == source)
                .values(status=target, updated_at=changed_at)
                .returning(Customer.id)
                .execution_options(synchronize_session=False)
            )
        if swapped is None:
            present = self._session.scalars(query).one()
            raise ConflictError(
                f"Customer {customer_id} is {present.value} and does not become {target.value}.",
                remedy="Nothing was changed.",
            )
        Events(self._session).record(
            f"customer_{target.value}",
            customer_id=customer_id,
            agent_id=None,
            data={"from": source.value, "to": target.value, "by": person},
            now=changed_at,
        )
