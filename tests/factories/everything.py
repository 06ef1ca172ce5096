"""A row in every table of nobody; test_tenants.fill makes one in every table of customers."""

from __future__ import annotations

from sqlalchemy.orm import Session
from tests.factories.core import add, make_agent
from tests.factories.event_bus import make_claim, make_forgettable

from optiinfra.database.models import Agent, AgentCapability, AgentConfig, AgentMetric, AgentState


def fill_agents(session: Session) -> Agent:
    """An agent with a setting, a state, a capability and a metric; a group with a claim."""
    make_claim(session)
    make_forgettable(session)
    agent = make_agent(session)
    add(session, AgentConfig(agent_id=agent.id, config_key="k", config_value="v"))
    add(session, AgentState(agent_id=agent.id))
    add(session, AgentCapability(agent_id=agent.id, capability_name="c"))
    add(session, AgentMetric(agent_id=agent.id, metric_name="m", metric_value=1.0))
    return agent
