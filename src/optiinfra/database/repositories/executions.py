"""The executions of workflows: made, ended, and read. Their leases are in leases.py.

Every change of status is one compare-and-set. Triggers append it to workflow_state_transitions in
the same transaction: that is its event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import case, cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, raiseload, selectinload

from optiinfra.database.checked_rows import add_row, check_values, require_utc
from optiinfra.database.models import (
    StepStatus,
    WorkflowExecution,
    WorkflowStatus,
    WorkflowStep,
    WorkflowType,
)
from optiinfra.database.repositories.email_address import parse_email
from optiinfra.database.repositories.leases import Lease, is_held, lock
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.errors import ConflictError, NotFoundError
from optiinfra.domain.lifecycles import STEP, WORKFLOW

# What becomes of a step that is open when its execution ends before it.
_CLOSED = {
    StepStatus.PENDING: StepStatus.SKIPPED,
    StepStatus.RUNNING: StepStatus.FAILED,
    StepStatus.RETRYING: StepStatus.FAILED,
}


class Executions:
    """Every query on workflow_executions but those on leases."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(
        self,
        *,
        type: WorkflowType,  # noqa: A002 - the column's word
        customer_id: UUID,
        agent_id: UUID,
        input_data: dict[str, Any],
        now: datetime,
    ) -> WorkflowExecution:
        """A pending execution, for a worker to claim."""
        created_at = require_utc(WorkflowExecution.created_at, now)
        return add_row(
            self._session,
            WorkflowExecution,
            customer_id=customer_id,
            agent_id=agent_id,
            workflow_type=type,
            status=WORKFLOW.initial,
            input_data=input_data,
            created_at=created_at,
            updated_at=created_at,
        )

    def start(
        self,
        *,
        type: WorkflowType,  # noqa: A002
        customer_id: UUID,
        agent_id: UUID,
        input_data: dict[str, Any],
        now: datetime,
    ) -> Lease:
        """A running execution that no worker may claim, for what is done in this transaction."""
        WORKFLOW.check(source=WORKFLOW.initial, target=WorkflowStatus.RUNNING)
        started_at = require_utc(WorkflowExecution.started_at, now)
        row = self.create(
            type=type,
            customer_id=customer_id,
            agent_id=agent_id,
            input_data=input_data,
            now=started_at,
        )
        row.status, row.started_at = WorkflowStatus.RUNNING, started_at
        row.version += 1
        self._session.flush()
        return Lease(row.id, customer_id, owner=None, fence=0, expires_at=None)

    def complete(self, lease: Lease, *, output_data: dict[str, Any], now: datetime) -> None:
        """Running to completed, with the result. ConflictError while a step is open."""
        target = WorkflowStatus.COMPLETED
        self._end(lease, target, output_data=output_data, now=now)

    def fail(self, lease: Lease, *, error_details: dict[str, Any], now: datetime) -> None:
        """Running to failed; steps that had not begun are skipped, others fail with it."""
        self._end(lease, WorkflowStatus.FAILED, error_details=error_details, now=now)

    def cancel(self, execution_id: UUID, *, version: int, by: str, now: datetime) -> None:
        """Pending or running to cancelled, by a person who saw `version`.

        `by` is an email address. Whoever ran the execution has lost it.
        """
        self._stop(
            execution_id,
            WorkflowStatus.CANCELLED,
            version=version,
            error_details={"cancelled_by": parse_email(by, field="by")},
            now=now,
        )

    def time_out(
        self, execution_id: UUID, *, version: int, error_details: dict[str, Any], now: datetime
    ) -> None:
        """Running to timeout, by who watches over it; whoever ran it has lost it."""
        self._stop(
            execution_id,
            WorkflowStatus.TIMEOUT,
            version=version,
            error_details=error_details,
            now=now,
        )

    def get(self, execution_id: UUID) -> WorkflowExecution:
        """One execution with its steps and artifacts loaded, as it is stored now."""
        query = (
            select(WorkflowExecution)
            .where(WorkflowExecution.id == execution_id)
            .options(
                selectinload(WorkflowExecution.steps).raiseload("*"),
                selectinload(WorkflowExecution.artifacts).raiseload("*"),
                raiseload("*"),
            )
            .execution_options(populate_existing=True)
        )
        found = self._session.scalars(query).one_or_none()
        if found is None:
            raise _make_missing(execution_id)
        return found

    def list_page(
        self,
        *,
        customer_id: UUID,
        type: WorkflowType | None = None,  # noqa: A002
        status: WorkflowStatus | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[WorkflowExecution]:
        """A customer's executions, latest first, without their steps."""
        query = select(WorkflowExecution).where(WorkflowExecution.customer_id == customer_id)
        if type is not None:
            query = query.where(WorkflowExecution.workflow_type == type)
        if status is not None:
            query = query.where(WorkflowExecution.status == status)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=WorkflowExecution.created_at,
            id=WorkflowExecution.id,
            after=after,
            limit=limit,
        )

    def _end(self, lease: Lease, target: WorkflowStatus, *, now: datetime, **values: Any) -> None:
        """By who runs it."""
        WORKFLOW.check(source=WorkflowStatus.RUNNING, target=target)
        check_values(WorkflowExecution, values)
        ended_at = require_utc(WorkflowExecution.completed_at, now)
        # Its steps change under the same lock, so that none of them can open after it was counted.
        lock(self._session, lease)
        if target is WorkflowStatus.COMPLETED:
            self._refuse_open_steps(lease.execution_id)
        self._session.scalars(
            update(WorkflowExecution)
            .where(*is_held(lease))
            .values(**_make_end(target, ended_at), **values)
            .returning(WorkflowExecution.id)
            .execution_options(synchronize_session=False)
        ).one()
        if target is not WorkflowStatus.COMPLETED:
            self._close_steps(lease.execution_id, target, now=ended_at)

    def _stop(
        self,
        execution_id: UUID,
        target: WorkflowStatus,
        *,
        version: int,
        error_details: dict[str, Any],
        now: datetime,
    ) -> None:
        """By somebody else, who saw that version. The fence grows: the lease is worth nothing."""
        check_values(WorkflowExecution, {"version": version, "error_details": error_details})
        ended_at = require_utc(WorkflowExecution.completed_at, now)
        swapped = self._session.scalar(
            update(WorkflowExecution)
            .where(
                WorkflowExecution.id == execution_id,
                WorkflowExecution.version == version,
                WorkflowExecution.status.in_(WORKFLOW.list_sources(target)),
            )
            .values(
                **_make_end(target, ended_at),
                error_details=error_details,
                fence=WorkflowExecution.fence + 1,
            )
            .returning(WorkflowExecution.id)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            self._raise_conflict(execution_id, target, version)
        self._close_steps(execution_id, target, now=ended_at)

    def _close_steps(self, execution_id: UUID, ended: WorkflowStatus, *, now: datetime) -> None:
        for source, target in _CLOSED.items():
            STEP.check(source=source, target=target)
        status, details = WorkflowStep.status, WorkflowStep.error_details
        closed = [
            (status == source, cast(target, status.type)) for source, target in _CLOSED.items()
        ]
        reason = func.coalesce(details, cast({}, JSONB)).concat(cast({"execution": ended}, JSONB))
        self._session.execute(
            update(WorkflowStep)
            .where(
                WorkflowStep.workflow_execution_id == execution_id,
                WorkflowStep.status.in_(tuple(_CLOSED)),
            )
            .values(
                status=case(*closed),
                error_details=case((status != STEP.initial, reason)),
                completed_at=func.greatest(WorkflowStep.started_at, now),
                updated_at=now,
            )
            .execution_options(synchronize_session=False)
        )

    def _refuse_open_steps(self, execution_id: UUID) -> None:
        query = (
            select(WorkflowStep.step_name, WorkflowStep.status)
            .where(
                WorkflowStep.workflow_execution_id == execution_id,
                WorkflowStep.status.in_(tuple(_CLOSED)),
            )
            .order_by(WorkflowStep.step_order)
            .limit(1)
        )
        found = self._session.execute(query).one_or_none()
        if found is not None:
            raise ConflictError(
                f"Workflow execution {execution_id} cannot be completed: its step"
                f" {found.step_name!r} is {found.status.value}.",
                remedy="Nothing was changed; end the step first.",
            )

    def _raise_conflict(self, execution_id: UUID, target: WorkflowStatus, version: int) -> NoReturn:
        query = select(WorkflowExecution.status, WorkflowExecution.version)
        found = self._session.execute(
            query.where(WorkflowExecution.id == execution_id)
        ).one_or_none()
        if found is None:
            raise _make_missing(execution_id)
        raise ConflictError(
            f"Workflow execution {execution_id} is {found.status.value} in version {found.version};"
            f" from version {version} it does not become {target.value}.",
            remedy="Nothing was changed; read it again and decide anew.",
        )


def _make_end(target: WorkflowStatus, ended_at: datetime) -> dict[str, Any]:
    return {
        "status": target,
        "version": WorkflowExecution.version + 1,
        "completed_at": ended_at,
        "updated_at": ended_at,
        "lease_owner": None,
        "lease_expires_at": None,
    }


def _make_missing(execution_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no workflow execution {execution_id}.", remedy="Check its id.")
