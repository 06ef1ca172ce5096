"""Executions under leases, step by step: claimed, renewed, given back, taken over, ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer
from tests.factories.workflow_history import make_execution, make_new_artifact

from optiinfra.database.engine import Role, set_role
from optiinfra.database.models import StepStatus, WorkflowExecution, WorkflowStatus, WorkflowType
from optiinfra.database.repositories import (
    Artifacts,
    Executions,
    Lease,
    Leases,
    PlannedStep,
    Steps,
    Transitions,
)
from optiinfra.database.repositories.steps import MAX_STEPS
from optiinfra.domain.errors import (
    ConflictError,
    ConstraintError,
    InputError,
    NotFoundError,
    StaleFenceError,
)

MINUTE = timedelta(minutes=1)
LATER = NOW + 2 * MINUTE
BOSS = "boss@example.com"


def make_pending(session: Session, **overrides: Any) -> WorkflowExecution:
    values: dict[str, Any] = {
        "type": WorkflowType.SCALING_DECISION,
        "customer_id": make_customer(session).id,
        "agent_id": make_agent(session).id,
        "input_data": {"k": 1},
        "now": NOW,
    }
    return Executions(session).create(**values | overrides)


def claim(session: Session, owner: str = "a") -> Lease:
    (lease,) = Leases(session).claim(owner, now=NOW, duration=MINUTE)
    return lease


def get_statuses(session: Session, lease: Lease) -> list[str]:
    found = Executions(session).get(lease.execution_id)
    return [found.status.value, *(step.status.value for step in found.steps)]


def test_a_worker_carries_an_execution_out(session: Session) -> None:
    created = make_pending(session)
    session.flush()
    set_role(session, role=Role.WORKER, customer_id=None)  # which sees all customers
    lease = claim(session)
    assert (lease.execution_id, lease.owner, lease.fence) == (created.id, "a", 1)
    assert lease.expires_at == NOW + MINUTE
    steps = Steps(session)
    planned = [PlannedStep("observe", idempotency_key="e1"), PlannedStep("scale"), PlannedStep("x")]
    first, second, third = steps.plan(lease.execution_id, planned, now=NOW, lease=lease)
    steps.begin(lease, first, now=NOW)
    steps.complete(lease, first, output_data={"seen": 3}, now=LATER)
    steps.begin(lease, second, now=LATER)
    Artifacts(session).attach(
        lease.execution_id,
        [make_new_artifact(step_name="scale"), make_new_artifact(name="log")],
        step_ids={"scale": second},
        now=LATER,
    )
    with pytest.raises(ConflictError, match="its step 'scale' is running"):
        Executions(session).complete(lease, output_data={}, now=LATER)
    steps.fail(lease, second, error_details={"e": 1}, now=LATER)
    steps.skip(lease, third, now=LATER)
    Executions(session).complete(lease, output_data={"done": True}, now=LATER)
    found = Executions(session).get(lease.execution_id)
    assert get_statuses(session, lease) == ["completed", "completed", "failed", "skipped"]
    assert (found.started_at, found.completed_at, found.version) == (NOW, LATER, 2)
    assert (found.output_data, found.lease_expires_at) == ({"done": True}, None)
    assert [(s.step_order, s.idempotency_key) for s in found.steps][:2] == [(1, "e1"), (2, None)]
    assert [step.output_data for step in found.steps] == [{"seen": 3}, {}, {}]
    assert {a.artifact_name: a.workflow_step_id for a in found.artifacts} == {
        "report": second,
        "log": None,
    }
    assert Transitions(session).verify(lease.execution_id) == 11
    with pytest.raises(ConflictError, match="is completed, not running"):
        steps.begin(lease, third, now=LATER)


def test_work_is_claimed_oldest_first_and_of_the_types_that_were_asked_for(
    session: Session,
) -> None:
    ages = (3, 1, 2)
    ids = [make_pending(session, now=NOW - age * MINUTE).id for age in ages]
    other = make_pending(session, now=NOW - 9 * MINUTE, type=WorkflowType.QUALITY_CHECK)
    leases = Leases(session)
    types = [WorkflowType.SCALING_DECISION]
    oldest = leases.claim("a", now=NOW, duration=MINUTE, types=types)
    assert [lease.execution_id for lease in oldest] == [ids[0]]
    rest = leases.claim("a", now=NOW, duration=MINUTE, limit=10, types=types)
    assert {lease.execution_id for lease in rest} == {ids[1], ids[2]}
    assert claim(session).execution_id == other.id
    assert leases.claim("a", now=NOW, duration=MINUTE) == []


def test_a_lease_is_renewed_until_it_is_lost(session: Session) -> None:
    make_pending(session)
    leases, lease = Leases(session), claim(session)
    (renewed,) = leases.renew([lease], now=NOW + MINUTE, duration=MINUTE)
    assert renewed.expires_at == NOW + 2 * MINUTE
    assert leases.take_over("b", now=LATER - MINUTE / 2, duration=MINUTE) == []
    (taken,) = leases.take_over("b", now=LATER, duration=MINUTE)
    assert (taken.owner, taken.fence) == ("b", 2)
    assert leases.renew([renewed], now=LATER, duration=MINUTE) == []
    assert leases.renew([taken], now=LATER, duration=MINUTE) != []


@pytest.mark.parametrize("owner", ["a", "b"])  # a worker that came back has its name again
def test_an_older_fence_writes_nothing(session: Session, owner: str) -> None:
    execution = make_pending(session)
    (step_id,) = Steps(session).plan(execution.id, [PlannedStep("s")], now=NOW)
    old = claim(session)
    Steps(session).begin(old, step_id, now=NOW)
    (new,) = Leases(session).take_over(owner, now=LATER, duration=MINUTE)
    steps, executions = Steps(session), Executions(session)
    for write in (
        lambda: steps.begin(old, step_id, now=LATER),
        lambda: steps.complete(old, step_id, output_data={}, now=LATER),
        lambda: steps.fail(old, step_id, error_details={}, now=LATER),
        lambda: steps.skip(old, step_id, now=LATER),
        lambda: steps.retry(old, step_id, error_details={}, now=LATER),
        lambda: steps.plan(execution.id, [PlannedStep("t")], now=LATER, lease=old),
        lambda: executions.complete(old, output_data={}, now=LATER),
        lambda: executions.fail(old, error_details={}, now=LATER),
        lambda: Leases(session).release(old, now=LATER),
    ):
        with pytest.raises(StaleFenceError) as caught:
            write()
        assert f"held by {owner} with fence 2, not by a with fence 1" in caught.value.problem
    assert get_statuses(session, new) == ["running", "running"]
    steps.retry(new, step_id, error_details={"worker": "lost"}, now=LATER)
    steps.begin(new, step_id, now=LATER)
    steps.complete(new, step_id, output_data={}, now=LATER)
    executions.complete(new, output_data={}, now=LATER)
    (step,) = steps.list_after(execution.id)
    assert (step.retry_count, step.started_at) == (1, NOW)


def test_what_is_given_back_is_taken_over_at_once(session: Session) -> None:
    make_pending(session)
    leases, lease = Leases(session), claim(session)
    leases.release(lease, now=NOW)
    with pytest.raises(StaleFenceError, match="held by a with fence 2, not by a with fence 1"):
        Executions(session).complete(lease, output_data={}, now=NOW)
    (again,) = leases.take_over("a", now=NOW, duration=MINUTE)
    assert again.fence == 3


def test_a_step_is_tried_again_as_often_as_it_may_be(session: Session) -> None:
    execution = make_pending(session)
    steps = Steps(session)
    (step_id,) = steps.plan(execution.id, [PlannedStep("s", max_retries=2)], now=NOW)
    lease = claim(session)
    for _ in range(2):
        steps.begin(lease, step_id, now=NOW)
        steps.retry(lease, step_id, error_details={"e": 1}, now=NOW)
    steps.begin(lease, step_id, now=NOW)
    with pytest.raises(ConflictError, match="after 2 retries of 2"):
        steps.retry(lease, step_id, error_details={}, now=NOW)
    steps.fail(lease, step_id, error_details={"e": 2}, now=NOW)
    (step,) = steps.list_after(execution.id)
    assert (step.status, step.retry_count) == (StepStatus.FAILED, 2)
    assert step.error_details == {"e": 2}


@pytest.mark.parametrize("how", ["cancel", "time_out", "fail"])
def test_what_is_ended_takes_its_open_steps_along(session: Session, how: str) -> None:
    execution = make_pending(session)
    steps, executions = Steps(session), Executions(session)
    ids = steps.plan(execution.id, [PlannedStep(name) for name in "abcd"], now=NOW)
    lease = claim(session)
    steps.begin(lease, ids[0], now=NOW)
    steps.complete(lease, ids[0], output_data={}, now=NOW)
    steps.begin(lease, ids[1], now=LATER)  # its clock is ahead of who ends it
    steps.begin(lease, ids[2], now=NOW)
    steps.retry(lease, ids[2], error_details={"e": 1}, now=NOW)
    if how == "cancel":
        executions.cancel(execution.id, version=1, by=" Boss@Example.com ", now=NOW + MINUTE)
    elif how == "time_out":
        executions.time_out(execution.id, version=1, error_details={"t": 1}, now=NOW + MINUTE)
    else:
        executions.fail(lease, error_details={"t": 1}, now=NOW + MINUTE)
    status = {"cancel": "cancelled", "time_out": "timeout", "fail": "failed"}[how]
    assert get_statuses(session, lease) == [status, "completed", "failed", "failed", "skipped"]
    found = executions.get(execution.id)
    assert found.error_details == ({"cancelled_by": BOSS} if how == "cancel" else {"t": 1})
    details = [step.error_details for step in found.steps]
    assert details == [None, {"execution": status}, {"e": 1, "execution": status}, None]
    assert [step.completed_at for step in found.steps] == [NOW, LATER, NOW + MINUTE, NOW + MINUTE]
    expected = ConflictError if how == "fail" else StaleFenceError
    with pytest.raises(expected):
        steps.complete(lease, ids[1], output_data={}, now=LATER)


def test_what_nobody_claimed_can_be_cancelled(session: Session) -> None:
    execution = make_pending(session)
    Executions(session).cancel(execution.id, version=0, by=BOSS, now=NOW)
    assert Leases(session).claim("a", now=NOW, duration=MINUTE) == []
    with pytest.raises(ConflictError, match="is cancelled in version 1; from version 0"):
        Executions(session).cancel(execution.id, version=0, by=BOSS, now=NOW)


def test_an_effect_is_planned_once(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    first, second = (
        make_pending(session, customer_id=customer.id, agent_id=agent.id).id for _ in range(2)
    )
    steps = Steps(session)
    steps.plan(first, [PlannedStep("s", idempotency_key="k")], now=NOW)
    with pytest.raises(ConflictError, match="among k was planned"):
        steps.plan(second, [PlannedStep("a"), PlannedStep("s", idempotency_key="k")], now=NOW)
    assert steps.list_after(second) == []
    other = make_pending(session)  # of another customer
    steps.plan(other.id, [PlannedStep("s", idempotency_key="k")], now=NOW)


def test_steps_are_planned_by_who_may(session: Session) -> None:
    execution = make_pending(session)
    steps = Steps(session)
    assert steps.plan(execution.id, [], now=NOW) == []
    claim(session)
    with pytest.raises(ConflictError, match="is running: its steps are planned under its lease"):
        steps.plan(execution.id, [PlannedStep("s")], now=NOW)
    with pytest.raises(NotFoundError):
        steps.plan(uuid4(), [PlannedStep("s")], now=NOW)
    with pytest.raises(InputError, match="would have 1001 steps"):
        steps.plan(make_pending(session).id, [PlannedStep("s")] * (MAX_STEPS + 1), now=NOW)


def test_steps_are_read_in_order_and_bounded(session: Session) -> None:
    execution = make_pending(session)
    steps = Steps(session)
    steps.plan(execution.id, [PlannedStep(name) for name in "abc"], now=NOW)
    assert [s.step_name for s in steps.list_after(execution.id, order=1, limit=1)] == ["b"]
    assert len(steps.list_after(execution.id, limit=0)) == 1
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = steps.list_after(execution.id)[0].execution


def test_artifacts_come_in_pages(session: Session) -> None:
    execution = make_pending(session)
    (step_id,) = Steps(session).plan(execution.id, [PlannedStep("s")], now=NOW)
    artifacts = Artifacts(session)
    artifacts.attach(execution.id, [make_new_artifact(name=name) for name in "abc"], now=NOW)
    own = make_new_artifact(name="d", step_name="s")
    artifacts.attach(execution.id, [own], step_ids={"s": step_id}, now=NOW)
    page = artifacts.list_page(execution_id=execution.id, limit=3)
    assert len(page.items) == 3
    rest = artifacts.list_page(execution_id=execution.id, after=page.next_cursor)
    assert len({row.id for row in (*page.items, *rest.items)}) == 4
    narrowed = artifacts.list_page(execution_id=execution.id, step_id=step_id)
    assert [row.artifact_name for row in narrowed.items] == ["d"]


def test_executions_come_in_pages(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for number in range(3):
        make_execution(session, customer, agent, created_at=NOW + number * MINUTE)
    make_pending(session)
    executions = Executions(session)
    page = executions.list_page(customer_id=customer.id, limit=2)
    assert [row.created_at for row in page.items] == [NOW + 2 * MINUTE, NOW + MINUTE]
    rest = executions.list_page(customer_id=customer.id, after=page.next_cursor)
    assert [row.created_at for row in rest.items] == [NOW]
    narrowed = executions.list_page(
        customer_id=customer.id, status=WorkflowStatus.RUNNING, type=WorkflowType.HEALTH_CHECK
    )
    assert narrowed.items == ()
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = rest.items[0].steps


def test_what_is_not_there(session: Session) -> None:
    nobody = Lease(uuid4(), uuid4(), "a", 1, None)
    make_pending(session)
    lease = claim(session)
    calls: list[Callable[[], None]] = [
        lambda: Executions(session).complete(nobody, output_data={}, now=NOW),
        lambda: Executions(session).cancel(uuid4(), version=0, by=BOSS, now=NOW),
        lambda: Steps(session).begin(lease, uuid4(), now=NOW),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_what_a_lease_cannot_be(session: Session) -> None:
    leases = Leases(session)
    for duration in (timedelta(0), timedelta(days=2)):
        with pytest.raises(InputError, match="A lease of"):
            leases.claim("a", now=NOW, duration=duration)
    for limit in (0, 1001):
        with pytest.raises(InputError, match="cannot be held at once"):
            leases.claim("a", now=NOW, duration=MINUTE, limit=limit)
    for owner in ("", "x" * 256, "a\0"):
        with pytest.raises(ConstraintError) as caught:
            leases.claim(owner, now=NOW, duration=MINUTE)
        assert (caught.value.table, caught.value.column) == ("workflow_executions", "lease_owner")


def test_a_step_that_cannot_be_stored_is_not_planned() -> None:
    bad: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "x", "max_retries": -1},
        {"name": "x" * 256},
    ]
    for values in bad:
        with pytest.raises(ConstraintError) as caught:
            PlannedStep(**values)
        assert caught.value.table == "workflow_steps"
