"""The agents' table."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import Agent, AgentType
from optiinfra.kit.time import require_utc

# The one agent of each type that comes with the product.
NAMES: Final = {
    AgentType.COST: "Cost Optimizer",
    AgentType.PERFORMANCE: "Performance Tuner",
    AgentType.RESOURCE: "Resource Allocator",
    AgentType.APPLICATION: "Application Monitor",
    AgentType.ORCHESTRATOR: "Orchestrator",
}


class Agents:
    """Every query on agents."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_or_create(
        self,
        *,
        type: AgentType,  # noqa: A002 - the column's name
        name: str,
        version: str,
        now: datetime,
    ) -> Agent:
        """The agent of that type and name, made where there is none; `version` is what runs now."""
        changed_at = require_utc(now)
        self._session.execute(
            insert(Agent)
            .values(
                type=type, name=name, version=version, created_at=changed_at, updated_at=changed_at
            )
            .on_conflict_do_nothing(constraint="uq_agent_type_name")
        )
        is_it = (Agent.type == type) & (Agent.name == name)
        self._session.execute(
            update(Agent)
            .where(is_it, Agent.version.is_distinct_from(version))
            .values(version=version, updated_at=changed_at)
            .execution_options(synchronize_session=False)
        )
        query = select(Agent).where(is_it).options(raiseload("*"))
        return self._session.scalars(query, execution_options={"populate_existing": True}).one()
