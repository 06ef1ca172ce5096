"""Every compare-and-set: of two who want the same at once one wins, and the other is told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session
from tests.database.racing import Call, race
from tests.factories.application_schema import make_baseline, make_regression
from tests.factories.core import NOW, add, make_agent, make_customer
from tests.factories.decided import DIGEST, make_approved, make_optimization_of
from tests.factories.resource_schema import make_scaling_event
from tests.factories.workflow_history import make_execution
from tests.fixtures_database import TEMPLATE, change_database, run_admin

from optiinfra.database.engine import Database
from optiinfra.database.models import (
    AgentState,
    AgentStatus,
    AgentStatusDetail,
    BaselineType,
    RegressionAction,
    StepStatus,
    WorkflowStatus,
)
from optiinfra.database.repositories import (
    Agents,
    AgentStates,
    Customers,
    Decisions,
    Executions,
    Lease,
    Leases,
    NewBaseline,
    Optimizations,
    PlannedStep,
    QualityBaselines,
    QualityRegressions,
    ScalingEvents,
    Steps,
)
from optiinfra.domain.errors import ConflictError, StaleFenceError

BOSS = "boss@example.com"
LATER = NOW + timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
# Makes what is fought for, and gives back the call that each of the two makes.
Prepare = Callable[[Session], Call]


@pytest.fixture(scope="module")
def arena(postgres_url: str, migrated_url: str) -> Iterator[Database]:
    """A database for all races of this module: each fights for rows of its own."""
    del migrated_url
    run_admin(postgres_url, f"CREATE DATABASE arena TEMPLATE {TEMPLATE} STRATEGY file_copy")
    with Database(change_database(postgres_url, "arena")) as database:
        yield database
    run_admin(postgres_url, "DROP DATABASE arena WITH (FORCE)")


def held(session: Session, *, step: StepStatus | None = None) -> tuple[Lease, Any]:
    """A leased execution with one step in that status; the lease, and the step's id."""
    execution = make_execution(
        session, make_customer(session), make_agent(session), status=WorkflowStatus.PENDING
    )
    (step_id,) = Steps(session).plan(execution.id, [PlannedStep("s")], now=NOW)
    (lease,) = [
        lease
        for lease in Leases(session).claim("w", now=NOW, duration=MINUTE, limit=1000)
        if lease.execution_id == execution.id
    ]
    if step in {StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.COMPLETED}:
        Steps(session).begin(lease, step_id, now=NOW)
    if step is StepStatus.RETRYING:
        Steps(session).retry(lease, step_id, error_details={}, now=NOW)
    if step is StepStatus.COMPLETED:
        Steps(session).complete(lease, step_id, output_data={}, now=NOW)
    return lease, step_id


def on_step(verb: str, status: StepStatus, **values: Any) -> Prepare:
    def prepare(session: Session) -> Call:
        lease, step_id = held(session, step=status)
        return lambda s: getattr(Steps(s), verb)(lease, step_id, now=LATER, **values)

    return prepare


def on_lease(verb: str, **values: Any) -> Prepare:
    def prepare(session: Session) -> Call:
        lease, _ = held(session, step=StepStatus.COMPLETED)
        repository = Leases if verb == "release" else Executions
        return lambda s: getattr(repository(s), verb)(lease, now=LATER, **values)

    return prepare


def on_version(verb: str, **values: Any) -> Prepare:
    def prepare(session: Session) -> Call:
        lease, _ = held(session)
        return lambda s: getattr(Executions(s), verb)(
            lease.execution_id, version=1, now=LATER, **values
        )

    return prepare


def on_optimization(verb: str, *, is_started: bool = True, **values: Any) -> Prepare:
    def prepare(session: Session) -> Call:
        row = make_optimization_of(session, is_started=is_started)
        return lambda s: getattr(Optimizations(s), verb)(
            row.id, version=int(is_started), now=LATER, **values
        )

    return prepare


def queue(session: Session) -> Call:
    proposal = make_approved(session)
    return lambda s: Optimizations(s).queue(proposal.id, evidence_digest=DIGEST, now=LATER)


def decide(verb: str) -> Prepare:
    def prepare(session: Session) -> Call:
        proposal = make_approved(session, is_decided=False)
        return lambda s: getattr(Decisions(s), verb)(proposal.id, by=BOSS, now=LATER)

    return prepare


def change_customer(verb: str, status: str) -> Prepare:
    def prepare(session: Session) -> Call:
        customer = make_customer(session, status=status)
        return lambda s: getattr(Customers(s), verb)(customer.id, by=BOSS, now=LATER)

    return prepare


