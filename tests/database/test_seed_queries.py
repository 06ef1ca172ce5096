"""The specification's sample queries run as written, but for names of package and agent."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session
from tests.factories.core import make_agent

from optiinfra.database.models import (
    Agent,
    AgentCapability,
    AgentConfig,
    AgentMetric,
    AgentState,
    AgentStatusDetail,
)


@pytest.fixture
def agent_id(session: Session) -> UUID:
    agent = make_agent(session, name="Cost Optimizer")
    session.add_all(
        [
            AgentConfig(agent_id=agent.id, config_key="k", config_value="v"),
            AgentState(agent_id=agent.id),
            AgentCapability(agent_id=agent.id, capability_name="on"),
            AgentCapability(agent_id=agent.id, capability_name="off", enabled=False),
            AgentMetric(agent_id=agent.id, metric_name="m", metric_value=1.5),
        ]
    )
    session.flush()
    session.expunge_all()
    return agent.id


def test_get_agent_with_all_state_data(
    session: Session, agent_id: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    del agent_id
    agent = session.query(Agent).filter_by(name="Cost Optimizer").first()
    assert agent is not None
    assert agent.state is not None
    print(f"Configs: {len(agent.configs)}")  # noqa: T201 - as the specification writes it
    print(f"State: {agent.state.current_status}")  # noqa: T201
    print(f"Capabilities: {len(agent.capability_details)}")  # noqa: T201
    print(f"Metrics: {len(agent.metrics)}")  # noqa: T201
    said = capsys.readouterr().out.split("\n")
    assert said[:4] == ["Configs: 1", "State: idle", "Capabilities: 2", "Metrics: 1"]


def test_query_active_capabilities(session: Session, agent_id: UUID) -> None:
    del agent_id
    active_caps = session.query(AgentCapability).filter_by(enabled=True).all()
    assert [capability.capability_name for capability in active_caps] == ["on"]


def test_get_recent_metrics(session: Session, agent_id: UUID) -> None:
    with warnings.catch_warnings():  # newer Pythons say that utcnow() will go
        warnings.simplefilter("ignore", DeprecationWarning)
        recent_metrics = (
            session.query(AgentMetric)
            .filter(AgentMetric.recorded_at >= datetime.utcnow() - timedelta(hours=24))  # noqa: DTZ003
            .all()
        )
    assert [metric.agent_id for metric in recent_metrics] == [agent_id]


def test_check_agent_state(session: Session, agent_id: UUID) -> None:
    state = session.query(AgentState).filter_by(agent_id=agent_id).first()
    assert state is not None
    assert state.current_status == AgentStatusDetail.IDLE
