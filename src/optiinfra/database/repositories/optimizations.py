"""The optimizations' table: what was approved, carried out step by step, and what came of it.

A change moves the optimization and its recommendation in one transaction, with an event for each.
Both are compare-and-set. The recommendation's row is locked first, by everybody, so that no two
wait for each other.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, check_values, require_utc
from optiinfra.database.models import (
    Approval,
    ApprovalStatus,
    EventSeverity,
    Optimization,
    OptimizationStatus,
    RecommendationStatus,
)
from optiinfra.database.repositories.conflicts import conflict_of
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import DIGEST_KEY
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.database.repositories.recommendation_status import (
    Proposal,
    check_move,
    lock_recommendation,
    move_recommendation,
)
from optiinfra.domain.errors import ConflictError, NotFoundError
from optiinfra.domain.lifecycles import OPTIMIZATION

DONE_PERCENT: Final = 100
# What becomes of a recommendation with its optimization; one that was only queued leaves it be.
_FOLLOWED: Final = {
    OptimizationStatus.EXECUTING: RecommendationStatus.EXECUTING,
    OptimizationStatus.COMPLETED: RecommendationStatus.COMPLETED,
    OptimizationStatus.FAILED: RecommendationStatus.FAILED,
    OptimizationStatus.ROLLED_BACK: RecommendationStatus.ROLLED_BACK,
}
_SEVERITIES: Final = {
    OptimizationStatus.FAILED: EventSeverity.ERROR,
    OptimizationStatus.ROLLED_BACK: EventSeverity.WARNING,
}


class Optimizations:
    """Every query on optimizations."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def queue(
        self, recommendation_id: UUID, *, evidence_digest: str, now: datetime
    ) -> Optimization:
        """A queued optimization of an approved recommendation.

        Raises ConflictError where the recommendation is not approved, where nobody approved exactly
        that digest, or where another optimization of it is live.
        """
        queued_at = require_utc(Optimization.created_at, now)
        check_values(Optimization, {"evidence_digest": evidence_digest})
        seen = lock_recommendation(self._session, recommendation_id)
        if seen is None:
            raise NotFoundError(
                f"There is no recommendation {recommendation_id}.", remedy="Check its id."
            )
        if seen.status is not RecommendationStatus.APPROVED:
            raise ConflictError(
                f"Recommendation {recommendation_id} is {seen.status.value}, not approved.",
                remedy="Nothing was queued.",
            )
        if seen.evidence_digest != evidence_digest or not self._is_approved(
            recommendation_id, evidence_digest
        ):
            raise ConflictError(
                f"Recommendation {recommendation_id} was not approved with the evidence"
                f" {evidence_digest}.",
                remedy="Nothing was queued; approve what it says now.",
            )
        with conflict_of(
            self._session,
            "uq_optimization_live",
            problem=f"Recommendation {recommendation_id} is being carried out already.",
            remedy="Nothing was queued; wait for what became of it.",
        ):
            row = add_row(
                self._session,
                Optimization,
                recommendation_id=recommendation_id,
                customer_id=seen.customer_id,
                agent_id=seen.agent_id,
                status=OPTIMIZATION.initial,
                evidence_digest=evidence_digest,
                version=0,
                created_at=queued_at,
                updated_at=queued_at,
            )
        self._record(row.id, seen, source=None, target=OPTIMIZATION.initial, now=queued_at)
        return row

    def start(self, optimization_id: UUID, *, version: int, now: datetime) -> int:
        """Queued to executing, and the recommendation with it; the new version."""
        started_at = require_utc(Optimization.started_at, now)
        return self._move(
            optimization_id,
            OptimizationStatus.EXECUTING,
            version=version,
            now=started_at,
            started_at=started_at,
        )

    def record_progress(
        self, optimization_id: UUID, *, version: int, progress: int, now: datetime
    ) -> int:
        """How far an executing optimization has come, in percent; the new version."""
        check_values(Optimization, {"progress": progress, "version": version})
        swapped = self._session.scalar(
            update(Optimization)
            .where(
                Optimization.id == optimization_id,
                Optimization.version == version,
                Optimization.status == OptimizationStatus.EXECUTING,
            )
            .values(
                progress=progress,
                version=version + 1,
                updated_at=require_utc(Optimization.updated_at, now),
            )
            .returning(Optimization.version)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:
            seen, target = self.get(optimization_id), OptimizationStatus.EXECUTING
            raise _make_conflict(seen, version=version, target=target)
        return swapped

    def complete(
        self,
        optimization_id: UUID,
        *,
        version: int,
        result: dict[str, Any],
        now: datetime,
        actual_savings: Decimal | None = None,
        actual_improvement: Decimal | None = None,
    ) -> int:
        """Executing to completed, with what it brought; None is unknown. The new version."""
        ended_at = require_utc(Optimization.completed_at, now)
        return self._move(
            optimization_id,
            OptimizationStatus.COMPLETED,
            version=version,
            now=ended_at,
            completed_at=ended_at,
            progress=DONE_PERCENT,
            result=result,
            actual_savings=actual_savings,
            actual_improvement=actual_improvement,
        )

    def fail(self, optimization_id: UUID, *, version: int, error: str, now: datetime) -> int:
        """Queued or executing to failed; the new version.

        A recommendation of which nothing was begun stays approved, and can be queued again.
        """
        ended_at = require_utc(Optimization.completed_at, now)
        return self._move(
            optimization_id,
            OptimizationStatus.FAILED,
            version=version,
            now=ended_at,
            completed_at=ended_at,
            error=error,
        )

    def roll_back(self, optimization_id: UUID, *, version: int, error: str, now: datetime) -> int:
        """Executing to rolled back, all of it undone; `error` says why. The new version."""
        ended_at = require_utc(Optimization.rolled_back_at, now)
        return self._move(
            optimization_id,
            OptimizationStatus.ROLLED_BACK,
            version=version,
            now=ended_at,
            completed_at=ended_at,
            rolled_back_at=ended_at,
            error=error,
        )

    def get(self, optimization_id: UUID) -> Optimization:
        """One optimization as it is stored now."""
        query = select(Optimization).where(Optimization.id == optimization_id)
        found = self._session.scalars(
            query.options(raiseload("*")), execution_options={"populate_existing": True}
        ).one_or_none()
        if found is None:
            raise _make_missing(optimization_id)
        return found

    def find_live(self, recommendation_id: UUID) -> Optimization | None:
        """The queued or executing optimization of a recommendation, or None."""
        query = select(Optimization).where(
            Optimization.recommendation_id == recommendation_id,
            Optimization.status.not_in(tuple(OPTIMIZATION.terminal)),
        )
        return self._session.scalars(
            query.options(raiseload("*")), execution_options={"populate_existing": True}
        ).one_or_none()

    def list_page(
        self,
        *,
        customer_id: UUID,
        status: OptimizationStatus | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[Optimization]:
        """A customer's optimizations, latest first."""
        query = select(Optimization).where(Optimization.customer_id == customer_id)
        if status is not None:
            query = query.where(Optimization.status == status)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=Optimization.created_at,
            id=Optimization.id,
            after=after,
            limit=limit,
        )

    def _move(
        self,
        optimization_id: UUID,
        target: OptimizationStatus,
        *,
        version: int,
        now: datetime,
        **values: Any,
    ) -> int:
        check_values(Optimization, {**values, "version": version})
        own = select(Optimization.recommendation_id).where(Optimization.id == optimization_id)
        proposal = lock_recommendation(self._session, own.scalar_subquery())
        if proposal is None:
            raise _make_missing(optimization_id)
        seen = self.get(optimization_id)
        source = seen.status
        if seen.version != version or not OPTIMIZATION.allows(source=source, target=target):
            raise _make_conflict(seen, version=version, target=target)
        is_followed = source is not OPTIMIZATION.initial or target is OptimizationStatus.EXECUTING
        if is_followed:
            check_move(proposal, _FOLLOWED[target])
        swapped = self._session.scalar(
            update(Optimization)
            .where(
                Optimization.id == optimization_id,
                Optimization.version == version,
                Optimization.status == source,
            )
            .values(status=target, version=version + 1, updated_at=now, **values)
            .returning(Optimization.version)
            .execution_options(synchronize_session=False)
        )
        if swapped is None:  # by a statement that did not lock the recommendation
            raise _make_conflict(self.get(optimization_id), version=version, target=target)
        if is_followed:
            move_recommendation(self._session, proposal, _FOLLOWED[target], now=now)
        self._record(optimization_id, proposal, source=source, target=target, now=now)
        return swapped

    def _record(
        self,
        optimization_id: UUID,
        proposal: Proposal,
        *,
        source: OptimizationStatus | None,
        target: OptimizationStatus,
        now: datetime,
    ) -> None:
        Events(self._session).record(
            f"optimization_{target.value}",
            customer_id=proposal.customer_id,
            agent_id=proposal.agent_id,
            data={
                "optimization_id": str(optimization_id),
                "recommendation_id": str(proposal.id),
                "from": None if source is None else source.value,
                "to": target.value,
                DIGEST_KEY: proposal.evidence_digest,
            },
            now=now,
            severity=_SEVERITIES.get(target, EventSeverity.INFO),
        )

    def _is_approved(self, recommendation_id: UUID, evidence_digest: str) -> bool:
        approval = exists().where(
            Approval.recommendation_id == recommendation_id,
            Approval.status == ApprovalStatus.APPROVED,
            Approval.evidence_digest == evidence_digest,
        )
        return bool(self._session.scalar(select(approval)))


def _make_conflict(
    seen: Optimization, *, version: int, target: OptimizationStatus
) -> ConflictError:
    return ConflictError(
        f"Optimization {seen.id} is {seen.status.value} in version {seen.version}; from version"
        f" {version} it does not become {target.value}.",
        remedy="Nothing was changed; read it again and decide anew.",
    )


def _make_missing(optimization_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no optimization {optimization_id}.", remedy="Check its id.")
