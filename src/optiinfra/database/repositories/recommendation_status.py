"""The status of a recommendation: changed in one way by whoever decides or carries out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, select, update
from sqlalchemy.orm import Session

from optiinfra.database.models import Recommendation, RecommendationStatus
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import DIGEST_KEY
from optiinfra.domain.errors import ConflictError
from optiinfra.domain.lifecycles import RECOMMENDATION

# The column that says when a status was reached.
_REACHED = {
    RecommendationStatus.APPROVED: "approved_at",
    RecommendationStatus.EXECUTING: "executed_at",
}


class Proposal(NamedTuple):
    """A recommendation whose row is locked."""

    id: UUID
    customer_id: UUID
    agent_id: UUID
    status: RecommendationStatus
    evidence_digest: str | None


def swap_status(
    session: Session,
    recommendation_id: UUID,
    *,
    source: RecommendationStatus,
    target: RecommendationStatus,
    now: datetime,
) -> bool:
    """Set the status where it is still `source`; whether it was. `now` is in UTC."""
    RECOMMENDATION.check(source=source, target=target)
    values: dict[str, Any] = {"status": target, "updated_at": now}
    if target in _REACHED:
        values[_REACHED[target]] = now
    swapped = session.execute(
        update(Recommendation)
        .where(Recommendation.id == recommendation_id, Recommendation.status == source)
        .values(**values, version=Recommendation.version + 1)
        .returning(Recommendation.id)
        .execution_options(synchronize_session=False)
    )
    return swapped.scalar_one_or_none() is not None


def lock_recommendation(session: Session, id_: UUID | ScalarSelect[UUID]) -> Proposal | None:
    """The recommendation as it is now; nobody else changes it until the transaction ends."""
    query = select(
        Recommendation.id,
        Recommendation.customer_id,
        Recommendation.agent_id,
        Recommendation.status,
        Recommendation.evidence_digest,
    ).where(Recommendation.id == id_)
    found = session.execute(query.with_for_update(key_share=True)).one_or_none()
    return None if found is None else Proposal(*found)


def check_move(proposal: Proposal, target: RecommendationStatus) -> None:
    """Raise ConflictError where the status of the recommendation does not allow the change."""
    if not RECOMMENDATION.allows(source=proposal.status, target=target):
        raise ConflictError(
            f"Recommendation {proposal.id} is {proposal.status.value} and does not become"
            f" {target.value}.",
            remedy="Nothing was changed; look at what changed the recommendation.",
        )


def move_recommendation(
    session: Session, proposal: Proposal, target: RecommendationStatus, *, now: datetime
) -> None:
    """Change the status of a recommendation that is locked and was checked, and record it."""
    source = proposal.status
    is_swapped = swap_status(session, proposal.id, source=source, target=target, now=now)
    assert is_swapped, f"{proposal.id} is locked"  # noqa: S101 - nobody else can change it
    Events(session).record(
        f"recommendation_{target.value}",
        customer_id=proposal.customer_id,
        agent_id=proposal.agent_id,
        data={
            "recommendation_id": str(proposal.id),
            "from": source.value,
            "to": target.value,
            DIGEST_KEY: proposal.evidence_digest,
        },
        now=now,
    )
