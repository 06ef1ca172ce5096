"""The steps of executions: planned, begun, ended, tried again.

Every change is a compare-and-set under the lease of the execution, whose row is locked first:
database triggers append it to workflow_state_transitions in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_text, require_utc
from optiinfra.database.models import (
    StepStatus,
    WorkflowExecution,
    WorkflowStep,
)
from optiinfra.database.repositories.conflicts import conflict_of
from optiinfra.database.repositories.leases import Lease, lock
from optiinfra.database.repositories.new_rows import NewStep
from optiinfra.domain.errors import ConflictError, InputError, NotFoundError
from optiinfra.domain.lifecycles import STEP, WORKFLOW

MAX_STEPS: Final = 1000  # of one execution
MAX_RETRIES: Final = 3


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step to be done. Its effects carry the idempotency key, unique within the customer."""

    name: str
    idempotency_key: str | None = None
    input_data: dict[str, Any] = field(default_factory=dict)
    max_retries: int = MAX_RETRIES

    def __post_init__(self) -> None:
        check_values(
            WorkflowStep,
            {
                "step_name": self.name,
                "idempotency_key": self.idempotency_key,
                "input_data": self.input_data,
                "max_retries": self.max_retries,
            },
        )
        require_text(WorkflowStep.step_name, self.name)


