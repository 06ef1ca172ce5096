"""The scaling events' table: what was changed in size, why, and whether it worked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, check_values, require_text, require_utc
from optiinfra.database.models import ScalingEvent, ScalingEventType
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True)
class NewScaling:
    """A change of size that begins; the states are plain JSON, such as {"num_replicas": 3}."""

    type: ScalingEventType
    reason: str
    before: dict[str, Any]
    after: dict[str, Any]

    def __post_init__(self) -> None:
        check_values(
            ScalingEvent,
            {
                "event_type": self.type,
                "trigger_reason": self.reason,
                "before_state": self.before,
                "after_state": self.after,
            },
        )
        require_text(ScalingEvent.trigger_reason, self.reason)


class ScalingEvents:
    """Every query on scaling_events."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(
        self,
        new: NewScaling,
        *,
        customer_id: UUID,
        agent_id: UUID,
        now: datetime,
        workflow_execution_id: UUID | None = None,
    ) -> ScalingEvent:
        """A change of size that has begun and is not known to have worked."""
        begun_at = require_utc(ScalingEvent.executed_at, now)
        return add_row(
            self._session,
            ScalingEvent,
            customer_id=customer_id,
            agent_id=agent_id,
            workflow_execution_id=workflow_execution_id,
            event_type=new.type,
            trigger_reason=new.reason,
            before_state=new.before,
            after_state=new.after,
            success=False,
            executed_at=begun_at,
            created_at=begun_at,
            updated_at=begun_at,
        )

    def complete(
        self, scaling_event_id: UUID, *, now: datetime, error_details: dict[str, Any] | None = None
    ) -> None:
        """The change ended, once: it worked, or went wrong as `error_details` say.

        Raises ConflictError where it had ended before.
        """
        ended_at = require_utc(ScalingEvent.completed_at, now)
        check_values(ScalingEvent, {"error_details": error_details})
        swapped = self._session.scalar(
            update(ScalingEvent)
            .where(ScalingEvent.id == scaling_event_id, ScalingEvent.completed_at.is_(None))
            .values(
                success=error_details is None,
                error_details=error_details,
                completed_at=ended_at,
                updated_at=ended_at,
            )
            .returning(ScalingEvent.id)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            seen = self.get(scaling_event_id)
            outcome = "well" if seen.success else "with an error"
            raise ConflictError(
                f"Scaling event {scaling_event_id} ended {outcome} at {seen.completed_at}.",
                remedy="Nothing was changed.",
            )

    def get(self, scaling_event_id: UUID) -> ScalingEvent:
        """One scaling event as it is stored now."""
        query = select(ScalingEvent).where(ScalingEvent.id == scaling_event_id)
        found = self._session.scalars(
            query.options(raiseload("*")), execution_options={"populate_existing": True}
        ).one_or_none()
        if found is None:
            raise NotFoundError(
                f"There is no scaling event {scaling_event_id}.", remedy="Check its id."
            )
        return found

    def list_page(
        self,
        *,
        customer_id: UUID,
        workflow_execution_id: UUID | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[ScalingEvent]:
        """A customer's scaling events, latest first."""
        query = select(ScalingEvent).where(ScalingEvent.customer_id == customer_id)
        if workflow_execution_id is not None:
            query = query.where(ScalingEvent.workflow_execution_id == workflow_execution_id)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=ScalingEvent.executed_at,
            id=ScalingEvent.id,
            after=after,
            limit=limit,
        )
