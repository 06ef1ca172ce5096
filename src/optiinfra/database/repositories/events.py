"""The events' table: appended to, never changed; what is recorded is published with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, require_utc
from optiinfra.database.models import Event, EventSeverity
from optiinfra.database.repositories.event_outbox import EventOutbox
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.bus_events import UnknownEvent
from optiinfra.domain.errors import InputError
from optiinfra.ports.event_bus import Envelope, decode


class Events:
    """Every query on events."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(
        self,
        event_type: str,
        *,
        customer_id: UUID,
        agent_id: UUID | None,
        data: dict[str, Any],
        now: datetime,
        severity: EventSeverity = EventSeverity.INFO,
    ) -> Event:
        """Append one event, and publish it on the event bus under the same id."""
        row = add_row(
            self._session,
            Event,
            event_type=event_type,
            customer_id=customer_id,
            agent_id=agent_id,
            data=data,
            severity=severity,
            created_at=require_utc(Event.created_at, now),
        )
        EventOutbox(self._session).append([_make_envelope(row)])
        return row

    def list_page(
        self,
        *,
        customer_id: UUID,
        event_type: str | None = None,
        severity: EventSeverity | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[Event]:
        """A customer's events, latest first."""
        query = select(Event).where(Event.customer_id == customer_id).options(raiseload("*"))
        if event_type is not None:
            query = query.where(Event.event_type == event_type)
        if severity is not None:
            query = query.where(Event.severity == severity)
        return fetch_page(
            self._session, query, at=Event.created_at, id=Event.id, after=after, limit=limit
        )


def _make_envelope(row: Event) -> Envelope:
    """The event as it goes over the bus; one that is too large for it goes by its id."""
    envelope = decode(
        event_id=row.id,
        customer_id=row.customer_id,
        occurred_at=row.created_at,
        name=row.event_type,
        data=row.data,
    )
    try:
        envelope.encode()
    except InputError:
        reference = UnknownEvent(row.event_type, {"event_id": str(row.id)})
        return replace(envelope, event=reference)
    return envelope
