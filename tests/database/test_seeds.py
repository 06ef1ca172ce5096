"""The seeds are the specification's, every time the same, and keep to themselves."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from tests.factories.core import make_customer

from optiinfra.database import models
from optiinfra.database.models import (
    Agent,
    AgentCapability,
    AgentConfig,
    AgentType,
    Approval,
    ApprovalStatus,
    Base,
    ConfigType,
    Customer,
    Optimization,
    OptimizationStatus,
    QualityMetric,
    Recommendation,
    RecommendationStatus,
    WorkflowExecution,
)
from optiinfra.database.repositories import Agents
from optiinfra.database.seeds import seed
from optiinfra.database.seeds.marks import CUSTOMER_ID, NOW
from optiinfra.domain.errors import ConflictError


def read_all(session: Session) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    return {
        table: sorted(session.scalars(text(f"SELECT t::text FROM {table} t")))  # noqa: S608
        for table in Base.metadata.tables
    }


def test_there_is_as_much_as_the_specification_says(session: Session) -> None:
    written = seed(session)
    assert written == {
        "customers": 3, "agents": 5, "events": 3, "recommendations": 8, "approvals": 7,
        "optimizations": 5, "workflow_executions": 5, "workflow_steps": 15,
        "workflow_artifacts": 5, "agent_configs": 12, "agent_states": 4, "agent_capabilities": 11,
        "agent_metrics": 12, "resource_metrics": 120, "scaling_events": 3, "quality_metrics": 20,
        "quality_baselines": 1, "quality_regressions": 1,
    }  # fmt: skip
    assert len(written) == 18
    assert set(session.scalars(select(Recommendation.status))) == set(RecommendationStatus)
    assert set(session.scalars(select(Approval.status))) == set(ApprovalStatus)
    assert set(session.scalars(select(Optimization.status))) == set(OptimizationStatus)
    assert session.get_one(Customer, CUSTOMER_ID).name == "Acme AI"


def test_running_it_twice_changes_nothing(session: Session) -> None:
    seed(session)
    before = read_all(session)
    assert set(seed(session).values()) == {0}
    assert read_all(session) == before


def test_what_somebody_changed_stays_changed(session: Session) -> None:
    seed(session)
    session.get_one(Customer, CUSTOMER_ID).name = "Renamed"
    session.flush()
    seed(session)
    session.expire_all()
    assert session.get_one(Customer, CUSTOMER_ID).name == "Renamed"


def test_it_is_not_written_beside_customers_unless_asked(session: Session) -> None:
    make_customer(session)
    with pytest.raises(ConflictError, match="1 customers that are not examples"):
        seed(session)
    assert session.scalar(select(func.count()).select_from(Agent)) == 0
    assert seed(session, is_beside_others=True)["customers"] == 3


def test_agents_that_were_registered_before_are_used(session: Session) -> None:
    agents = Agents(session)
    mine = agents.get_or_create(type=AgentType.COST, name="Cost Optimizer", version="9", now=NOW)
    written = seed(session)
    assert (written["agents"], written["agent_configs"]) == (4, 12)
    number = select(func.count()).where(AgentConfig.agent_id == mine.id)
    assert session.scalar(number) == 3


def test_what_the_agents_read_is_the_specifications(session: Session) -> None:
    seed(session)
    configs = {c.config_key: c for c in session.scalars(select(AgentConfig))}
    threshold = configs["scale_up_threshold"]
    assert (threshold.config_value, threshold.config_type) == ("85", ConfigType.INTEGER)
    assert configs["quality_score_threshold"].config_type is ConfigType.FLOAT
    query = select(AgentCapability.capability_name).where(~AgentCapability.enabled)
    disabled = {"spot_instance_recommendation", "hallucination_detection"}
    assert set(session.scalars(query)) == disabled


def test_baseline_and_regression_are_what_the_answers_say(session: Session) -> None:
    seed(session)
    query = select(QualityMetric.overall_quality_score).order_by(QualityMetric.timestamp)
    scores = session.scalars(query).all()
    regression = session.scalars(select(models.QualityRegression)).one()
    assert sum(scores[:10]) / 10 == pytest.approx(regression.baseline.avg_overall_score)
    assert sum(scores[10:]) / 10 == pytest.approx(regression.current_value)
    delta = (regression.current_value / regression.baseline_value - 1) * 100
    assert regression.delta_percent == pytest.approx(delta, abs=0.005)


def test_the_times_of_seeds_do_not_contradict_each_other(session: Session) -> None:
    seed(session)
    for execution in session.scalars(select(WorkflowExecution)):
        end = execution.completed_at or NOW
        assert execution.started_at is not None
        before = execution.started_at
        for step in execution.steps:
            begin = step.started_at or before
            assert before <= begin <= (step.completed_at or NOW) <= end
            before = step.completed_at or begin
        for artifact in execution.artifacts:
            assert execution.started_at <= artifact.created_at <= end
        for scaling in execution.scaling_events:
            assert execution.started_at <= scaling.executed_at <= end
    regression = session.scalars(select(models.QualityRegression)).one()
    assert regression.workflow is not None
    assert regression.workflow.started_at is not None
    assert regression.workflow.completed_at is not None
    assert regression.workflow.started_at < regression.detected_at
    assert regression.detected_at < regression.workflow.completed_at
    assert regression.baseline.established_at < regression.detected_at


def test_scalings_are_what_the_settings_bring_about(session: Session) -> None:
    seed(session)
    limits = {c.config_key: float(c.config_value) for c in session.scalars(select(AgentConfig))}
    values = session.scalars(
        select(models.ResourceMetric)
        .where(models.ResourceMetric.resource_type == "gpu")
        .where(models.ResourceMetric.metric_name == "utilization")
        .order_by(models.ResourceMetric.timestamp)
    ).all()
    scalings = {s.event_type.value: s for s in session.scalars(select(models.ScalingEvent))}
    for kind, scaling in scalings.items():
        last = [v for v in values if v.timestamp <= scaling.executed_at][-1].metric_value
        if kind == "scale_down":
            assert last < limits["scale_down_threshold"]
        else:
            assert last > limits["scale_up_threshold"]
        assert f"{last:.1f} percent" in scaling.trigger_reason
    assert (scalings["scale_down"].success, scalings["scale_up"].success) == (True, False)
    state = session.scalars(
        select(models.AgentState)
        .where(models.AgentState.current_workflow_id.is_not(None))
        .join(Agent)
        .where(Agent.type == AgentType.RESOURCE)
    ).one()
    sizes = (state.workflow_data["current_gpus"], state.workflow_data["target_gpus"])
    scaling = scalings["scale_up"]
    assert sizes == (scaling.before_state["num_gpus"], scaling.after_state["num_gpus"])


def test_relations_can_be_walked(session: Session) -> None:
    seed(session)
    session.expire_all()
    execution = session.scalars(
        select(WorkflowExecution).where(WorkflowExecution.workflow_type == "scaling_decision")
    ).one()
    assert [step.step_name for step in execution.steps] == ["observe", "plan", "report"]
    assert len(execution.scaling_events) == 3
    assert len(execution.customer.resource_metrics) == 120
