"""Leases on executions: a worker claims one, keeps it alive, and gives it back or loses it.

A lease carries a fence, a number that grows with each lease of the execution. What is written under
a lease is compared with the fence in the row, so that a worker who was thought dead and whose
execution another took over writes nothing any more, however late it wakes up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import CTE, BigInteger, ColumnElement, Select, Text, Uuid, select, update
from sqlalchemy.orm import Session

from optiinfra.database.checked_rows import check_values, require_text, require_utc
from optiinfra.database.models import WorkflowExecution, WorkflowStatus, WorkflowType
from optiinfra.database.repositories.arrays import unnest
from optiinfra.domain.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    StaleFenceError,
)
from optiinfra.domain.lifecycles import WORKFLOW

MAX_CLAIM: Final = 1000
MAX_LEASE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to carry out an execution. Without an owner: whoever started it, in one process."""

    execution_id: UUID
    customer_id: UUID
    owner: str | None
    fence: int
    expires_at: datetime | None


class Leases:
    """Claims, renewals and returns; as Role.WORKER, of all customers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def claim(
        self,
        owner: str,
        *,
        now: datetime,
        duration: timedelta,
        limit: int = 1,
        types: Collection[WorkflowType] | None = None,
    ) -> list[Lease]:
        """Pending executions, oldest first, now running under leases of `owner`; at most 1,000.

        What another session is claiming is passed over.
        """
        WORKFLOW.check(source=WORKFLOW.initial, target=WorkflowStatus.RUNNING)
        due = select(WorkflowExecution.id).where(WorkflowExecution.status == WORKFLOW.initial)
        if types is not None:
            due = due.where(WorkflowExecution.workflow_type.in_(types))
        begun_at = require_utc(WorkflowExecution.started_at, now)
        values = {
            "status": WorkflowStatus.RUNNING,
            "version": WorkflowExecution.version + 1,
            "started_at": begun_at,
        }
        return self._take(due, owner, now=begun_at, duration=duration, limit=limit, **values)

    def take_over(
        self, owner: str, *, now: datetime, duration: timedelta, limit: int = 1
    ) -> list[Lease]:
        """Running executions whose lease has ended, under new leases of `owner`; at most 1,000."""
        ended_by = require_utc(WorkflowExecution.lease_expires_at, now)
        due = select(WorkflowExecution.id).where(
            WorkflowExecution.status == WorkflowStatus.RUNNING,
            WorkflowExecution.lease_expires_at <= ended_by,
        )
        return self._take(due, owner, now=ended_by, duration=duration, limit=limit)

    def renew(self, leases: Sequence[Lease], *, now: datetime, duration: timedelta) -> list[Lease]:
        """The leases that are still held, each for `duration` from now; the others are lost.

        All in one statement; at most 1,000.
        """
        expires_at = self._compute_end(now, duration)
        _check_number(len(leases))
        held = select(
            unnest([lease.execution_id for lease in leases], Uuid).label("id"),
            unnest([lease.owner for lease in leases], Text).label("owner"),
            unnest([lease.fence for lease in leases], BigInteger).label("fence"),
        ).subquery()
        rows = self._session.execute(
            update(WorkflowExecution)
            .where(
                WorkflowExecution.id == held.c.id,
                WorkflowExecution.lease_owner == held.c.owner,
                WorkflowExecution.fence == held.c.fence,
                WorkflowExecution.status == WorkflowStatus.RUNNING,
            )
            .values(lease_expires_at=expires_at)
            .returning(*_COLUMNS)
            .execution_options(synchronize_session=False)
        )
        return [Lease(*row) for row in rows]

    def release(self, lease: Lease, *, now: datetime) -> None:
        """Give the execution back while it runs: whoever comes next may take it over at once.

        The fence grows, so that the lease is worth nothing from here on.
        """
        released_at = require_utc(WorkflowExecution.lease_expires_at, now)
        swapped = self._session.scalar(
            update(WorkflowExecution)
            .where(*is_held(lease))
            .values(
                lease_expires_at=released_at,
                fence=WorkflowExecution.fence + 1,
                updated_at=released_at,
            )
            .returning(WorkflowExecution.id)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            raise_lost(self._session, lease)

    def _take(
        self,
        due: Select[UUID],
        owner: str,
        *,
        now: datetime,
        duration: timedelta,
        limit: int,
        **values: Any,
    ) -> list[Lease]:
        _check_number(limit)
        check_values(WorkflowExecution, {"lease_owner": owner})
        require_text(WorkflowExecution.lease_owner, owner)
        found: CTE = (
            due.order_by(WorkflowExecution.created_at, WorkflowExecution.id)
            .limit(limit)
            .with_for_update(skip_locked=True, key_share=True)
            .cte("due")
        )
        rows = self._session.execute(
            update(WorkflowExecution)
            .where(WorkflowExecution.id == found.c.id)
            .values(
                lease_owner=owner,
                lease_expires_at=self._compute_end(now, duration),
                fence=WorkflowExecution.fence + 1,
                updated_at=now,
                **values,
            )
            .returning(*_COLUMNS)
            .execution_options(synchronize_session=False)
        )
        return [Lease(*row) for row in rows]

    def _compute_end(self, now: datetime, duration: timedelta) -> datetime:
        if not timedelta(0) < duration <= MAX_LEASE:
            raise InputError(
                f"A lease of {duration} is none, or longer than {MAX_LEASE}.",
                remedy="Take a short one and renew it.",
                field="duration",
            )
        return require_utc(WorkflowExecution.lease_expires_at, now) + duration


_COLUMNS = (
    WorkflowExecution.id,
    WorkflowExecution.customer_id,
    WorkflowExecution.lease_owner,
    WorkflowExecution.fence,
    WorkflowExecution.lease_expires_at,
)


def is_held(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    """Conditions on an execution: it runs, and under this very lease."""
    return (
        WorkflowExecution.id == lease.execution_id,
        WorkflowExecution.status == WorkflowStatus.RUNNING,
        WorkflowExecution.fence == lease.fence,
        WorkflowExecution.lease_owner.is_not_distinct_from(lease.owner),
    )


def lock(session: Session, lease: Lease) -> None:
    """Hold the execution's row until the transaction ends; raises where the lease is lost.

    A step is read and changed behind this lock, since a take-over waits for it. Looking at the
    fence in the same statement as changing the step would not do: it would see the row as it was
    before a take-over that is just being committed.
    """
    query = select(WorkflowExecution.id).where(*is_held(lease)).with_for_update(key_share=True)
    if session.scalar(query) is None:
        raise_lost(session, lease)


def raise_lost(session: Session, lease: Lease) -> NoReturn:
    """Say why nothing was written under the lease."""
    query = select(
        WorkflowExecution.status, WorkflowExecution.fence, WorkflowExecution.lease_owner
    ).where(WorkflowExecution.id == lease.execution_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFoundError(
            f"There is no workflow execution {lease.execution_id}.", remedy="Check its id."
        )
    status, fence, owner = found
    is_open = status is WorkflowStatus.RUNNING
    if fence != lease.fence or (is_open and owner != lease.owner):
        raise StaleFenceError(
            f"Workflow execution {lease.execution_id} is {status.value} and held by"
            f" {owner or 'nobody'} with fence {fence}, not by {lease.owner or 'nobody'} with fence"
            f" {lease.fence}.",
            remedy="Nothing was changed. Stop working on it: it is in other hands.",
        )
    raise ConflictError(
        f"Workflow execution {lease.execution_id} is {status.value}, not running.",
        remedy="Nothing was changed; look at what ended it.",
    )


def _check_number(number: int) -> None:
    if not 0 < number <= MAX_CLAIM:
        raise InputError(
            f"{number} executions cannot be held at once.",
            remedy=f"Take 1 to {MAX_CLAIM}.",
            field="limit",
        )