class Steps:
    """Every query on workflow_steps."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def plan(
        self,
        execution_id: UUID,
        steps: Sequence[PlannedStep],
        *,
        now: datetime,
        lease: Lease | None = None,
    ) -> list[UUID]:
        """Append pending steps; their ids in order. Once the execution runs, under its lease.

        Raises ConflictError where an idempotency key is used already.
        """
        planned_at = require_utc(WorkflowStep.created_at, now)
        if lease is not None:
            lock(self._session, lease)
        else:
            self._lock_pending(execution_id)
        last = self._find_last_order(execution_id, num_more=len(steps))
        rows = [
            WorkflowStep(
                workflow_execution_id=execution_id,
                step_name=step.name,
                step_order=order,
                status=STEP.initial,
                input_data=step.input_data,
                max_retries=step.max_retries,
                idempotency_key=step.idempotency_key,
                created_at=planned_at,
                updated_at=planned_at,
            )
            for order, step in enumerate(steps, start=last + 1)
        ]
        keys = ", ".join(step.idempotency_key for step in steps if step.idempotency_key)
        with conflict_of(
            self._session,
            "uq_workflow_step_idempotency",
            problem=f"A step with an idempotency key among {keys[:200]} was planned before.",
            remedy="No step was written; look up what became of that one.",
        ):
            self._session.add_all(rows)
            self._session.flush()
        return [row.id for row in rows]

    def record_done(self, lease: Lease, steps: Sequence[NewStep]) -> dict[str, UUID]:
        """Append steps that were done, counted from 1; their ids by name."""
        lock(self._session, lease)
        rows = [
            WorkflowStep(
                workflow_execution_id=lease.execution_id,
                step_name=step.name,
                step_order=order,
                status=STEP.initial,
                input_data=step.input_data,
                created_at=step.started_at,
                updated_at=step.completed_at,
            )
            for order, step in enumerate(steps, start=1)
        ]
        self._session.add_all(rows)
        self._session.flush()
        # One after the other, as if they had been watched: the history holds each change.
        for row, step in zip(rows, steps, strict=True):
            STEP.check(source=row.status, target=StepStatus.RUNNING)
            row.status, row.started_at = StepStatus.RUNNING, step.started_at
            row.updated_at = step.completed_at
        self._session.flush()
        for row, step in zip(rows, steps, strict=True):
            STEP.check(source=row.status, target=StepStatus.COMPLETED)
            row.status, row.completed_at = StepStatus.COMPLETED, step.completed_at
            row.output_data, row.updated_at = step.output_data, step.completed_at
        self._session.flush()
        return {row.step_name: row.id for row in rows}

    def begin(self, lease: Lease, step_id: UUID, *, now: datetime) -> None:
        """Pending or retrying to running."""
        begun_at = require_utc(WorkflowStep.started_at, now)
        first = func.coalesce(WorkflowStep.started_at, begun_at)
        self._change(lease, step_id, StepStatus.RUNNING, now=begun_at, started_at=first)

    def complete(
        self, lease: Lease, step_id: UUID, *, output_data: dict[str, Any], now: datetime
    ) -> None:
        """Running to completed, with the result."""
        ended_at = require_utc(WorkflowStep.completed_at, now)
        self._change(
            lease,
            step_id,
            StepStatus.COMPLETED,
            now=ended_at,
            completed_at=ended_at,
            output_data=output_data,
        )

    def fail(
        self, lease: Lease, step_id: UUID, *, error_details: dict[str, Any], now: datetime
    ) -> None:
        """Running or retrying to failed, for good."""
        ended_at = require_utc(WorkflowStep.completed_at, now)
        self._change(
            lease,
            step_id,
            StepStatus.FAILED,
            now=ended_at,
            completed_at=ended_at,
            error_details=error_details,
        )

    def skip(self, lease: Lease, step_id: UUID, *, now: datetime) -> None:
        """Pending to skipped: it is not needed."""
        ended_at = require_utc(WorkflowStep.completed_at, now)
        self._change(lease, step_id, StepStatus.SKIPPED, now=ended_at, completed_at=ended_at)

    def retry(
        self, lease: Lease, step_id: UUID, *, error_details: dict[str, Any], now: datetime
    ) -> None:
        """Running to retrying, with what went wrong; ConflictError when its retries are used up.

        Whoever takes an execution over does this with the step that it finds running.
        """
        failed_at = require_utc(WorkflowStep.updated_at, now)
        self._change(
            lease,
            step_id,
            StepStatus.RETRYING,
            now=failed_at,
            retry_count=WorkflowStep.retry_count + 1,
            error_details=error_details,
        )

    def list_after(
        self, execution_id: UUID, *, order: int = 0, limit: int = MAX_STEPS
    ) -> list[WorkflowStep]:
        """The steps of an execution behind that `step_order`, in order."""
        query = (
            select(WorkflowStep)
            .where(
                WorkflowStep.workflow_execution_id == execution_id, WorkflowStep.step_order > order
            )
            .order_by(WorkflowStep.step_order)
            .limit(max(1, min(limit, MAX_STEPS)))
            .options(raiseload("*"))
            .execution_options(populate_existing=True)
        )
        return list(self._session.scalars(query))

    def _change(
        self, lease: Lease, step_id: UUID, target: StepStatus, *, now: datetime, **values: Any
    ) -> None:
        check_values(WorkflowStep, values)
        lock(self._session, lease)
        conditions = [
            WorkflowStep.id == step_id,
            WorkflowStep.workflow_execution_id == lease.execution_id,
            WorkflowStep.status.in_(STEP.list_sources(target)),
        ]
        if target is StepStatus.RETRYING:
            conditions.append(WorkflowStep.retry_count < WorkflowStep.max_retries)
        swapped = self._session.scalar(
            update(WorkflowStep)
            .where(*conditions)
            .values(status=target, updated_at=now, **values)
            .returning(WorkflowStep.id)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            self._raise_conflict(lease, step_id, target)

    def _raise_conflict(self, lease: Lease, step_id: UUID, target: StepStatus) -> NoReturn:
        query = select(
            WorkflowStep.step_name,
            WorkflowStep.status,
            WorkflowStep.retry_count,
            WorkflowStep.max_retries,
        ).where(
            WorkflowStep.id == step_id, WorkflowStep.workflow_execution_id == lease.execution_id
        )
        found = self._session.execute(query).one_or_none()
        if found is None:
            raise NotFoundError(
                f"Workflow execution {lease.execution_id} has no step {step_id}.",
                remedy="Check its id.",
            )
        name, status, num_retries, most = found
        problem = f"Step {name!r} is {status.value} and does not become {target.value}"
        if STEP.allows(source=status, target=target):
            problem += f" after {num_retries} retries of {most}"
        raise ConflictError(f"{problem}.", remedy="Nothing was changed; look at what ended it.")

    def _lock_pending(self, execution_id: UUID) -> None:
        """The row of an execution that nobody has claimed."""
        query = select(WorkflowExecution.status).where(WorkflowExecution.id == execution_id)
        status = self._session.scalar(query.with_for_update(key_share=True))
        if status is None:
            raise NotFoundError(
                f"There is no workflow execution {execution_id}.", remedy="Check its id."
            )
        if status is not WORKFLOW.initial:
            raise ConflictError(
                f"Workflow execution {execution_id} is {status.value}: its steps are planned under"
                " its lease.",
                remedy="Nothing was written; claim the execution.",
            )

    def _find_last_order(self, execution_id: UUID, *, num_more: int) -> int:
        query = select(func.coalesce(func.max(WorkflowStep.step_order), 0))
        last = self._session.scalars(
            query.where(WorkflowStep.workflow_execution_id == execution_id)
        ).one()
        if last + num_more > MAX_STEPS:
            raise InputError(
                f"Workflow execution {execution_id} would have {last + num_more} steps.",
                remedy=f"Plan at most {MAX_STEPS}.",
                field="steps",
            )
        return last
