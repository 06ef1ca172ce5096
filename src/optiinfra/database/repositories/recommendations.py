"""The recommendations' table: written, found, listed. Decisions are in decisions.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, raiseload, selectinload

from optiinfra.database.checked_rows import add_row, require_utc
from optiinfra.database.models import Customer, Recommendation, RecommendationStatus
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import (
    ANALYSIS_KEY,
    CENT,
    DEPLOYMENT_KEY,
    DIGEST_KEY,
    NewRecommendation,
)
from optiinfra.database.repositories.pages import Cursor, Page, fetch_page
from optiinfra.domain.errors import InputError, NotFoundError
from optiinfra.kit.ids import MIN_PREFIX_DIGITS, get_id_range

_LIST_THEM = "List them with `optiinfra recommendations list`."
# What a list shows of a customer; the digest of the key is not even read.
_CUSTOMER = (Customer.id, Customer.name, Customer.email)


class Recommendations:
    """Every query on recommendations but those that decide."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(
        self,
        new: NewRecommendation,
        *,
        customer_id: UUID,
        agent_id: UUID,
        now: datetime,
        analysis_execution_id: UUID | None = None,
    ) -> Recommendation:
        """Append a pending recommendation and its event."""
        made_at = require_utc(Recommendation.created_at, now)
        origin = {ANALYSIS_KEY: str(analysis_execution_id)} if analysis_execution_id else {}
        row = add_row(
            self._session,
            Recommendation,
            customer_id=customer_id,
            agent_id=agent_id,
            type=new.type,
            title=new.title,
            description=new.description,
            estimated_savings=None
            if new.estimated_savings is None
            else new.estimated_savings.quantize(CENT),
            estimated_improvement=None
            if new.estimated_improvement is None
            else new.estimated_improvement.quantize(CENT),
            confidence_score=new.confidence,
            evidence_digest=new.evidence_digest,
            priority=new.priority,
            status=RecommendationStatus.PENDING,
            data={
                **new.data,
                **origin,
                DEPLOYMENT_KEY: new.deployment,
                DIGEST_KEY: new.evidence_digest,
            },
            created_at=made_at,
            updated_at=made_at,
        )
        Events(self._session).record(
            "recommendation_created",
            customer_id=customer_id,
            agent_id=agent_id,
            data={"recommendation_id": str(row.id), DIGEST_KEY: new.evidence_digest, **origin},
            now=made_at,
        )
        return row

    def find_pending(self, *, customer_id: UUID, evidence_digest: str) -> Recommendation | None:
        """The customer's open proposal with this evidence, the oldest if there are several."""
        query = (
            select(Recommendation)
            .where(
                Recommendation.customer_id == customer_id,
                Recommendation.status == RecommendationStatus.PENDING,
                Recommendation.evidence_digest == evidence_digest,
            )
            .order_by(Recommendation.created_at, Recommendation.id)
            .limit(1)
            .options(raiseload("*"))
        )
        return self._session.scalars(query).one_or_none()

    def get(self, id: UUID | str, *, customer_id: UUID | None = None) -> Recommendation:  # noqa: A002
        """One recommendation with its approvals and its customer's name, as it is stored now.

        `id` may be the first 8 or more hex digits. Raises InputError where it is no id or stands
        for several, NotFoundError where it stands for none (of this customer).
        """
        try:
            lowest, highest = get_id_range(str(id))
        except ValueError as error:
            raise InputError(
                f"A recommendation's id cannot be read: {error}.",
                remedy=f"Give its first {MIN_PREFIX_DIGITS} digits or more. {_LIST_THEM}",
                field="id",
            ) from error
        query = self._select(customer_id).where(Recommendation.id.between(lowest, highest)).limit(2)
        query = query.options(selectinload(Recommendation.approvals).raiseload("*"))
        found = self._session.scalars(query, execution_options={"populate_existing": True}).all()
        if not found:
            raise NotFoundError(f"There is no recommendation {id}.", remedy=_LIST_THEM)
        if len(found) > 1:
            raise InputError(
                f"Several recommendations begin with {id}.", remedy="Give more digits.", field="id"
            )
        return found[0]

    def list_page(
        self,
        *,
        customer_id: UUID | None = None,
        status: RecommendationStatus | None = None,
        limit: int = 50,
        after: Cursor | None = None,
    ) -> Page[Recommendation]:
        """Latest first, each with its customer's name; of all customers where none is named."""
        query = self._select(customer_id)
        if status is not None:
            query = query.where(Recommendation.status == status)
        return fetch_page(
            self._session,
            query,
            at=Recommendation.created_at,
            id=Recommendation.id,
            after=after,
            limit=limit,
        )

    def _select(self, customer_id: UUID | None) -> Select[Recommendation]:
        query = select(Recommendation).options(
            joinedload(Recommendation.customer)
            .load_only(*_CUSTOMER, raiseload=True)
            .raiseload("*"),
            raiseload("*"),
        )
        if customer_id is not None:
            query = query.where(Recommendation.customer_id == customer_id)
        return query
