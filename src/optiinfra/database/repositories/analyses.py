"""A finished analysis, written whole: execution, steps, artifacts, proposals and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import Agent, Customer, WorkflowExecution, WorkflowType
from optiinfra.database.repositories.artifacts import Artifacts
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.executions import Executions
from optiinfra.database.repositories.new_rows import NewArtifact, NewRecommendation, NewStep
from optiinfra.database.repositories.recommendations import Recommendations
from optiinfra.database.repositories.steps import Steps
from optiinfra.database.repositories.turns import take_turn

RECOMMENDATIONS_KEY = "recommendation_ids"  # in output_data: all proposals, old and new


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
    completed_at = require_utc(WorkflowExecution.completed_at, now)
    executions, proposals = Executions(session), Recommendations(session)
    # Two at once would each miss what the other proposes.
    take_turn(session, "record_analysis", customer.id)
    lease = executions.start(
        type=WorkflowType.COST_ANALYSIS,
        customer_id=customer.id,
        agent_id=agent.id,
        input_data=input_data or {},
        now=min((step.started_at for step in steps), default=completed_at),
    )
    step_ids = Steps(session).record_done(lease, steps)
    Artifacts(session).attach(lease.execution_id, artifacts, step_ids=step_ids, now=completed_at)
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
                analysis_execution_id=lease.execution_id,
            )
        recorded.append(RecordedRecommendation(id=row.id, is_new=is_new))
    ids = [str(recommendation.id) for recommendation in recorded]
    executions.complete(
        lease, output_data={**analysis_document, RECOMMENDATIONS_KEY: ids}, now=completed_at
    )
    Events(session).record(
        "analysis_completed",
        customer_id=customer.id,
        agent_id=agent.id,
        data={"workflow_execution_id": str(lease.execution_id), RECOMMENDATIONS_KEY: ids},
        now=completed_at,
    )
    return RecordedAnalysis(execution_id=lease.execution_id, recommendations=tuple(recorded))
