"""The events' table: appended to, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, require_utc
from optiinfra.database.models import Event, EventSeverity
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page


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
        """Append one event."""
        return add_row(
            self._session,
            Event,
            event_type=event_type,
            customer_id=customer_id,
            agent_id=agent_id,
            data=data,
            severity=severity,
            created_at=require_utc(Event.created_at, now),
        )

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
