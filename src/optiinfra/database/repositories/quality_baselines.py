"""Baselines of quality: what a model's answers are held against, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, check_values, require_text, require_utc
from optiinfra.database.models import BaselineType, QualityBaseline
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.database.repositories.turns import take_turn
from optiinfra.domain.errors import ConflictError, NotFoundError

MS_PER_S = 1_000.0


@dataclass(frozen=True, slots=True)
class NewBaseline:
    """Means over `sample_size` answers; scores are ratios in 0..1, None where not measured."""

    model_name: str
    model_version: str
    type: BaselineType
    sample_size: int
    mean_overall_score: float
    mean_relevance_score: float | None = None
    mean_coherence_score: float | None = None
    mean_factuality_score: float | None = None
    latency_s_p95: float | None = None

    def __post_init__(self) -> None:
        check_values(QualityBaseline, self.list_values())
        require_text(QualityBaseline.model_name, self.model_name)
        require_text(QualityBaseline.model_version, self.model_version)

    def list_values(self) -> dict[str, object]:
        """By attribute of the model."""
        latency_s = self.latency_s_p95
        return {
            "model_name": self.model_name,
            "model_version": self.model_version,
            "baseline_type": self.type,
            "sample_size": self.sample_size,
            "avg_overall_score": self.mean_overall_score,
            "avg_relevance_score": self.mean_relevance_score,
            "avg_coherence_score": self.mean_coherence_score,
            "avg_factuality_score": self.mean_factuality_score,
            "p95_latency_ms": None if latency_s is None else latency_s * MS_PER_S,
        }


class QualityBaselines:
    """Every query on quality_baselines."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def establish(
        self, new: NewBaseline, *, customer_id: UUID, agent_id: UUID, now: datetime
    ) -> QualityBaseline:
        """A baseline from now on; the one before it ends now, in the same transaction.

        Raises ConflictError where a later one is established already.
        """
        established_at = require_utc(QualityBaseline.established_at, now)
        take_turn(self._session, "baseline", customer_id, new.model_name, new.model_version)
        is_open = (
            *_is_of(customer_id, new.model_name, new.model_version),
            QualityBaseline.valid_until.is_(None),
        )
        later = self._session.scalar(
            select(QualityBaseline.established_at)
            .where(*is_open, QualityBaseline.established_at > established_at)
            .limit(1)
        )
        if later is not None:
            raise ConflictError(
                f"A baseline of {new.model_name} {new.model_version} was established at {later},"
                f" after {established_at}.",
                remedy="Nothing was changed.",
            )
        self._session.execute(
            update(QualityBaseline)
            .where(*is_open)
            .values(valid_until=established_at)
            .execution_options(synchronize_session=False)
        )
        return add_row(
            self._session,
            QualityBaseline,
            customer_id=customer_id,
            agent_id=agent_id,
            established_at=established_at,
            created_at=established_at,
            **new.list_values(),
        )

    def get_current(
        self, *, customer_id: UUID, model_name: str, model_version: str, now: datetime
    ) -> QualityBaseline:
        """The baseline that holds now, as it is stored; NotFoundError where there is none."""
        at = require_utc(QualityBaseline.valid_until, now)
        query = (
            select(QualityBaseline)
            .where(
                *_is_of(customer_id, model_name, model_version),
                QualityBaseline.established_at <= at,
                or_(QualityBaseline.valid_until.is_(None), QualityBaseline.valid_until > at),
            )
            .order_by(QualityBaseline.established_at.desc(), QualityBaseline.id.desc())
            .limit(1)
            .options(raiseload("*"))
            .execution_options(populate_existing=True)
        )
        found = self._session.scalars(query).one_or_none()
        if found is None:
            raise NotFoundError(
                f"There is no baseline of {model_name} {model_version}.",
                remedy="Establish one first.",
            )
        return found

    def list_page(
        self,
        *,
        customer_id: UUID,
        model_name: str | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[QualityBaseline]:
        """A customer's baselines, latest first."""
        query = select(QualityBaseline).where(QualityBaseline.customer_id == customer_id)
        if model_name is not None:
            query = query.where(QualityBaseline.model_name == model_name)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=QualityBaseline.established_at,
            id=QualityBaseline.id,
            after=after,
            limit=limit,
        )


def _is_of(customer_id: UUID, model: str, version: str) -> tuple[ColumnElement[bool], ...]:
    return (
        QualityBaseline.customer_id == customer_id,
        QualityBaseline.model_name == model,
        QualityBaseline.model_version == version,
    )
