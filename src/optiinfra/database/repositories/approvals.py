"""The approvals' table: who was asked, and what each decided; decisions.py decides."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import add_row, check_values, require_utc
from optiinfra.database.models import Approval, ApprovalStatus, Recommendation
from optiinfra.database.repositories.conflicts import conflict_of
from optiinfra.database.repositories.email_address import parse_email
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.lifecycles import APPROVAL


class Approvals:
    """Every query on approvals."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ask(self, recommendation: Recommendation, *, of: str, now: datetime) -> Approval:
        """A pending approval: `of` is the email address of who is to decide."""
        asked_at = require_utc(Approval.created_at, now)
        return add_row(
            self._session,
            Approval,
            customer_id=recommendation.customer_id,
            recommendation_id=recommendation.id,
            evidence_digest=recommendation.evidence_digest,
            approved_by=parse_email(of, field="of"),
            status=APPROVAL.initial,
            created_at=asked_at,
            updated_at=asked_at,
        )

    def decide(
        self,
        recommendation: Recommendation,
        *,
        verdict: ApprovalStatus,
        by: str,
        now: datetime,
        comment: str | None,
    ) -> None:
        """Write the verdict of somebody, into the approval that was asked for where there is one.

        Who calls it has changed the recommendation's status before: see decisions.py. Raises
        ConflictError where the same person decided on it before.
        """
        APPROVAL.check(source=APPROVAL.initial, target=verdict)
        values = {
            "evidence_digest": recommendation.evidence_digest,
            "status": verdict,
            "comment": comment,
            "updated_at": require_utc(Approval.updated_at, now),
        }
        check_values(Approval, {"approved_by": by, **values})
        with conflict_of(
            self._session,
            "uq_approval_decided",
            problem=f"{by} has decided on recommendation {recommendation.id} before.",
            remedy="Nothing was changed.",
        ):
            if not self._swap(recommendation.id, by=by, **values):
                add_row(
                    self._session,
                    Approval,
                    customer_id=recommendation.customer_id,
                    recommendation_id=recommendation.id,
                    approved_by=by,
                    created_at=values["updated_at"],
                    **values,
                )

    def list_page(
        self, *, recommendation_id: UUID, after: Cursor | None = None, limit: int = 50
    ) -> Page[Approval]:
        """Who was asked about a recommendation and what they said, in order of time."""
        query = select(Approval).where(Approval.recommendation_id == recommendation_id)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=Approval.created_at,
            id=Approval.id,
            after=after,
            limit=limit,
            is_earliest_first=True,
        )

    def _swap(self, recommendation_id: UUID, *, by: str, **values: object) -> bool:
        """Decide the oldest approval that was asked of this person; whether there is one."""
        asked = (
            select(Approval.id)
            .where(
                Approval.recommendation_id == recommendation_id,
                Approval.approved_by == by,
                Approval.status == APPROVAL.initial,
            )
            .order_by(Approval.created_at, Approval.id)
            .limit(1)
            .with_for_update(key_share=True)
        )
        swapped = self._session.execute(
            update(Approval)
            .where(Approval.id == asked.scalar_subquery(), Approval.status == APPROVAL.initial)
            .values(**values)
            .returning(Approval.id)
            .execution_options(synchronize_session=False)
        )
        return swapped.scalar_one_or_none() is not None
