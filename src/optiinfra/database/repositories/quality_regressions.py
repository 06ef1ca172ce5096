"""Regressions: quality that fell behind its baseline, until it is put right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import (
    add_row,
    check_values,
    refuse,
    require_text,
    require_utc,
)
from optiinfra.database.models import (
    EventSeverity,
    QualityBaseline,
    QualityRegression,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
)
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.errors import ConflictError, NotFoundError

PERCENT: Final = 100.0
_SEVERITIES: Final = {
    RegressionSeverity.LOW: EventSeverity.INFO,
    RegressionSeverity.MEDIUM: EventSeverity.WARNING,
    RegressionSeverity.HIGH: EventSeverity.ERROR,
    RegressionSeverity.CRITICAL: EventSeverity.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class NewRegression:
    """A metric that got worse, over `sample_size` answers.

    `delta_percent` is of the baseline's value and signed. It is computed where it is None; of a
    value of 0 there is no percentage, and whoever compares says what to show.
    """

    type: RegressionType
    severity: RegressionSeverity
    metric_name: str
    baseline_value: float
    current_value: float
    sample_size: int
    action: RegressionAction = RegressionAction.ALERT_ONLY
    delta_percent: float | None = None

    def __post_init__(self) -> None:
        check_values(
            QualityRegression,
            {
                "regression_type": self.type,
                "severity": self.severity,
                "metric_name": self.metric_name,
                "baseline_value": self.baseline_value,
                "current_value": self.current_value,
                "sample_size": self.sample_size,
                "action_taken": self.action,
                "delta_percent": self.delta_percent,
            },
        )
        require_text(QualityRegression.metric_name, self.metric_name)
        if self.delta_percent is None and self.baseline_value == 0:
            refuse(
                QualityRegression.baseline_value, "has no percentage of it; give delta_percent", 0
            )

    def compute_delta_percent(self) -> float:
        """Of the baseline's value, signed."""
        if self.delta_percent is not None:
            return self.delta_percent
        return (self.current_value - self.baseline_value) / abs(self.baseline_value) * PERCENT


class QualityRegressions:
    """Every query on quality_regressions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(
        self,
        new: NewRegression,
        *,
        baseline: QualityBaseline,
        now: datetime,
        workflow_execution_id: UUID | None = None,
    ) -> QualityRegression:
        """An open regression against a baseline, of the same customer and agent; with its event."""
        detected_at = require_utc(QualityRegression.detected_at, now)
        row = add_row(
            self._session,
            QualityRegression,
            customer_id=baseline.customer_id,
            agent_id=baseline.agent_id,
            baseline_id=baseline.id,
            workflow_execution_id=workflow_execution_id,
            regression_type=new.type,
            severity=new.severity,
            detected_at=detected_at,
            metric_name=new.metric_name,
            baseline_value=new.baseline_value,
            current_value=new.current_value,
            delta_percent=new.compute_delta_percent(),
            sample_size=new.sample_size,
            action_taken=new.action,
            created_at=detected_at,
            updated_at=detected_at,
        )
        Events(self._session).record(
            "quality_regression_detected",
            customer_id=baseline.customer_id,
            agent_id=baseline.agent_id,
            data={"regression_id": str(row.id), "type": new.type.value},
            now=detected_at,
            severity=_SEVERITIES[new.severity],
        )
        return row

    def resolve(
        self, regression_id: UUID, *, notes: str, action: RegressionAction, now: datetime
    ) -> None:
        """It was put right, once; with its event. ConflictError where it had been before."""
        resolved_at = require_utc(QualityRegression.resolved_at, now)
        values = {"resolution_notes": notes, "action_taken": action}
        check_values(QualityRegression, values)
        swapped = self._session.execute(
            update(QualityRegression)
            .where(QualityRegression.id == regression_id, QualityRegression.resolved_at.is_(None))
            .values(**values, resolved_at=resolved_at, updated_at=resolved_at)
            .returning(QualityRegression.customer_id, QualityRegression.agent_id)
            .execution_options(synchronize_session=False)
        ).one_or_none()
        if swapped is None:
            seen = self.get(regression_id)
            raise ConflictError(
                f"Regression {regression_id} was resolved at {seen.resolved_at}.",
                remedy="Nothing was changed.",
            )
        Events(self._session).record(
            "quality_regression_resolved",
            customer_id=swapped.customer_id,
            agent_id=swapped.agent_id,
            data={"regression_id": str(regression_id), "action": action.value},
            now=resolved_at,
        )

    def get(self, regression_id: UUID) -> QualityRegression:
        """One regression as it is stored now."""
        query = select(QualityRegression).where(QualityRegression.id == regression_id)
        found = self._session.scalars(
            query.options(raiseload("*")), execution_options={"populate_existing": True}
        ).one_or_none()
        if found is None:
            raise NotFoundError(f"There is no regression {regression_id}.", remedy="Check its id.")
        return found

    def list_open(
        self, *, customer_id: UUID, after: Cursor | None = None, limit: int = 50
    ) -> Page[QualityRegression]:
        """A customer's regressions that are not put right yet, latest first."""
        query = select(QualityRegression).where(
            QualityRegression.customer_id == customer_id, QualityRegression.resolved_at.is_(None)
        )
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=QualityRegression.detected_at,
            id=QualityRegression.id,
            after=after,
            limit=limit,
        )
