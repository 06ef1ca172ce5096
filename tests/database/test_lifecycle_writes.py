"""Every pair of every lifecycle through the repositories: what its table allows, no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.factories.core import (
    NOW,
    make_agent,
    make_approval,
    make_customer,
    make_optimization,
    make_recommendation,
)
from tests.factories.workflow_history import make_execution, make_step

from optiinfra.database.models import Event, RecommendationStatus
from optiinfra.database.repositories import (
    Agents,
    Customers,
    Decisions,
    Executions,
    Lease,
    Leases,
    Optimizations,
    Steps,
)
from optiinfra.domain import lifecycles
from optiinfra.domain.errors import ConflictError
from optiinfra.kit.lifecycle import Lifecycle

BOSS = "boss@example.com"
LATER = NOW + timedelta(hours=1)
LEASE: dict[str, Any] = {"lease_owner": "w", "lease_expires_at": LATER, "fence": 1}
# By target: what the one does who wants it. None: nobody can want it.
Wants = dict[str, Callable[[Session, Any], object]]


def want_optimization(verb: str, **values: Any) -> Callable[[Session, Any], object]:
    return lambda s, row: getattr(Optimizations(s), verb)(row.id, version=0, now=LATER, **values)


def want_of_proposal(verb: str, status: str, **values: Any) -> Callable[[Session, Any], object]:
    """What becomes of a recommendation with its optimization, which is in that status."""

    def want(session: Session, row: Any) -> object:
        optimization = make_optimization(session, row, status=status, started_at=NOW)
        return want_optimization(verb, **values)(session, optimization)

    return want


def lease_of(row: Any) -> Lease:
    return Lease(row.id, row.customer_id, row.lease_owner, row.fence, row.lease_expires_at)


def want_running(session: Session, row: Any) -> object:
    claimed = Leases(session).claim("v", now=LATER, duration=timedelta(minutes=1))
    if not claimed:
        message = f"{row.id} is not to be had"
        raise ConflictError(message, remedy="")
    return claimed


def want_step(verb: str, **values: Any) -> Callable[[Session, Any], object]:
    return lambda s, row: getattr(Steps(s), verb)(
        lease_of(row.execution), row.id, now=LATER, **values
    )


WANTED: dict[str, Wants] = {
    "recommendation": {
        "approved": lambda s, row: Decisions(s).approve(row.id, by=BOSS, now=LATER),
        "rejected": lambda s, row: Decisions(s).reject(row.id, by=BOSS, now=LATER),
        "executing": want_of_proposal("start", "queued"),
        "completed": want_of_proposal("complete", "executing", result={}),
        "failed": want_of_proposal("fail", "executing", error="e"),
        "rolled_back": want_of_proposal("roll_back", "executing", error="e"),
    },
    "approval": {
        "approved": lambda s, row: Decisions(s).approve(row.recommendation_id, by=BOSS, now=LATER),
        "rejected": lambda s, row: Decisions(s).reject(row.recommendation_id, by=BOSS, now=LATER),
    },
    "optimization": {
        "executing": want_optimization("start"),
        "completed": want_optimization("complete", result={}),
        "failed": want_optimization("fail", error="e"),
        "rolled_back": want_optimization("roll_back", error="e"),
    },
    "workflow execution": {
        "running": want_running,
        "completed": lambda s, row: Executions(s).complete(
            lease_of(row), output_data={}, now=LATER
        ),
        "failed": lambda s, row: Executions(s).fail(lease_of(row), error_details={}, now=LATER),
        "cancelled": lambda s, row: Executions(s).cancel(row.id, version=0, by=BOSS, now=LATER),
        "timeout": lambda s, row: Executions(s).time_out(
            row.id, version=0, error_details={}, now=LATER
        ),
    },
    "workflow step": {
        "running": want_step("begin"),
        "completed": want_step("complete", output_data={}),
        "failed": want_step("fail", error_details={}),
        "skipped": want_step("skip"),
        "retrying": want_step("retry", error_details={}),
    },
    "customer": {
        "active": lambda s, row: Customers(s).reactivate(row.id, by=BOSS, now=LATER),
        "suspended": lambda s, row: Customers(s).suspend(row.id, by=BOSS, now=LATER),
        "churned": lambda s, row: Customers(s).churn(row.id, by=BOSS, now=LATER),
    },
    "agent": {
        target.value: lambda s, row, target=target: Agents(s).set_status(  # type: ignore[misc]
            row.id, target, seen=row.status, now=LATER
        )
        for target in lifecycles.AGENT.table
    },
}


def make_row(session: Session, name: str, status: StrEnum) -> Any:  # noqa: PLR0911 - a line a table
    """A row in that status, with all that belongs to it in a status that fits."""
    customer, agent = make_customer(session), make_agent(session)
    ends = {} if status in {"pending", "queued"} else {"started_at": NOW, "completed_at": NOW}
    if name == "customer":
        return make_customer(session, status=status)
    if name == "agent":
        return make_agent(session, status=status)
    if name == "recommendation":
        return make_recommendation(session, customer, agent, status=status)
    if name == "approval":
        proposal = make_recommendation(session, customer, agent)
        return make_approval(session, proposal, approved_by=BOSS, status=status)
    if name == "optimization":
        is_queued = status == "queued"
        proposal = make_recommendation(
            session,
            customer,
            agent,
            status=RecommendationStatus.APPROVED if is_queued else RecommendationStatus(status),
        )
        return make_optimization(session, proposal, status=status, **ends)
    if name == "workflow execution":
        held = LEASE if status == "running" else {}
        return make_execution(session, customer, agent, status=status, **ends, **held)
    execution = make_execution(session, customer, agent, started_at=NOW, **LEASE)
    step = make_step(session, execution, status=status, **ends)
    session.refresh(step, ["execution"])
    return step


ALL: list[Lifecycle[Any]] = [v for v in vars(lifecycles).values() if isinstance(v, Lifecycle)]
PAIRS = [
    (lifecycle, source, target)
    for lifecycle in ALL
    for source in lifecycle.table
    for target in lifecycle.table
    if target.value in WANTED[lifecycle.name]
]


@pytest.mark.parametrize("lifecycle", ALL, ids=lambda lifecycle: lifecycle.name)
def test_every_status_but_the_first_can_be_wanted(lifecycle: Lifecycle[Any]) -> None:
    reached = {target.value for target in lifecycle.table if lifecycle.list_sources(target)}
    assert set(WANTED[lifecycle.name]) == reached


def pair_id(value: Any) -> str:
    return str(getattr(value, "name", value)).lower()


@pytest.mark.parametrize(("lifecycle", "source", "target"), PAIRS, ids=pair_id)
def test_a_repository_makes_the_changes_that_the_lifecycle_allows(
    session: Session, lifecycle: Lifecycle[Any], source: StrEnum, target: StrEnum
) -> None:
    row = make_row(session, lifecycle.name, source)
    want = WANTED[lifecycle.name][target.value]
    count = select(func.count()).select_from(Event)
    num_events = session.scalars(count).one()
    if lifecycle.allows(source=source, target=target):
        want(session, row)
        session.refresh(row)
        assert row.status == target
        is_told_by_triggers = lifecycle.name in {"workflow execution", "workflow step", "agent"}
        assert is_told_by_triggers or session.scalars(count).one() > num_events
    else:
        with pytest.raises(ConflictError):
            want(session, row)
        session.refresh(row)
        assert row.status == source
        assert session.scalars(count).one() == num_events