def change_agent(session: Session) -> Call:
    agent = make_agent(session)
    return lambda s: Agents(s).set_status(
        agent.id, AgentStatus.FAILED, seen=AgentStatus.STARTING, now=LATER
    )


def change_agent_state(session: Session) -> Call:
    agent = make_agent(session)
    add(session, AgentState(agent_id=agent.id))
    return lambda s: AgentStates(s).set_status(
        agent.id, AgentStatusDetail.BUSY, version=0, now=LATER
    )


def complete_scaling(session: Session) -> Call:
    row = make_scaling_event(session, make_customer(session), make_agent(session))
    return lambda s: ScalingEvents(s).complete(row.id, now=LATER)


def resolve(session: Session) -> Call:
    baseline = make_baseline(session, make_customer(session), make_agent(session))
    row = make_regression(session, baseline)
    return lambda s: QualityRegressions(s).resolve(
        row.id, notes="", action=RegressionAction.AUTO_FIXED, now=LATER
    )


# Each with what the loser is told of the present state.
RACES: dict[str, tuple[Prepare, str]] = {
    "approve": (decide("approve"), "was approved by boss@example.com on 2026"),
    "reject": (decide("reject"), "was rejected by boss@example.com on 2026"),
    "queue": (queue, "is being carried out already"),
    "start": (on_optimization("start", is_started=False), "is executing in version 1"),
    "record_progress": (
        on_optimization("record_progress", progress=50),
        "is executing in version 2",
    ),
    "complete": (on_optimization("complete", result={}), "is completed in version 2"),
    "fail": (on_optimization("fail", error="e"), "is failed in version 2"),
    "fail, queued": (
        on_optimization("fail", is_started=False, error="e"),
        "is failed in version 1",
    ),
    "roll_back": (on_optimization("roll_back", error="e"), "is rolled_back in version 2"),
    "execution: release": (on_lease("release"), "is running and held by w with fence 2"),
    "execution: complete": (on_lease("complete", output_data={}), "is completed, not running"),
    "execution: fail": (on_lease("fail", error_details={}), "is failed, not running"),
    "execution: cancel": (on_version("cancel", by=BOSS), "is cancelled in version 2"),
    "execution: time_out": (on_version("time_out", error_details={}), "is timeout in version 2"),
    "step: begin": (on_step("begin", StepStatus.PENDING), "'s' is running"),
    "step: begin again": (on_step("begin", StepStatus.RETRYING), "'s' is running"),
    "step: skip": (on_step("skip", StepStatus.PENDING), "'s' is skipped"),
    "step: complete": (
        on_step("complete", StepStatus.RUNNING, output_data={}),
        "'s' is completed",
    ),
    "step: fail": (on_step("fail", StepStatus.RUNNING, error_details={}), "'s' is failed"),
    "step: retry": (on_step("retry", StepStatus.RUNNING, error_details={}), "'s' is retrying"),
    "suspend": (change_customer("suspend", "active"), "is suspended"),
    "reactivate": (change_customer("reactivate", "suspended"), "is active"),
    "churn": (change_customer("churn", "active"), "is churned"),
    "agent": (change_agent, "is failed"),
    "agent state": (change_agent_state, "is version 1 (busy)"),
    "scaling": (complete_scaling, "ended well at 2026"),
    "resolve": (resolve, "was resolved at 2026"),
}


@pytest.mark.parametrize("name", RACES)
def test_of_two_at_once_one_wins_and_the_other_is_told(arena: Database, name: str) -> None:
    prepare, told = RACES[name]
    with arena.transaction() as session:
        call = prepare(session)
    won, lost = race(arena, call, call)
    assert not isinstance(won, Exception), won
    assert isinstance(lost, ConflictError), lost
    assert told in lost.problem
    assert "Nothing was" in lost.remedy


# Who is late, against another change of the same thing.
RIVALS: dict[str, tuple[Callable[[Lease, Any], Call], type[ConflictError]]] = {
    "complete": (
        lambda lease, _: lambda s: Executions(s).complete(lease, output_data={}, now=LATER),
        StaleFenceError,
    ),
    "release": (lambda lease, _: lambda s: Leases(s).release(lease, now=LATER), StaleFenceError),
    "complete a step": (
        lambda lease, step: lambda s: Steps(s).complete(lease, step, output_data={}, now=LATER),
        StaleFenceError,
    ),
}


