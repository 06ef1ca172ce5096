"""What came of decisions, for the outcome memory: read in pages, in the order of ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from optiinfra.database.models import (
    Agent,
    AgentType,
    Approval,
    ApprovalStatus,
    Optimization,
    OptimizationStatus,
    Recommendation,
)

PAGE: Final = 500
_ENDED: Final = (
    OptimizationStatus.COMPLETED,
    OptimizationStatus.FAILED,
    OptimizationStatus.ROLLED_BACK,
)


@dataclass(frozen=True, slots=True)
class EndedOptimization:
    """An optimization that has ended, with what was proposed."""

    id: UUID
    customer_id: UUID
    agent_type: AgentType
    status: OptimizationStatus
    completed_at: datetime | None
    rolled_back_at: datetime | None
    actual_savings: Decimal | None
    actual_improvement: Decimal | None
    error: str | None
    recommendation_id: UUID
    action: str
    title: str
    description: str | None
    estimated_savings: Decimal | None
    estimated_improvement: Decimal | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RejectedRecommendation:
    """A person's decision against a recommendation, with the reason where one was given."""

    id: UUID
    customer_id: UUID
    decided_at: datetime
    decided_by: str
    comment: str | None
    recommendation_id: UUID
    action: str
    title: str
    data: dict[str, Any]


class Outcomes:
    """Across all customers: for the owner of the tables and for workers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def walk_ended(self) -> Iterator[EndedOptimization]:
        """All optimizations that have ended."""
        query = (
            select(
                Optimization.id,
                Optimization.customer_id,
                Agent.type,
                Optimization.status,
                Optimization.completed_at,
                Optimization.rolled_back_at,
                Optimization.actual_savings,
                Optimization.actual_improvement,
                Optimization.error,
                Recommendation.id,
                Recommendation.type,
                Recommendation.title,
                Recommendation.description,
                Recommendation.estimated_savings,
                Recommendation.estimated_improvement,
                Recommendation.data,
            )
            .join(Recommendation, Recommendation.id == Optimization.recommendation_id)
            .join(Agent, Agent.id == Optimization.agent_id)
            .where(Optimization.status.in_(_ENDED))
            .order_by(Optimization.id)
            .limit(PAGE)
        )
        after = UUID(int=0)
        while rows := self._session.execute(query.where(Optimization.id > after)).all():
            for row in rows:
                values: tuple[Any, ...] = tuple(row)
                yield EndedOptimization(*values)
            after = rows[-1][0]

    def walk_rejected(self) -> Iterator[RejectedRecommendation]:
        """All decisions against a recommendation."""
        query = (
            select(
                Approval.id,
                Approval.customer_id,
                Approval.updated_at,
                Approval.approved_by,
                Approval.comment,
                Recommendation.id,
                Recommendation.type,
                Recommendation.title,
                Recommendation.data,
            )
            .join(Recommendation, Recommendation.id == Approval.recommendation_id)
            .where(Approval.status == ApprovalStatus.REJECTED)
            .order_by(Approval.id)
            .limit(PAGE)
        )
        after = UUID(int=0)
        while rows := self._session.execute(query.where(Approval.id > after)).all():
            yield from (RejectedRecommendation(*row) for row in rows)
            after = rows[-1][0]
