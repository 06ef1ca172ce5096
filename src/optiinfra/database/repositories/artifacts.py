"""The artifacts' table: what executions and steps left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import WorkflowArtifact
from optiinfra.database.repositories.new_rows import DIGEST_NOTE, NewArtifact
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page


class Artifacts:
    """Every query on workflow_artifacts."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def attach(
        self,
        execution_id: UUID,
        artifacts: Sequence[NewArtifact],
        *,
        now: datetime,
        step_ids: Mapping[str, UUID] | None = None,
    ) -> list[UUID]:
        """Append what an execution left behind; their ids in order.

        An artifact that names a step belongs to that one of `step_ids`, and else to the execution.
        """
        made_at = require_utc(WorkflowArtifact.created_at, now)
        rows = [
            WorkflowArtifact(
                workflow_execution_id=execution_id,
                workflow_step_id=None if new.step_name is None else (step_ids or {})[new.step_name],
                artifact_type=new.type,
                artifact_name=new.name,
                artifact_path=new.path,
                artifact_size_bytes=new.size_bytes,
                content_type=new.content_type,
                artifact_metadata={DIGEST_NOTE: new.sha256},
                created_at=made_at,
                updated_at=made_at,
            )
            for new in artifacts
        ]
        self._session.add_all(rows)
        self._session.flush()
        return [row.id for row in rows]

    def list_page(
        self,
        *,
        execution_id: UUID,
        step_id: UUID | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[WorkflowArtifact]:
        """The artifacts of an execution, or of one of its steps, in order of time."""
        query = select(WorkflowArtifact).where(
            WorkflowArtifact.workflow_execution_id == execution_id
        )
        if step_id is not None:
            query = query.where(WorkflowArtifact.workflow_step_id == step_id)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=WorkflowArtifact.created_at,
            id=WorkflowArtifact.id,
            after=after,
            limit=limit,
            is_earliest_first=True,
        )
