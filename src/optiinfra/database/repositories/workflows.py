"""The tables of workflow history, and a finished analysis written to them whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload, selectinload

from optiinfra.database.models import (
    Agent,
    Customer,
    StepStatus,
    WorkflowArtifact,
    WorkflowExecution,
    WorkflowStatus,
    WorkflowStep,
    WorkflowType,
)
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import NewArtifact, NewRecommendation, NewStep
from optiinfra.database.repositories.recommendations import Recommendations
from optiinfra.database.repositories.turns import take_turn
from optiinfra.domain.errors import ConflictError, NotFoundError
from optiinfra.domain.lifecycles import STEP, WORKFLOW
from optiinfra.kit.time import require_utc

RECOMMENDATIONS_KEY = "recommendation_ids"  # in output_data: all proposals, old and new
DIGEST_NOTE = "sha256"  # in an artifact's metadata


@dataclass(frozen=True, slots=True)
class RecordedRecommendation:
    """Where a proposal is stored; not new where an open one with the same evidence was there."""

    id: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class RecordedAnalysis:
    """Where an analysis is stored, with its proposals in the order in which they were given."""

    execution_id: UUID
    recommendations: tuple[RecordedRecommendation, ...]


class Workflows:
    """Every query on executions, steps and artifacts."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def start(
        self,
        *,
        type: WorkflowType,  # noqa: A002 - the column's word
        customer_id: UUID,
        agent_id: UUID,
        input_data: dict[str, Any],
        now: datetime,
    ) -> WorkflowExecution:
        """A running execution."""
        WORKFLOW.check(source=WORKFLOW.initial, target=WorkflowStatus.RUNNING)
        started_at = require_utc(now)
        execution = WorkflowExecution(
            customer_id=customer_id,
            agent_id=agent_id,
            workflow_type=type,
            status=WorkflowStatus.RUNNING,
            started_at=started_at,
            input_data=input_data,
            created_at=started_at,
            updated_at=started_at,
        )
        self._session.add(execution)
        self._session.flush()
        return execution

    def record_steps(self, execution_id: UUID, steps: Sequence[NewStep]) -> dict[str, UUID]:
        """Append completed steps, counted from 1; their ids by name."""
        STEP.check(source=STEP.initial, target=StepStatus.RUNNING)
        STEP.check(source=StepStatus.RUNNING, target=StepStatus.COMPLETED)
        rows = [
            WorkflowStep(
                workflow_execution_id=execution_id,
                step_name=step.name,
                step_order=order,
                status=StepStatus.COMPLETED,
                started_at=require_utc(step.started_at),
                completed_at=require_utc(step.completed_at),
                input_data=step.input_data,
                output_data=step.output_data,
                created_at=require_utc(step.started_at),
                updated_at=require_utc(step.completed_at),
            )
            for order, step in enumerate(steps, start=1)
        ]
        self._session.add_all(rows)
        self._session.flush()
        return {row.step_name: row.id for row in rows}

    def record_artifacts(
        self,
        execution_id: UUID,
        artifacts: Sequence[NewArtifact],
        *,
        step_ids: dict[str, UUID],
        now: datetime,
    ) -> None:
        """Append what the execution left behind."""
        made_at = require_utc(now)
        self._session.add_all(
            WorkflowArtifact(
                workflow_execution_id=execution_id,
                workflow_step_id=None if new.step_name is None else step_ids[new.step_name],
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
        )
        self._session.flush()

    def mark_completed(
        self, execution_id: UUID, *, output_data: dict[str, Any], now: datetime
    ) -> None:
        """Running to completed, with the result; ConflictError where it no longer runs."""
        WORKFLOW.check(source=WorkflowStatus.RUNNING, target=WorkflowStatus.COMPLETED)
        completed_at = require_utc(now)
        swapped = self._session.execute(
            update(WorkflowExecution)
            .where(
                WorkflowExecution.id == execution_id,
                WorkflowExecution.status == WorkflowStatus.RUNNING,
            )
            .values(
                status=WorkflowStatus.COMPLETED,
                version=WorkflowExecution.version + 1,
                completed_at=completed_at,
                updated_at=completed_at,
                output_data=output_data,
            )
            .returning(WorkflowExecution.id)
            .execution_options(synchronize_session=False)
        )
        if swapped.scalar_one_or_none() is None:
            raise ConflictError(
                f"Workflow execution {execution_id} is not running.",
                remedy="Nothing was changed; look at what ended it.",
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
            raise NotFoundError(
                f"There is no workflow execution {execution_id}.", remedy="Check its id."
            )
        return found


def record_analysis(
    session: Session,
    *,
    customer: Customer,
    agent: Agent,
    analysis_document: dict[str, Any],
    recommendations: Sequence[NewRecommendation],
    artifacts: Sequence[NewArtifact],
    steps: Sequence[NewStep],
    now: datetime,
    input_data: dict[str, Any] | None = None,
) -> RecordedAnalysis:
    """Write a finished analysis: execution, steps, artifacts, proposals, events; all or nothing.

    It all happens in the caller's transaction. `analysis_document` becomes the execution's output
    and must be plain JSON. A proposal whose evidence is already pending for this customer is listed
    and not written again.
    """
    completed_at = require_utc(now)
    workflows, proposals = Workflows(session), Recommendations(session)
    # Two at once would each miss what the other proposes.
    take_turn(session, "record_analysis", customer.id)
    execution = workflows.start(
        type=WorkflowType.COST_ANALYSIS,
        customer_id=customer.id,
        agent_id=agent.id,
        input_data=input_data or {},
        now=min((require_utc(step.started_at) for step in steps), default=completed_at),
    )
    step_ids = workflows.record_steps(execution.id, steps)
    workflows.record_artifacts(execution.id, artifacts, step_ids=step_ids, now=completed_at)
    recorded = []
    for new in recommendations:
        row = proposals.find_pending(customer_id=customer.id, evidence_digest=new.evidence_digest)
        is_new = row is None
        if row is None:
            row = proposals.record(
                new,
                customer_id=customer.id,
                agent_id=agent.id,
                now=completed_at,
                analysis_execution_id=execution.id,
            )
        recorded.append(RecordedRecommendation(id=row.id, is_new=is_new))
    ids = [str(recommendation.id) for recommendation in recorded]
    workflows.mark_completed(
        execution.id, output_data={**analysis_document, RECOMMENDATIONS_KEY: ids}, now=completed_at
    )
    Events(session).record(
        "analysis_completed",
        customer_id=customer.id,
        agent_id=agent.id,
        data={"workflow_execution_id": str(execution.id), RECOMMENDATIONS_KEY: ids},
        now=completed_at,
    )
    return RecordedAnalysis(execution_id=execution.id, recommendations=tuple(recorded))
