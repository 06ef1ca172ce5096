"""The events' table: appended to, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import Event, EventSeverity
from optiinfra.kit.time import require_utc

MAX_EVENTS = 1000


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
        event = Event(
            event_type=event_type,
            customer_id=customer_id,
            agent_id=agent_id,
            data=data,
            severity=severity,
            created_at=require_utc(now),
        )
        self._session.add(event)
        self._session.flush()
        return event

    def list_latest(self, *, customer_id: UUID, limit: int = 50) -> list[Event]:
        """A customer's latest events, latest first."""
        query = (
            select(Event)
            .where(Event.customer_id == customer_id)
            .order_by(Event.created_at.desc(), Event.id.desc())
            .limit(min(limit, MAX_EVENTS))
            .options(raiseload("*"))
        )
        return list(self._session.scalars(query))
