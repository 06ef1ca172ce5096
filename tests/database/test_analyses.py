"""A finished analysis is written whole or not at all, and its open proposals once."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer
from tests.factories.workflow_history import (
    make_new_artifact,
    make_new_recommendation,
    make_new_step,
)

from optiinfra.database.engine import Database, Role, set_role
from optiinfra.database.models import (
    Agent,
    ArtifactType,
    Customer,
    Event,
    Recommendation,
    StepStatus,
    WorkflowExecution,
    WorkflowStatus,
    WorkflowType,
)
from optiinfra.database.repositories import (
    Decisions,
    Events,
    Executions,
    RecordedAnalysis,
    Transitions,
    record_analysis,
)
from optiinfra.domain.errors import ConflictError, ConstraintError, NotFoundError

BOSS = "boss@example.com"


def record(
    session: Session, customer: Customer, agent: Agent, *digests: str, fails: bool = False
) -> RecordedAnalysis:
    return record_analysis(
        session,
        customer=customer,
        agent=agent,
        analysis_document={"fleet": "x", "saving": float("nan") if fails else 1.5},
        input_data={"seed": 7},
        recommendations=[make_new_recommendation(evidence_digest=digest) for digest in digests],
        artifacts=[make_new_artifact(step_name="report")],
        steps=[
            make_new_step("simulate", output_data={"num_candidates": 200}),
            make_new_step("report", started_at=NOW - timedelta(seconds=1)),
        ],
        now=NOW,
    )


def count(session: Session, model: type[Event | Recommendation | WorkflowExecution]) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_all_of_an_analysis_is_written(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    recorded = record(session, customer, agent, "one", "two")
    execution = Executions(session).get(recorded.execution_id)
    ids = [str(recommendation.id) for recommendation in recorded.recommendations]
    assert execution.workflow_type is WorkflowType.COST_ANALYSIS
    assert execution.status is WorkflowStatus.COMPLETED
    assert (execution.started_at, execution.completed_at) == (NOW - timedelta(seconds=9), NOW)
    assert execution.input_data == {"seed": 7}
    assert execution.output_data == {"fleet": "x", "saving": 1.5, "recommendation_ids": ids}
    assert [(s.step_order, s.step_name, s.status) for s in execution.steps] == [
        (1, "simulate", StepStatus.COMPLETED),
        (2, "report", StepStatus.COMPLETED),
    ]
    assert execution.steps[0].output_data == {"num_candidates": 200}
    (artifact,) = execution.artifacts
    assert artifact.workflow_step_id == execution.steps[1].id
    assert (artifact.artifact_type, artifact.artifact_path) == (ArtifactType.REPORT, "report.html")
    assert (artifact.artifact_size_bytes, artifact.content_type) == (12_345, "text/html")
    assert artifact.artifact_metadata == {"sha256": "a" * 64}
    rows = session.scalars(select(Recommendation)).all()
    assert {row.data["analysis_execution_id"] for row in rows} == {str(execution.id)}
    kinds = sorted(
        event.event_type for event in Events(session).list_page(customer_id=customer.id).items
    )
    assert kinds == ["analysis_completed", *["recommendation_created"] * 2]


def test_a_worker_records_an_analysis_as_if_it_had_been_watched(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    set_role(session, role=Role.WORKER, customer_id=None)
    execution_id = record(session, customer, agent, "one").execution_id
    transitions = Transitions(session)
    changes = [row.new_status for row in transitions.list_after(execution_id) if not row.step_id]
    assert changes == ["pending", "running", "completed"]
    assert transitions.verify(execution_id) == 3 + 2 * 3


def test_an_analysis_without_proposals_is_written_too(session: Session) -> None:
    recorded = record(session, make_customer(session), make_agent(session))
    assert recorded.recommendations == ()
    assert Executions(session).get(recorded.execution_id).output_data["recommendation_ids"] == []


def test_an_open_proposal_is_reused_and_not_written_twice(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    first = record(session, customer, agent, "one")
    second = record(session, customer, agent, "one", "two")
    assert [recommendation.is_new for recommendation in second.recommendations] == [False, True]
    assert second.recommendations[0].id == first.recommendations[0].id
    assert second.execution_id != first.execution_id
    assert count(session, Recommendation) == 2


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_decided_proposal_is_not_reused(session: Session, verb: str) -> None:
    customer, agent = make_customer(session), make_agent(session)
    first = record(session, customer, agent, "one")
    getattr(Decisions(session), verb)(first.recommendations[0].id, by=BOSS, now=NOW)
    second = record(session, customer, agent, "one")
    assert second.recommendations[0].is_new
    assert second.recommendations[0].id != first.recommendations[0].id


def test_another_customers_proposal_is_not_reused(session: Session) -> None:
    agent = make_agent(session)
    for customer in (make_customer(session), make_customer(session)):
        assert record(session, customer, agent, "one").recommendations[0].is_new


def test_a_reused_proposal_stays_an_alternative_in_the_later_analysis(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    record(session, customer, agent, "one")
    one, two = record(session, customer, agent, "one", "two").recommendations
    Decisions(session).approve(one.id, by=BOSS, now=NOW)
    with pytest.raises(ConflictError, match=str(one.id)):
        Decisions(session).approve(two.id, by=BOSS, now=NOW)


def test_nothing_is_half_written(database: Database) -> None:
    with database.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)
    with (
        pytest.raises(ConstraintError, match=r"at \$.saving is not finite"),
        database.transaction() as session,
    ):
        record(session, customer, agent, "one", fails=True)
    with database.reading() as session:
        assert [count(session, m) for m in (WorkflowExecution, Recommendation, Event)] == [0, 0, 0]


def test_two_analyses_at_once_write_a_proposal_once(database: Database) -> None:
    with database.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)
    start = threading.Barrier(2)
    ids: list[UUID] = []

    def analyse() -> None:
        with database.transaction() as session:
            session.scalar(select(func.pg_backend_pid()))
            start.wait(timeout=30)
            ids.append(record(session, customer, agent, "one").recommendations[0].id)

    threads = [threading.Thread(target=analyse) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_an_execution_that_is_not_there(session: Session) -> None:
    with pytest.raises(NotFoundError):
        Executions(session).get(uuid4())
