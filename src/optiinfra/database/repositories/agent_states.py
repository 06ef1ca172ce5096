"""What agents are doing: changed by compare-and-set alone."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_utc
from optiinfra.database.models import AgentState, AgentStatusDetail
from optiinfra.domain.errors import ConflictError, NotFoundError


class Kept(Enum):
    """Not given: the column stays as it is."""

    KEPT = "kept"


KEPT: Final = Kept.KEPT


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
        current_workflow_id: UUID | Kept | None = KEPT,
        workflow_data: dict[str, Any] | Kept = KEPT,
    ) -> int:
        """Change what was read as `version`; the new version. What is not given stays as it is.

        Raises ConflictError where somebody changed it since, and nothing is written then.
        """
        values: dict[str, Any] = {"current_status": status}
        if current_workflow_id is not KEPT:
            values["current_workflow_id"] = current_workflow_id
        if workflow_data is not KEPT:
            values["workflow_data"] = workflow_data
        return self._swap(agent_id, values, version=version, now=now)

    def record_error(
        self, agent_id: UUID, error: dict[str, Any], *, version: int, now: datetime
    ) -> int:
        """Its state is `error`, one more is counted and the last one kept; the new version."""
        check_values(AgentState, {"last_error": error})
        values = {
            "current_status": AgentStatusDetail.ERROR,
            "error_count": AgentState.error_count + 1,
            "last_error": error,
        }
        return self._swap(agent_id, values, version=version, now=now)

    def clear_errors(self, agent_id: UUID, *, version: int, now: datetime) -> int:
        """Idle again, and nothing counted; the last error stays to be read. The new version."""
        values = {"current_status": AgentStatusDetail.IDLE, "error_count": 0}
        return self._swap(agent_id, values, version=version, now=now)

    def _swap(self, agent_id: UUID, values: dict[str, Any], *, version: int, now: datetime) -> int:
        changed_at = require_utc(AgentState.last_activity, now)
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
