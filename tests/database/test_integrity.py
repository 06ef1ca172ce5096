"""Checks, lifecycles, histories and partitions: what the database refuses, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tests.factories.application_schema import make_baseline, make_quality_metric, make_regression
from tests.factories.core import (
    NOW,
    add,
    make_agent,
    make_approval,
    make_customer,
    make_optimization,
    make_recommendation,
)
from tests.factories.resource_schema import make_resource_metric, make_scaling_event
from tests.factories.workflow_history import make_artifact, make_execution, make_step

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    AgentCapability,
    AgentMetric,
    WorkflowStateTransition,
)
from optiinfra.database.repositories.transitions import Transitions
from optiinfra.database.verification.modelled import compare_models
from optiinfra.domain import lifecycles
from optiinfra.domain.errors import ConflictError, ConstraintError
from optiinfra.kit.lifecycle import Lifecycle

Make = Callable[..., Any]


def make_row(session: Session, table: str, **values: Any) -> Any:
    """A row of that table with what it needs."""
    customer, agent = make_customer(session), make_agent(session)
    execution = partial(make_execution, session, customer, agent)
    proposal = make_recommendation(session, customer, agent)
    makers: dict[str, Make] = {
        "recommendations": lambda **v: make_recommendation(session, customer, agent, **v),
        "approvals": lambda **v: make_approval(session, proposal, **v),
        "optimizations": lambda **v: make_optimization(session, proposal, **v),
        "workflow_executions": execution,
        "workflow_steps": lambda **v: make_step(session, execution(), **v),
        "workflow_artifacts": lambda **v: make_artifact(session, execution(), **v),
        "resource_metrics": lambda **v: make_resource_metric(session, customer, agent, **v),
        "scaling_events": lambda **v: make_scaling_event(session, customer, agent, **v),
        "quality_metrics": lambda **v: make_quality_metric(session, customer, agent, **v),
        "quality_baselines": lambda **v: make_baseline(session, customer, agent, **v),
        "quality_regressions": lambda **v: make_regression(
            session, make_baseline(session, customer, agent), **v
        ),
        "agent_metrics": lambda **v: add(
            session, AgentMetric(**{"agent_id": agent.id, "metric_name": "m"} | v)
        ),
        "agent_capabilities": lambda **v: add(
            session, AgentCapability(**{"agent_id": agent.id, "capability_name": "c"} | v)
        ),
    }
    return makers[table](**values)


def test_models_and_migrations_make_the_same_of_every_check_and_key(session: Session) -> None:
    """Not only of their names: PostgreSQL prints both definitions (database/verification)."""
    assert compare_models(session.connection()) == []


LIFECYCLES: dict[str, Lifecycle[Any]] = {
    "recommendations": lifecycles.RECOMMENDATION,
    "approvals": lifecycles.APPROVAL,
    "optimizations": lifecycles.OPTIMIZATION,
    "workflow_executions": lifecycles.WORKFLOW,
    "workflow_steps": lifecycles.STEP,
}
PAIRS = [
    (table, source, target)
    for table, lifecycle in LIFECYCLES.items()
    for source in lifecycle.table
    for target in lifecycle.table
    if source != target
]


@pytest.mark.parametrize(("table", "source", "target"), PAIRS)
def test_the_database_allows_the_changes_that_the_lifecycles_allow(
    session: Session, table: str, source: StrEnum, target: StrEnum
) -> None:
    ends = {} if table in {"recommendations", "approvals"} else {"completed_at": NOW}
    row = make_row(session, table, status=source, **ends)
    row.status = target
    if LIFECYCLES[table].allows(source=source, target=target):
        session.flush()
    else:
        with pytest.raises(IntegrityError, match="is not a change it can make"):
            session.flush()


def test_one_of_each(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    proposal, execution = (
        make_recommendation(session, customer, agent),
        make_execution(session, customer, agent),
    )
    twice: dict[str, Callable[[], object]] = {
        "uq_approval_decided": lambda: make_approval(session, proposal, status="approved"),
        "uq_optimization_live": lambda: make_optimization(session, proposal),
        "uq_workflow_step_order": lambda: make_step(session, execution),
        "uq_quality_metric_request": lambda: make_quality_metric(
            session, customer, agent, request_id="r"
        ),
    }
    for name, make in twice.items():
        make()
        with pytest.raises(IntegrityError, match=name), session.begin_nested():
            make()
    make_quality_metric(session, make_customer(session), agent, request_id="r")


def test_enabled_versions_share_all_of_the_traffic(session: Session) -> None:
    agent = make_agent(session)
    for version, ratio in (("1.0.0", 0.25), ("1.1.0", 0.75)):
        add(
            session,
            AgentCapability(
                agent_id=agent.id,
                capability_name="c",
                capability_version=version,
                traffic_ratio=ratio,
            ),
        )
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    session.execute(text("UPDATE agent_capabilities SET traffic_ratio = 0.5"))
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    with pytest.raises(IntegrityError, match="share"):
        session.execute(
            text("UPDATE agent_capabilities SET enabled = false WHERE capability_version='1.0.0'")
        )


def test_the_history_of_a_workflow_is_chained(session: Session) -> None:
    execution = make_execution(session, make_customer(session), make_agent(session))
    step = make_step(session, execution)
    for status in ("running", "retrying", "running", "completed"):
        step.status = status  # type: ignore[assignment]
        step.completed_at = NOW if status == "completed" else None
        session.flush()
    execution.status, execution.completed_at = "completed", NOW  # type: ignore[assignment]
    session.flush()
    transitions = Transitions(session)
    assert transitions.verify(execution.id) == 7
    changes = [(row.old_status, row.new_status) for row in transitions.list_after(execution.id)]
    assert changes[0] == (None, "running")
    assert changes[-1] == ("running", "completed")


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE workflow_state_transitions SET new_status = 'failed' WHERE seq = 2",
        "DELETE FROM workflow_state_transitions WHERE seq = 2",
    ],
)
def test_a_history_that_was_altered_is_found(session: Session, tampering: str) -> None:
    execution = make_execution(session, make_customer(session), make_agent(session))
    make_step(session, execution)
    make_step(session, execution, step_order=2)
    with pytest.raises(IntegrityError, match="never changed"), session.begin_nested():
        session.execute(text(tampering))
    session.execute(text("ALTER TABLE workflow_state_transitions DISABLE TRIGGER USER"))
    session.execute(text(tampering))
    session.expire_all()
    with pytest.raises(ConflictError, match="transition 2"):
        Transitions(session).verify(execution.id)


def test_an_execution_takes_its_history_along(session: Session) -> None:
    execution = make_execution(session, make_customer(session), make_agent(session))
    session.execute(text("DELETE FROM workflow_executions WHERE id = :id"), {"id": execution.id})
    assert session.scalar(select(func.count()).select_from(WorkflowStateTransition)) == 0


def test_a_refusal_names_table_column_and_constraint(database: Database) -> None:
    with pytest.raises(ConstraintError) as caught, database.transaction() as session:
        make_row(session, "quality_metrics", prompt_tokens=-1)
    assert caught.value.table == "quality_metrics"
    assert caught.value.constraint == "check_prompt_tokens"
    with pytest.raises(ConstraintError) as caught, database.transaction() as session:
        make_customer(session, name=None)
    assert (caught.value.table, caught.value.column) == ("customers", "name")