@pytest.mark.parametrize("name", RIVALS)
def test_who_was_overtaken_writes_nothing(arena: Database, name: str) -> None:
    with arena.transaction() as session:
        lease, step_id = held(session, step=StepStatus.RUNNING)
    make_call, expected = RIVALS[name]
    taken, late = race(
        arena,
        lambda s: Leases(s).take_over("x", now=LATER, duration=MINUTE, limit=1000),
        make_call(lease, step_id),
    )
    (new,) = [other for other in taken if other.execution_id == lease.execution_id]
    assert (new.owner, new.fence) == ("x", lease.fence + 1)
    assert type(late) is expected, late
    with arena.reading() as session:
        found = Executions(session).get(lease.execution_id)
        assert found.status is WorkflowStatus.RUNNING
        assert [step.status for step in found.steps] == [StepStatus.RUNNING]
        assert (found.lease_owner, found.fence) == ("x", new.fence)


def test_an_end_that_did_not_see_the_latest_progress(arena: Database) -> None:
    with arena.transaction() as session:
        row = make_optimization_of(session, is_started=True)
    won, lost = race(
        arena,
        lambda s: Optimizations(s).record_progress(row.id, version=1, progress=9, now=LATER),
        lambda s: Optimizations(s).complete(row.id, version=1, result={}, now=LATER),
    )
    assert won == 2
    assert isinstance(lost, ConflictError)
    assert "is executing in version 2" in lost.problem


def test_a_take_over_passes_over_who_is_just_writing(arena: Database) -> None:
    with arena.transaction() as session:
        lease, step_id = held(session, step=StepStatus.RUNNING)
    written, taken = race(
        arena,
        lambda s: Steps(s).complete(lease, step_id, output_data={}, now=LATER),
        lambda s: Leases(s).take_over("x", now=LATER, duration=MINUTE, limit=1000),
    )
    assert written is None
    assert lease.execution_id not in {other.execution_id for other in taken}


def test_two_claims_share_the_work(arena: Database) -> None:
    with arena.transaction() as session:
        customer, agent = make_customer(session), make_agent(session)
        ids = {
            make_execution(session, customer, agent, status=WorkflowStatus.PENDING).id
            for _ in range(4)
        }
    claims = race(
        arena,
        lambda s: Leases(s).claim("a", now=NOW, duration=MINUTE, limit=2),
        lambda s: Leases(s).claim("b", now=NOW, duration=MINUTE, limit=1000),
    )
    first, second = ({lease.execution_id for lease in leases} for leases in claims)
    assert len(first) == 2
    assert not first & second
    assert ids <= first | second


def test_a_renewal_that_comes_too_late_is_left_out(arena: Database) -> None:
    with arena.transaction() as session:
        lost, kept = held(session)[0], held(session)[0]
        Leases(session).renew([kept], now=NOW, duration=timedelta(hours=1))
    taken, renewed = race(
        arena,
        lambda s: Leases(s).take_over("x", now=LATER, duration=MINUTE, limit=1000),
        lambda s: Leases(s).renew([lost, kept], now=LATER, duration=MINUTE),
    )
    assert lost.execution_id in {lease.execution_id for lease in taken}
    assert renewed == [replace(kept, expires_at=LATER + MINUTE)]


def test_of_two_baselines_at_once_one_holds(arena: Database) -> None:
    with arena.transaction() as session:
        customer_id, agent_id = make_customer(session).id, make_agent(session).id

    def establish(session: Session) -> object:
        new = NewBaseline("m", "1", BaselineType.INITIAL, 10, 0.9)
        return QualityBaselines(session).establish(
            new, customer_id=customer_id, agent_id=agent_id, now=NOW
        )

    assert not any(isinstance(o, Exception) for o in race(arena, establish, establish))
    with arena.reading() as session:
        rows = QualityBaselines(session).list_page(customer_id=customer_id).items
    assert sorted(row.valid_until is None for row in rows) == [False, True]


def test_two_who_plan_the_same_effect(arena: Database) -> None:
    with arena.transaction() as session:
        customer, agent, key = make_customer(session), make_agent(session), uuid4().hex
        ids = [
            make_execution(session, customer, agent, status=WorkflowStatus.PENDING).id
            for _ in range(2)
        ]

    def plan(number: int) -> Call:
        steps = [PlannedStep("free"), PlannedStep("s", idempotency_key=key)]
        return lambda s: Steps(s).plan(ids[number], steps, now=NOW)

    won, lost = race(arena, plan(0), plan(1))
    assert len(won) == 2
    assert isinstance(lost, ConflictError)
    with arena.reading() as session:
        assert [len(Steps(session).list_after(id_)) for id_ in ids] == [2, 0]
