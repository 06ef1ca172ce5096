"""Quality of answers: single ones, and what they come to by model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Float, Select, case, func, select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import QualityMetric
from optiinfra.database.repositories.pages import MAX_PAGE, Cursor, Page, fetch_page

MAX_MODELS: Final = 1000
MS_PER_S: Final = 1_000.0
Q = TypeVar("Q", bound=Select[Any])


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """Answers of one version of a model. Scores are ratios in 0..1; None: in no answer measured."""

    model_name: str
    model_version: str
    num_answers: int
    mean_overall_score: float
    mean_relevance_score: float | None
    mean_coherence_score: float | None
    mean_factuality_score: float | None
    mean_toxicity_score: float | None
    hallucination_ratio: float
    latency_s_p95: float | None


class QualityMetrics:
    """Every query on quality_metrics; bulk_quality.py writes them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_page(
        self,
        *,
        customer_id: UUID,
        start: datetime,
        end: datetime,
        model_name: str | None = None,
        after: Cursor | None = None,
        limit: int = MAX_PAGE,
    ) -> Page[QualityMetric]:
        """A customer's answers from `start` until before `end`, earliest first."""
        query = _narrow(
            select(QualityMetric), customer_id=customer_id, start=start, end=end, model=model_name
        )
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=QualityMetric.timestamp,
            id=QualityMetric.id,
            after=after,
            limit=limit,
            is_earliest_first=True,
        )

    def compute_by_model(
        self, *, customer_id: UUID, start: datetime, end: datetime, model_name: str | None = None
    ) -> list[ModelQuality]:
        """What the answers from `start` until before `end` come to, by model and version.

        In order of their names, at most 1,000.
        """
        table = QualityMetric
        latency_s = func.percentile_cont(0.95).within_group(table.latency_ms) / MS_PER_S
        query = (
            select(
                table.model_name,
                table.model_version,
                func.count(),
                func.avg(table.overall_quality_score),
                func.avg(table.relevance_score),
                func.avg(table.coherence_score),
                func.avg(table.factuality_score),
                func.avg(table.toxicity_score),
                func.avg(case((table.hallucination_detected, 1.0), else_=0.0).cast(Float)),
                latency_s,
            )
            .group_by(table.model_name, table.model_version)
            .order_by(table.model_name, table.model_version)
            .limit(MAX_MODELS)
        )
        rows = self._session.execute(
            _narrow(query, customer_id=customer_id, start=start, end=end, model=model_name)
        )
        return [ModelQuality(*row) for row in rows]


def _narrow(query: Q, *, customer_id: UUID, start: datetime, end: datetime, model: str | None) -> Q:
    query = query.where(
        QualityMetric.customer_id == customer_id,
        QualityMetric.timestamp >= require_utc(QualityMetric.timestamp, start),
        QualityMetric.timestamp < require_utc(QualityMetric.timestamp, end),
    )
    return query if model is None else query.where(QualityMetric.model_name == model)
