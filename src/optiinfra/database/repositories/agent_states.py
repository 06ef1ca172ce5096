"""What agents are doing: changed by compare-and-set alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_utc
from optiinfra.database.models import AgentState, AgentStatusDetail
from optiinfra.domain.errors import ConflictError, NotFoundError


class AgentStates:
    """Every query on agent_states."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, agent_id: UUID) -> AgentState:
        """The state as it is stored now."""
        query = select(AgentState).where(AgentState.agent_id == agent_id).options(raiseload("*"))
        found = self._session.scalars(
            query, execution_options={"populate_existing": True}
        ).one_or_none()
        if found is None:
            raise NotFoundError(f"Agent {agent_id} has no state.", remedy="Register it first.")
        return found

    def set_status(
        self,
        agent_id: UUID,
        status: AgentStatusDetail,
        *,
        version: int,
        now: datetime,
        current_workflow_id: UUID | None = None,
        workflow_data: dict[str, Any] | None = None,
    ) -> int:
        """Change what was read as `version`; the new version.

        Raises ConflictError where somebody changed it since, and nothing is written then.
        """
        changed_at = require_utc(AgentState.last_activity, now)
        values = {
            "current_status": status,
            "current_workflow_id": current_workflow_id,
            "workflow_data": workflow_data or {},
        }
        check_values(AgentState, {**values, "version": version})
        swapped = self._session.scalar(
            update(AgentState)
            .where(AgentState.agent_id == agent_id, AgentState.version == version)
            .values(
                **values,
                last_activity=changed_at,
                updated_at=changed_at,
                version=version + 1,
            )
            .returning(AgentState.version)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            found = self.get(agent_id)
            raise ConflictError(
                f"The state of agent {agent_id} is version {found.version}"
                f" ({found.current_status.value}), not {version}.",
                remedy="Nothing was changed; read it again and decide anew.",
            )
        return swapped
