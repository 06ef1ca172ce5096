"""Models: defaults on both sides, delete rules, relationships, checks; the same on both drivers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from tests.factories.application_schema import (
    make_baseline,
    make_quality_metric,
    make_regression,
)
from tests.factories.core import (
    NOW,
    add,
    make_agent,
    make_approval,
    make_customer,
    make_event,
    make_optimization,
    make_recommendation,
)
from tests.factories.resource_schema import make_resource_metric, make_scaling_event
from tests.factories.workflow_history import make_artifact, make_execution, make_step

from optiinfra.database import models
from optiinfra.database.engine import Database
from optiinfra.database.models import (
    Agent,
    AgentCapability,
    AgentConfig,
    AgentMetric,
    AgentState,
    AgentType,
    Approval,
    Customer,
    CustomerPlan,
    Event,
    Optimization,
    QualityBaseline,
    QualityMetric,
    QualityRegression,
    Recommendation,
    RecommendationStatus,
    ResourceMetric,
    ScalingEvent,
    WorkflowArtifact,
    WorkflowExecution,
    WorkflowStatus,
    WorkflowStep,
)

# A row of every table but those whose columns have no defaults at all, by SQL alone.
BARE_ROWS = """
    INSERT INTO customers (name, email, api_key, api_key_prefix) VALUES ('n', 'e', 'k', 'k');
    INSERT INTO agents (type, name) VALUES ('cost', 'a');
    INSERT INTO events (customer_id, event_type) SELECT id, 't' FROM customers;
    INSERT INTO recommendations (customer_id, agent_id, type, title)
        SELECT c.id, a.id, 't', 't' FROM customers c, agents a;
    INSERT INTO approvals (recommendation_id, approved_by) SELECT id, 'b' FROM recommendations;
    INSERT INTO optimizations (recommendation_id, customer_id, agent_id)
        SELECT id, customer_id, agent_id FROM recommendations;
    INSERT INTO agent_configs (agent_id, config_key, config_value) SELECT id, 'k', 'v' FROM agents;
    INSERT INTO agent_states (agent_id) SELECT id FROM agents;
    INSERT INTO agent_capabilities (agent_id, capability_name) SELECT id, 'c' FROM agents;
    INSERT INTO agent_metrics (agent_id, metric_name, metric_value) SELECT id, 'm', 1 FROM agents;
    INSERT INTO workflow_executions (agent_id, customer_id, workflow_type, status)
        SELECT a.id, c.id, 'cost_analysis', 'pending' FROM customers c, agents a;
    INSERT INTO workflow_steps (workflow_execution_id, step_name, step_order, status)
        SELECT id, 's', 1, 'pending' FROM workflow_executions;
    INSERT INTO workflow_artifacts
        (workflow_execution_id, artifact_type, artifact_name, artifact_path)
        SELECT id, 'report', 'n', 'p' FROM workflow_executions;
    INSERT INTO resource_metrics (agent_id, customer_id, instance_id, resource_type, metric_name,
        metric_value, unit, timestamp)
        SELECT a.id, c.id, 'i', 'gpu', 'm', 1, 'percent', now() FROM customers c, agents a;
    INSERT INTO scaling_events (agent_id, customer_id, event_type, trigger_reason, before_state,
        after_state, executed_at)
        SELECT a.id, c.id, 'scale_up', 'r', '{}', '{}', now() FROM customers c, agents a;
    INSERT INTO quality_metrics (agent_id, customer_id, request_id, model_name, model_version,
        overall_quality_score, timestamp)
        SELECT a.id, c.id, 'r', 'm', '1', 1, now() FROM customers c, agents a;
    INSERT INTO quality_baselines (agent_id, customer_id, model_name, model_version, baseline_type,
        sample_size, avg_overall_score, established_at)
        SELECT a.id, c.id, 'm', '1', 'initial', 1, 1, now() FROM customers c, agents a;
    INSERT INTO quality_regressions (agent_id, customer_id, baseline_id, regression_type, severity,
        detected_at, metric_name, baseline_value, current_value, delta_percent, sample_size,
        action_taken)
        SELECT agent_id, customer_id, id, 'quality_drop', 'low', now(), 'm', 1, 1, 0, 1,
            'alert_only' FROM quality_baselines"""
TABLES = (
    Customer, Agent, Event, Recommendation, Approval, Optimization, AgentConfig, AgentState,
    AgentCapability, AgentMetric, WorkflowExecution, WorkflowStep, WorkflowArtifact,
    ResourceMetric, ScalingEvent, QualityMetric, QualityBaseline, QualityRegression,
)  # fmt: skip
SHARED_SIDE = {
    "events", "recommendations", "optimizations", "workflow_executions", "resource_metrics",
    "scaling_events", "quality_metrics", "quality_baselines", "quality_regressions",
}  # fmt: skip
RELATIONSHIPS = {
    Customer: SHARED_SIDE,
    Agent: SHARED_SIDE | {"configs", "state", "capability_details", "metrics"},
    Recommendation: {"customer", "agent", "approvals", "optimizations"},
    WorkflowExecution: {"agent", "customer", "steps", "artifacts", "scaling_events"},
    WorkflowStep: {"execution", "artifacts"},
    QualityBaseline: {"agent", "customer", "regressions"},
    QualityRegression: {"agent", "customer", "baseline", "workflow"},
    ScalingEvent: {"agent", "customer", "workflow"},
}
METADATA = {
    Customer: "customer_metadata",
    Agent: "agent_metadata",
    AgentState: "state_metadata",
    WorkflowExecution: "workflow_metadata",
    WorkflowStep: "step_metadata",
    WorkflowArtifact: "artifact_metadata",
    ResourceMetric: "resource_metadata",
    ScalingEvent: "scaling_metadata",
    QualityMetric: "quality_metadata",
    QualityBaseline: "baseline_metadata",
    QualityRegression: "regression_metadata",
}


def test_the_names_of_the_specification_are_exported() -> None:
    assert {model.__name__ for model in TABLES} < set(models.__all__)
    enums = {name for name in models.__all__ if issubclass(getattr(models, name), StrEnum)}
    assert len(TABLES) == 18
    assert len(enums) == 22
    assert {"CustomerPlan", "MetricType", "ArtifactType", "RegressionAction"} < enums


@pytest.mark.parametrize("model", RELATIONSHIPS, ids=lambda model: model.__name__)
def test_relationships_are_those_of_the_contract(model: type[models.Base]) -> None:
    assert set(inspect(model).relationships.keys()) == RELATIONSHIPS[model]


@pytest.mark.parametrize("model", METADATA, ids=lambda model: model.__name__)
def test_the_column_metadata_has_an_attribute_of_its_own(model: type[models.Base]) -> None:
    assert inspect(model).attrs[METADATA[model]].columns[0].name == "metadata"


def test_a_bare_row_and_a_model_without_arguments_get_the_same(session: Session) -> None:
    for statement in BARE_ROWS.split(";"):
        session.execute(text(statement))
    bare: dict[type[models.Base], models.Base] = {
        model: session.scalars(select(model)).one() for model in TABLES
    }
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    execution = make_execution(session, customer, agent, status=WorkflowStatus.PENDING)
    rows = [
        customer,
        agent,
        recommendation,
        execution,
        make_event(session, customer),
        make_approval(session, recommendation),
        make_optimization(session, recommendation),
        make_step(session, execution),
        make_artifact(session, execution),
        add(session, AgentConfig(agent_id=agent.id, config_key="k", config_value="v")),
        add(session, AgentState(agent_id=agent.id)),
        add(session, AgentCapability(agent_id=agent.id, capability_name="c")),
        add(session, AgentMetric(agent_id=agent.id, metric_name="m", metric_value=1)),
        make_resource_metric(session, customer, agent),
        make_scaling_event(session, customer, agent),
        make_quality_metric(session, customer, agent),
        baseline := make_baseline(session, customer, agent),
        make_regression(session, baseline),
    ]
    session.expire_all()
    for row in rows:
        for column in inspect(type(row)).column_attrs:
            value, twin = getattr(row, column.key), getattr(bare[type(row)], column.key)
            default = column.columns[0].server_default
            if default is not None and not isinstance(value, datetime | UUID):
                assert value == twin, f"{row} {column.key}"
            assert type(value) is type(twin), f"{row} {column.key}"


def test_deleting_an_agent_keeps_its_events_and_takes_the_rest(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    make_recommendation(session, customer, agent)
    make_event(session, customer, agent_id=agent.id)
    session.expunge_all()
    session.delete(session.get_one(Agent, agent.id))
    session.flush()
    assert session.scalars(select(Recommendation)).all() == []
    assert session.scalars(select(Event)).one().agent_id is None


def test_deleting_an_agent_that_was_walked_does_the_same(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    make_approval(session, recommendation)
    make_event(session, customer, agent_id=agent.id)
    session.add(AgentState(agent_id=agent.id))
    session.flush()
    session.expire_all()
    assert len(agent.events) == len(agent.recommendations) == 1
    assert agent.state is not None
    session.delete(agent)
    session.flush()
    assert session.scalars(select(Approval)).all() == []
    assert session.scalars(select(AgentState)).all() == []
    assert session.scalars(select(Event)).one().agent_id is None


def test_deleting_a_customer_takes_everything_of_it(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recommendation = make_recommendation(session, customer, agent)
    make_approval(session, recommendation)
    make_optimization(session, recommendation)
    make_event(session, customer)
    execution = make_execution(session, customer, agent)
    step = make_step(session, execution)
    make_artifact(session, execution, workflow_step_id=step.id)
    session.add(AgentState(agent_id=agent.id, current_workflow_id=execution.id))
    session.flush()
    session.execute(delete(Customer).where(Customer.id == customer.id))
    session.expire_all()
    for model in (Recommendation, Approval, Optimization, Event, WorkflowExecution, WorkflowStep):
        assert session.scalars(select(model)).all() == [], model
    assert session.scalars(select(WorkflowArtifact)).all() == []
    assert session.scalars(select(AgentState)).one().current_workflow_id is None


def test_steps_come_in_their_order(session: Session) -> None:
    execution = make_execution(session, make_customer(session), make_agent(session))
    for order in (3, 1, 2):
        make_step(session, execution, step_order=order)
    session.expire_all()
    assert [step.step_order for step in execution.steps] == [1, 2, 3]


@pytest.mark.parametrize("confidence", [-0.01, 1.01, float("nan")])
def test_confidence_outside_its_range_is_refused(session: Session, confidence: float) -> None:
    customer, agent = make_customer(session), make_agent(session)
    with pytest.raises(IntegrityError, match="check_confidence_range"):
        make_recommendation(session, customer, agent, confidence_score=confidence)


@pytest.mark.parametrize("progress", [-1, 101])
def test_progress_outside_its_range_is_refused(session: Session, progress: int) -> None:
    recommendation = make_recommendation(session, make_customer(session), make_agent(session))
    with pytest.raises(IntegrityError, match="check_progress_range"):
        make_optimization(session, recommendation, progress=progress)


def test_times_come_back_in_utc_whatever_went_in(session: Session) -> None:
    session.execute(text("SET LOCAL timezone = 'Asia/Kolkata'"))
    there = timezone(timedelta(hours=-8))
    naive = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - read as UTC
    first = make_agent(session, last_heartbeat=NOW.astimezone(there))
    second = make_agent(session, last_heartbeat=naive)
    session.expire_all()
    assert first.last_heartbeat == NOW
    assert first.last_heartbeat is not None
    assert first.last_heartbeat.tzinfo is UTC
    assert second.last_heartbeat == naive.replace(tzinfo=UTC)


def test_none_in_a_json_column_is_null(session: Session) -> None:
    execution = make_execution(session, make_customer(session), make_agent(session))
    execution.error_details = {"code": 1}
    session.flush()
    execution.error_details = None
    session.flush()
    query = text("SELECT error_details IS NULL FROM workflow_executions")
    assert session.execute(query).scalar_one()


def test_money_is_exact(session: Session) -> None:
    recommendation = make_recommendation(
        session, make_customer(session), make_agent(session), estimated_savings=Decimal("0.10")
    )
    session.expire_all()
    assert recommendation.estimated_savings == Decimal("0.10")


def test_models_work_on_asyncpg(fresh_url: str) -> None:
    with Database(fresh_url) as database, database.transaction() as session:
        customer = make_customer(session, plan=CustomerPlan.STARTUP)
        recommendation = make_recommendation(session, customer, make_agent(session))

    async def visit() -> tuple[Recommendation, Customer]:
        engine = create_async_engine(make_url(fresh_url).set(drivername="postgresql+asyncpg"))
        async with engine.begin() as connection:
            row = await connection.run_sync(lambda sync: _write_and_read(sync.engine, sync))
        await engine.dispose()
        return row

    def _write_and_read(_: Engine, connection: object) -> tuple[Recommendation, Customer]:
        with Session(bind=connection, expire_on_commit=False) as inner:  # type: ignore[arg-type]
            found = inner.get_one(Recommendation, recommendation.id)
            found.status = RecommendationStatus.APPROVED
            found.approved_at = NOW.replace(tzinfo=None)
            execution = make_execution(inner, customer, found.agent)
            make_artifact(inner, execution, workflow_step_id=make_step(inner, execution).id)
            make_agent(inner, type=AgentType.ORCHESTRATOR)
            inner.add(AgentConfig(agent_id=found.agent_id, config_key="k", config_value="v"))
            inner.add(AgentMetric(agent_id=found.agent_id, metric_name="m", metric_value=1.5))
            inner.add(AgentState(agent_id=found.agent_id))
            make_optimization(inner, found)
            make_approval(inner, found)
            make_event(inner, customer)
            inner.expire_all()
            return inner.get_one(Recommendation, recommendation.id), found.customer

    found, owner = asyncio.run(visit())
    assert found.status is RecommendationStatus.APPROVED
    assert found.approved_at == NOW
    assert owner.plan is CustomerPlan.STARTUP


def test_a_scaling_lasts_from_begin_to_end(session: Session) -> None:
    event = make_scaling_event(session, make_customer(session), make_agent(session))
    assert event.duration_seconds is None
    event.completed_at = NOW + timedelta(seconds=90)
    assert event.duration_seconds == 90


def test_a_regression_is_open_until_it_is_resolved(session: Session) -> None:
    baseline = make_baseline(session, make_customer(session), make_agent(session))
    regression = make_regression(session, baseline)
    assert not regression.is_resolved
    assert regression.time_to_resolve_minutes is None
    regression.resolved_at = NOW + timedelta(minutes=90)
    assert regression.is_resolved
    assert regression.time_to_resolve_minutes == 90
    session.expire_all()
    assert baseline.regressions == [regression]


def test_a_scaling_outlives_its_workflow(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    execution = make_execution(session, customer, agent)
    event = make_scaling_event(session, customer, agent, workflow_execution_id=execution.id)
    assert execution.scaling_events == [event]
    session.delete(execution)
    session.flush()
    session.expire_all()
    assert event.workflow is None
    assert event.customer_id == customer.id
