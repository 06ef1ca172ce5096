"""A person's yes or no to a recommendation: decided once, by one, and on the record."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, cast, exists, func, or_, select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_utc
from optiinfra.database.models import (
    Approval,
    ApprovalStatus,
    Recommendation,
    RecommendationStatus,
    WorkflowExecution,
)
from optiinfra.database.repositories.analyses import RECOMMENDATIONS_KEY
from optiinfra.database.repositories.approvals import Approvals
from optiinfra.database.repositories.email_address import parse_email
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import ANALYSIS_KEY, DEPLOYMENT_KEY, DIGEST_KEY
from optiinfra.database.repositories.recommendation_status import swap_status
from optiinfra.database.repositories.recommendations import Recommendations
from optiinfra.database.repositories.turns import take_turn
from optiinfra.domain.errors import ConflictError
from optiinfra.domain.lifecycles import RECOMMENDATION

# What an approval of another alternative leaves in place; failed and rolled back leave nothing.
IN_FORCE = (
    RecommendationStatus.APPROVED,
    RecommendationStatus.EXECUTING,
    RecommendationStatus.COMPLETED,
)


class Decisions:
    """Approve and reject."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._recommendations = Recommendations(session)

    def approve(
        self,
        id: UUID | str,  # noqa: A002 - as in Recommendations.get
        *,
        by: str,
        now: datetime,
        comment: str | None = None,
        customer_id: UUID | None = None,
    ) -> Recommendation:
        """Say yes to a pending recommendation; `by` is an email address.

        Raises ConflictError where somebody decided before, or where another recommendation of the
        same analysis for the same deployment is approved: they are alternatives.
        """
        return self._decide(
            id,
            target=RecommendationStatus.APPROVED,
            verdict=ApprovalStatus.APPROVED,
            by=by,
            now=now,
            comment=comment,
            customer_id=customer_id,
        )

    def reject(
        self,
        id: UUID | str,  # noqa: A002 - as in Recommendations.get
        *,
        by: str,
        now: datetime,
        comment: str | None = None,
        customer_id: UUID | None = None,
    ) -> Recommendation:
        """Say no to a pending recommendation; ConflictError where somebody decided before."""
        return self._decide(
            id,
            target=RecommendationStatus.REJECTED,
            verdict=ApprovalStatus.REJECTED,
            by=by,
            now=now,
            comment=comment,
            customer_id=customer_id,
        )

    def _decide(
        self,
        id: UUID | str,  # noqa: A002
        *,
        target: RecommendationStatus,
        verdict: ApprovalStatus,
        by: str,
        now: datetime,
        comment: str | None,
        customer_id: UUID | None,
    ) -> Recommendation:
        person = parse_email(by, field="by")
        decided_at = require_utc(Approval.created_at, now)
        check_values(Approval, {"comment": comment})
        row = self._recommendations.get(id, customer_id=customer_id)
        if not RECOMMENDATION.allows(source=row.status, target=target):
            raise make_conflict(row)
        if target is RecommendationStatus.APPROVED:
            self._refuse_second_alternative(row)
        source = row.status
        with self._session.begin_nested():  # all of it or nothing
            if not swap_status(self._session, row.id, source=source, target=target, now=decided_at):
                raise make_conflict(self._recommendations.get(row.id))  # somebody was faster
            Approvals(self._session).decide(
                row, verdict=verdict, by=person, now=decided_at, comment=comment
            )
            Events(self._session).record(
                f"recommendation_{verdict.value}",
                customer_id=row.customer_id,
                agent_id=row.agent_id,
                data={
                    "recommendation_id": str(row.id),
                    "from": source.value,
                    "to": target.value,
                    "by": person,
                    "comment": comment,
                    DIGEST_KEY: row.evidence_digest,
                },
                now=decided_at,
            )
        return self._recommendations.get(row.id)

    def _refuse_second_alternative(self, row: Recommendation) -> None:
        deployment = row.data.get(DEPLOYMENT_KEY)
        if deployment is None:
            return
        take_turn(self._session, "approve", row.customer_id, deployment)
        analysis = row.data.get(ANALYSIS_KEY)
        # An open proposal that a later analysis finds again is listed there and not written anew.
        both = func.jsonb_build_array(cast(Recommendation.id, Text), str(row.id))
        listed_together = exists().where(
            WorkflowExecution.customer_id == row.customer_id,
            WorkflowExecution.output_data[RECOMMENDATIONS_KEY].contains(both),
        )
        together = [listed_together]
        if analysis is not None:
            together.append(Recommendation.data[ANALYSIS_KEY].astext == analysis)
        query = (
            select(Recommendation)
            .where(
                Recommendation.customer_id == row.customer_id,
                Recommendation.id != row.id,
                Recommendation.status.in_(IN_FORCE),
                Recommendation.data[DEPLOYMENT_KEY].astext == deployment,
                or_(*together),
            )
            .order_by(Recommendation.approved_at)
            .limit(1)
            .options(raiseload("*"))
        )
        other = self._session.scalars(query).one_or_none()
        if other is not None:
            raise ConflictError(
                f"Recommendation {other.id} ({other.title}) is {other.status.value} for deployment"
                f" {deployment!r} from the same analysis; {row.id} is an alternative to it.",
                remedy="Nothing was changed. Analyse again to go on from what was approved.",
            )


def make_conflict(row: Recommendation) -> ConflictError:
    """Who decided what about this recommendation, and when; `approvals` must be loaded."""
    decided = [approval for approval in row.approvals if approval.status != ApprovalStatus.PENDING]
    if decided:
        last = max(decided, key=lambda approval: approval.created_at)
        when = last.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        text = f"was {last.status.value} by {last.approved_by} on {when}"
        if last.status.value != row.status.value:
            text += f", and is {row.status.value} now"
    else:
        text = f"is {row.status.value}"
    return ConflictError(
        f"Recommendation {row.id} {text}.",
        remedy="Nothing was changed; only a pending recommendation can be approved or rejected.",
    )
