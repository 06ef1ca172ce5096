"""The history of workflow states: read, and checked to be whole and unchanged."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from optiinfra.database.models import WorkflowStateTransition
from optiinfra.domain.errors import ConflictError

START = bytes(32)
MAX_TRANSITIONS = 1000
_SEPARATOR = "\x1f"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Transitions:
    """Every query on workflow_state_transitions; triggers write it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_after(
        self, execution_id: UUID, *, seq: int = 0, limit: int = MAX_TRANSITIONS
    ) -> list[WorkflowStateTransition]:
        """What became of an execution and its steps behind that number, in order."""
        query = (
            select(WorkflowStateTransition)
            .where(
                WorkflowStateTransition.execution_id == execution_id,
                WorkflowStateTransition.seq > seq,
            )
            .order_by(WorkflowStateTransition.seq)
            .limit(max(1, min(limit, MAX_TRANSITIONS)))
        )
        return list(self._session.scalars(query))

    def verify(self, execution_id: UUID) -> int:
        """How many rows the chain has; ConflictError where one is missing or was changed."""
        before, num_rows = START, 0
        while rows := self.list_after(execution_id, seq=num_rows):
            for row in rows:
                num_rows += 1
                is_next = row.seq == num_rows and row.prev_hash == before
                if not is_next or row.hash != compute_hash(row):
                    raise ConflictError(
                        f"The history of workflow execution {execution_id} was altered: transition"
                        f" {num_rows} is missing or is not what was written.",
                        remedy="Restore it from a backup; find out who wrote past the triggers.",
                    )
                before = row.hash
        return num_rows


def compute_hash(row: WorkflowStateTransition) -> bytes:
    """As hash_workflow_transition() of revision 014 computes it."""
    occurred_us = (row.occurred_at - _EPOCH) // (datetime.resolution)
    parts = (
        row.customer_id,
        row.execution_id,
        row.step_id or "",
        row.seq,
        row.old_status or "",
        row.new_status,
        row.fence,
        row.lease_owner or "",
        row.changed_by,
        occurred_us,
    )
    text = _SEPARATOR.join(str(part) for part in parts)
    return hashlib.sha256(row.prev_hash + text.encode()).digest()
