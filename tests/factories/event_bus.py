"""Rows of the event bus, and of what processes share beside it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session
from tests.factories.core import NOW, add

from optiinfra.database.models import (
    CacheEntry,
    Customer,
    EventClaim,
    EventGroup,
    LoggedEvent,
    OutboxEvent,
    RateBucket,
)


def make_outbox_event(session: Session, customer: Customer, **overrides: Any) -> OutboxEvent:
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "customer_id": customer.id,
        "event_type": "something_happened",
        "data": {},
        "occurred_at": NOW,
    }
    return add(session, OutboxEvent(**values | overrides))


def make_logged_event(session: Session, customer: Customer, **overrides: Any) -> LoggedEvent:
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "customer_id": customer.id,
        "event_type": "something_happened",
        "data": {},
        "occurred_at": NOW,
        "published_at": NOW,
    }
    return add(session, LoggedEvent(**values | overrides))


def make_claim(session: Session, **overrides: Any) -> EventClaim:
    group = add(session, EventGroup(name=f"group {uuid4().hex}", position=1))
    values: dict[str, Any] = {
        "group_id": group.id,
        "position": 1,
        "consumer": "c",
        "attempts": 1,
        "claimed_at": NOW,
    }
    return add(session, EventClaim(**values | overrides))


def make_forgettable(session: Session) -> None:
    """An entry of the cache, and a bucket."""
    add(session, CacheEntry(key=f"/{uuid4().hex}", value=b"v", expires_at=NOW))
    add(session, RateBucket(key=uuid4().hex, full_at_us=1))
