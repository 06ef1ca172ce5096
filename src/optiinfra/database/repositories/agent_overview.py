"""An agent with all that is kept of it, in three queries however much that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session, aliased, raiseload

from optiinfra.database.models import Agent, AgentCapability, AgentMetric, AgentState
from optiinfra.database.repositories.config_values import ConfigValue
from optiinfra.database.repositories.configs import Configs
from optiinfra.domain.errors import NotFoundError

MAX_CAPABILITIES: Final = 1000
MAX_METRICS: Final = 1000  # names


@dataclass(frozen=True, slots=True)
class AgentOverview:
    """What an agent is, does and can do. Sensitive settings are not shown.

    At most 1,000 settings, 1,000 capabilities and 1,000 metrics, in order of their names.
    """

    agent: Agent
    state: AgentState | None
    configs: Mapping[str, ConfigValue]
    capabilities: tuple[AgentCapability, ...]
    latest_metrics: Mapping[str, AgentMetric]


def get_with_state(session: Session, agent_id: UUID) -> AgentOverview:
    """The agent as it is stored now: its state, settings, capabilities, latest metrics."""
    query = (
        select(Agent, AgentState, AgentCapability)
        .outerjoin(AgentState, AgentState.agent_id == Agent.id)
        .outerjoin(AgentCapability, AgentCapability.agent_id == Agent.id)
        .where(Agent.id == agent_id)
        .order_by(AgentCapability.capability_name, AgentCapability.capability_version)
        .limit(MAX_CAPABILITIES)
        .options(raiseload("*"))
        .execution_options(populate_existing=True)
    )
    rows = session.execute(query).all()
    if not rows:
        raise NotFoundError(f"There is no agent {agent_id}.", remedy="Check its id.")
    agent, state, _ = rows[0]
    return AgentOverview(
        agent=agent,
        state=state,
        configs=Configs(session).list_shown(agent_id),
        capabilities=tuple(row[2] for row in rows if row[2] is not None),
        latest_metrics=_list_latest(session, agent_id),
    )


def _list_latest(session: Session, agent_id: UUID) -> dict[str, AgentMetric]:
    """The latest sample of each metric, found by going from name to name along the index.

    Reading all samples and keeping one of each name would take longer with every sample.
    """
    first = select(func.min(AgentMetric.metric_name).label("name")).where(
        AgentMetric.agent_id == agent_id
    )
    names = first.cte("names", recursive=True)
    following = (
        select(func.min(AgentMetric.metric_name))
        .where(AgentMetric.agent_id == agent_id, AgentMetric.metric_name > names.c.name)
        .scalar_subquery()
    )
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    sample = (
        select(AgentMetric)
        .where(AgentMetric.agent_id == agent_id, AgentMetric.metric_name == names.c.name)
        .order_by(AgentMetric.recorded_at.desc())
        .limit(1)
        .lateral("latest")
    )
    latest = aliased(AgentMetric, sample)
    query = (
        select(latest)
        .select_from(names)
        .join(latest, literal(True))
        .limit(MAX_METRICS)
        .options(raiseload("*"))
        .execution_options(populate_existing=True)
    )
    return {row.metric_name: row for row in session.scalars(query)}
