"""The agents' table: who is registered, and who is heard of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Uuid, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_text, require_utc
from optiinfra.database.models import Agent, AgentStatus, AgentType
from optiinfra.database.repositories.arrays import unnest
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError
from optiinfra.domain.lifecycles import AGENT

MAX_HEARTBEATS: Final = 10_000  # in one statement
# The one agent of each type that comes with the product.
NAMES: Final = {
    AgentType.COST: "Cost Optimizer",
    AgentType.PERFORMANCE: "Performance Tuner",
    AgentType.RESOURCE: "Resource Allocator",
    AgentType.APPLICATION: "Application Monitor",
    AgentType.ORCHESTRATOR: "Orchestrator",
}


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """An agent that was heard of, and how it said it was: healthy or degraded."""

    agent_id: UUID
    at: datetime
    status: AgentStatus = AgentStatus.HEALTHY

    def __post_init__(self) -> None:
        require_utc(Agent.last_heartbeat, self.at)
        check_values(Agent, {"id": self.agent_id, "status": self.status})


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
        changed_at = require_utc(Agent.updated_at, now)
        values = {"type": type, "name": name, "version": version}
        check_values(Agent, values)
        self._session.execute(
            insert(Agent)
            .values(**values, created_at=changed_at, updated_at=changed_at)
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

    def register(
        self,
        *,
        type: AgentType,  # noqa: A002
        name: str,
        version: str,
        endpoint: str | None,
        capabilities: Sequence[str],
        now: datetime,
    ) -> Agent:
        """An agent that starts, known before by type and name or new; it says what it can do."""
        changed_at = require_utc(Agent.updated_at, now)
        told: dict[str, Any] = {
            "version": version,
            "endpoint": endpoint,
            "capabilities": list(capabilities),
            "status": AGENT.initial,
        }
        check_values(Agent, {"type": type, "name": name, **told})
        require_text(Agent.name, name)
        statement = insert(Agent).values(
            type=type, name=name, created_at=changed_at, updated_at=changed_at, **told
        )
        agent_id = self._session.scalars(
            statement.on_conflict_do_update(
                constraint="uq_agent_type_name", set_=told | {"updated_at": changed_at}
            ).returning(Agent.id)
        ).one()
        return self.get(agent_id)

    def record_heartbeats(self, heartbeats: Sequence[Heartbeat]) -> frozenset[UUID]:
        """Write who was heard of, all in one statement; the ids that are nobody's.

        Of several of one agent the latest counts, and one that is older than what is stored changes
        nothing. A stopped agent stays stopped. At most 10,000.
        """
        if len(heartbeats) > MAX_HEARTBEATS:
            raise InputError(
                f"{len(heartbeats)} heartbeats are too many for one statement.",
                remedy=f"Write at most {MAX_HEARTBEATS}.",
                field="heartbeats",
            )
        latest: dict[UUID, Heartbeat] = {}
        for beat in sorted(heartbeats, key=lambda beat: beat.at):
            latest[beat.agent_id] = beat
        beats = list(latest.values())
        heard = select(
            unnest([beat.agent_id for beat in beats], Uuid).label("id"),
            unnest([beat.at for beat in beats], DateTime(timezone=True)).label("at"),
            unnest([beat.status for beat in beats], Agent.status.type).label("status"),
        ).subquery()
        # Locked in one order, so that two writers of the same agents do not wait for each other.
        known = (
            select(Agent.id)
            .where(Agent.id.in_(select(heard.c.id)))
            .order_by(Agent.id)
            .with_for_update(key_share=True)
            .cte("known")
        )
        is_new = func.coalesce(Agent.last_heartbeat < heard.c.at, True)
        stays = (Agent.status == AgentStatus.STOPPED) | ~is_new
        found = self._session.scalars(
            update(Agent)
            .where(Agent.id == known.c.id, Agent.id == heard.c.id)
            .values(
                last_heartbeat=func.greatest(Agent.last_heartbeat, heard.c.at),
                status=case((stays, Agent.status), else_=heard.c.status),
                updated_at=func.greatest(Agent.updated_at, heard.c.at),
            )
            .returning(Agent.id)
            .execution_options(synchronize_session=False)
        )
        return frozenset(latest) - frozenset(found)

    def set_status(
        self, agent_id: UUID, status: AgentStatus, *, seen: AgentStatus, now: datetime
    ) -> None:
        """Change the status that was seen; ConflictError where it is another by now."""
        check_values(Agent, {"status": status})
        changed_at = require_utc(Agent.updated_at, now)
        swapped = None
        if AGENT.allows(source=seen, target=status):
            swapped = self._session.scalar(
                update(Agent)
                .where(Agent.id == agent_id, Agent.status == seen)
                .values(status=status, updated_at=changed_at)
                .returning(Agent.id)
                .execution_options(synchronize_session=False)
            )
        if swapped is None:
            present = self.get(agent_id).status
            raise ConflictError(
                f"Agent {agent_id} is {present.value}; from {seen.value} it does not become"
                f" {status.value}.",
                remedy="Nothing was changed; read it again and decide anew.",
            )

    def get(self, agent_id: UUID) -> Agent:
        """One agent as it is stored now."""
        query = select(Agent).where(Agent.id == agent_id).options(raiseload("*"))
        found = self._session.scalars(
            query, execution_options={"populate_existing": True}
        ).one_or_none()
        if found is None:
            raise NotFoundError(f"There is no agent {agent_id}.", remedy="Check its id.")
        return found

    def find(self, *, type: AgentType, name: str) -> Agent | None:  # noqa: A002
        """The agent of that type and name, or None."""
        query = select(Agent).where(Agent.type == type, Agent.name == name)
        return self._session.scalars(query.options(raiseload("*"))).one_or_none()

    def list_page(
        self,
        *,
        type: AgentType | None = None,  # noqa: A002
        status: AgentStatus | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[Agent]:
        """Agents, latest first."""
        query = select(Agent).options(raiseload("*"))
        if type is not None:
            query = query.where(Agent.type == type)
        if status is not None:
            query = query.where(Agent.status == status)
        return fetch_page(
            self._session, query, at=Agent.created_at, id=Agent.id, after=after, limit=limit
        )
