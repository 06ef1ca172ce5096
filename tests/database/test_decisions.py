"""A recommendation is decided once, by one person, and never beside an alternative."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer, make_recommendation

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    Approval,
    ApprovalStatus,
    Event,
    Recommendation,
    RecommendationStatus,
)
from optiinfra.database.repositories import Decisions, Events, Recommendations
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError

BOSS = "boss@example.com"
OTHER = "other@example.com"
LATER = NOW + timedelta(hours=1)


def make_alternative(
    session: Session,
    like: Recommendation | None = None,
    *,
    status: RecommendationStatus = RecommendationStatus.PENDING,
    **data: object,
) -> Recommendation:
    """A recommendation of the analysis "a" for the deployment "chat", unless told otherwise."""
    customer = make_customer(session).id if like is None else like.customer_id
    agent = make_agent(session).id if like is None else like.agent_id
    row = Recommendation(
        customer_id=customer,
        agent_id=agent,
        type="reduce_cost",
        title="One replica less",
        status=status,
        data={"analysis_execution_id": "a", "deployment": "chat", **data},
        evidence_digest=data.get("evidence_digest"),
    )
    session.add(row)
    session.flush()
    return row


def test_an_approval_is_one_status_one_row_one_event(session: Session) -> None:
    row = make_alternative(session, evidence_digest="d")
    decided = Decisions(session).approve(
        row.id.hex[:8], by=" Boss@Example.com ", comment="go", now=NOW
    )
    assert decided.status is RecommendationStatus.APPROVED
    assert (decided.approved_at, decided.updated_at) == (NOW, NOW)
    (approval,) = decided.approvals
    assert (approval.approved_by, approval.comment) == (BOSS, "go")
    assert (approval.status, approval.created_at) == (ApprovalStatus.APPROVED, NOW)
    (event,) = Events(session).list_page(customer_id=row.customer_id).items
    assert event.event_type == "recommendation_approved"
    assert event.data == {
        "recommendation_id": str(row.id),
        "from": "pending",
        "to": "approved",
        "by": BOSS,
        "comment": "go",
        "evidence_digest": "d",
    }


def test_a_rejection_is_one_status_one_row_one_event(session: Session) -> None:
    row = make_alternative(session)
    decided = Decisions(session).reject(row.id, by=BOSS, now=NOW)
    assert decided.status is RecommendationStatus.REJECTED
    assert decided.approved_at is None
    (approval,) = decided.approvals
    assert (approval.status, approval.comment) == (ApprovalStatus.REJECTED, None)
    (event,) = Events(session).list_page(customer_id=row.customer_id).items
    assert event.event_type == "recommendation_rejected"


@pytest.mark.parametrize("first", ["approve", "reject"])
@pytest.mark.parametrize("second", ["approve", "reject"])
def test_what_was_decided_says_who_decided_what_and_when(
    session: Session, first: str, second: str
) -> None:
    row = make_alternative(session)
    decisions = Decisions(session)
    getattr(decisions, first)(row.id, by=BOSS, now=NOW)
    word = {"approve": "approved", "reject": "rejected"}[first]
    with pytest.raises(ConflictError) as caught:
        getattr(decisions, second)(row.id, by=OTHER, now=LATER)
    assert f"was {word} by {BOSS} on 2026-03-04 05:06:07 UTC" in str(caught.value)
    assert caught.value.exit_code == 2
    assert session.scalar(select(func.count()).select_from(Approval)) == 1
    assert session.scalar(select(func.count()).select_from(Event)) == 1
    assert Recommendations(session).get(row.id).updated_at == NOW


@pytest.mark.parametrize("status", [s for s in RecommendationStatus if s.value != "pending"])
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_only_a_pending_one_can_be_decided(
    session: Session, status: RecommendationStatus, verb: str
) -> None:
    row = make_alternative(session, status=status)
    with pytest.raises(ConflictError, match=f"is {status.value}"):
        getattr(Decisions(session), verb)(row.id, by=BOSS, now=NOW)
    assert Recommendations(session).get(row.id).status is status


def test_what_became_of_an_approved_one_is_told(session: Session) -> None:
    row = make_alternative(session)
    Decisions(session).approve(row.id, by=BOSS, now=NOW)
    row.status = RecommendationStatus.EXECUTING
    session.flush()
    with pytest.raises(ConflictError, match=f"approved by {BOSS} .*, and is executing now"):
        Decisions(session).approve(row.id, by=BOSS, now=LATER)


@pytest.mark.parametrize("by", ["", "boss", "boss@", "Boss <boss@example.com>"])
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_person_is_an_email_address(session: Session, by: str, verb: str) -> None:
    row = make_alternative(session)
    with pytest.raises(InputError, match="email address") as caught:
        getattr(Decisions(session), verb)(row.id, by=by, now=NOW)
    assert caught.value.field == "by"
    assert Recommendations(session).get(row.id).status is RecommendationStatus.PENDING


def test_nobody_decides_for_another_customer(session: Session) -> None:
    row, stranger = make_alternative(session), make_customer(session)
    with pytest.raises(NotFoundError):
        Decisions(session).approve(row.id, by=BOSS, now=NOW, customer_id=stranger.id)
    assert Recommendations(session).get(row.id).status is RecommendationStatus.PENDING


@pytest.mark.parametrize("status", ["approved", "executing", "completed"])
def test_an_alternative_to_what_is_in_force_is_refused(session: Session, status: str) -> None:
    first = make_alternative(session)
    second = make_alternative(session, first)
    decisions = Decisions(session)
    decisions.approve(first.id, by=BOSS, now=NOW)
    for later in ("executing", "completed")[: ("approved", "executing", "completed").index(status)]:
        first.status = RecommendationStatus(later)
        session.flush()
    with pytest.raises(ConflictError, match=str(first.id)) as caught:
        decisions.approve(second.id, by=BOSS, now=LATER)
    assert str(second.id) in str(caught.value)
    assert "'chat'" in str(caught.value)
    assert Recommendations(session).get(second.id).status is RecommendationStatus.PENDING
    decisions.reject(second.id, by=BOSS, now=LATER)


@pytest.mark.parametrize("status", ["rejected", "failed", "rolled_back"])
def test_what_left_nothing_behind_makes_room_for_an_alternative(
    session: Session, status: str
) -> None:
    first = make_alternative(session, status=RecommendationStatus(status))
    second = make_alternative(session, first)
    decided = Decisions(session).approve(second.id, by=BOSS, now=NOW)
    assert decided.status is RecommendationStatus.APPROVED


@pytest.mark.parametrize("other", [{"deployment": "code"}, {"analysis_execution_id": "b"}])
def test_another_deployment_or_analysis_is_no_alternative(
    session: Session, other: dict[str, str]
) -> None:
    first = make_alternative(session)
    second = make_alternative(session, first, **dict[str, Any](other))
    for row in (first, second):
        Decisions(session).approve(row.id, by=BOSS, now=NOW)


def test_the_same_names_at_another_customer_are_no_alternative(session: Session) -> None:
    for row in (make_alternative(session), make_alternative(session)):
        Decisions(session).approve(row.id, by=BOSS, now=NOW)


def race(database: Database, *calls: Callable[[Decisions], object]) -> list[str]:
    """What became of calls that began at the same time, each in a session of its own."""
    start = threading.Barrier(len(calls))
    outcomes: list[str] = []

    def run(call: Callable[[Decisions], object]) -> None:
        try:
            with database.transaction() as session:
                session.scalar(select(func.pg_backend_pid()))  # connected before the start
                start.wait(timeout=30)
                call(Decisions(session))
            outcomes.append("won")
        except ConflictError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return sorted(outcomes, key=lambda outcome: outcome != "won")


def _decide(verb: str, id_: UUID, person: str) -> Callable[[Decisions], object]:
    return lambda decisions: getattr(decisions, verb)(id_, by=person, now=NOW)


@pytest.mark.parametrize("deployment", ["chat", None])
@pytest.mark.parametrize("verbs", [("approve", "approve"), ("approve", "reject")])
def test_of_two_who_decide_at_once_exactly_one_wins(
    database: Database, verbs: tuple[str, str], deployment: str | None
) -> None:
    for _ in range(5):
        with database.transaction() as session:
            row = make_recommendation(
                session,
                make_customer(session),
                make_agent(session),
                data={"deployment": deployment} if deployment else {},
            )
        outcomes = race(
            database,
            *(_decide(verb, row.id, f"{i}@example.com") for i, verb in enumerate(verbs)),
        )
        assert outcomes[0] == "won"
        assert "@example.com on 2026" in outcomes[1]
        with database.reading() as session:
            decided = Recommendations(session).get(row.id)
            assert len(decided.approvals) == 1
            assert decided.approvals[0].status.value == decided.status.value
            assert len(Events(session).list_page(customer_id=row.customer_id).items) == 1


def test_of_two_alternatives_approved_at_once_exactly_one_wins(database: Database) -> None:
    for _ in range(5):
        with database.transaction() as session:
            first = make_alternative(session, analysis_execution_id=str(uuid4()))
            second = make_alternative(session, first, **first.data)
        outcomes = race(database, *(_decide("approve", row.id, BOSS) for row in (first, second)))
        assert outcomes[0] == "won"
        assert "alternative" in outcomes[1]
        with database.reading() as session:
            both = [Recommendations(session).get(row.id).status for row in (first, second)]
        assert sorted(both) == [RecommendationStatus.APPROVED, RecommendationStatus.PENDING]
