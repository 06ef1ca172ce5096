"""The recommendations' table: written, found, listed. Decisions are in decisions.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session, joinedload, raiseload, selectinload

from optiinfra.database.models import Recommendation, RecommendationStatus
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import (
    ANALYSIS_KEY,
    CENT,
    DEPLOYMENT_KEY,
    DIGEST_KEY,
    NewRecommendation,
)
from optiinfra.domain.errors import InputError, NotFoundError
from optiinfra.kit.ids import MIN_PREFIX_DIGITS, get_id_range
from optiinfra.kit.time import require_utc

MAX_PAGE = 200
_LIST_THEM = "List them with `optiinfra recommendations list`."


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: the next page begins after it."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Latest first, each with `customer` and `agent` loaded; no cursor: the last page."""

    items: tuple[Recommendation, ...]
    next_cursor: Cursor | None


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
        made_at = require_utc(now)
        origin = {ANALYSIS_KEY: str(analysis_execution_id)} if analysis_execution_id else {}
        row = Recommendation(
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
        self._session.add(row)
        self._session.flush()
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
        """One recommendation with its customer, agent and approvals loaded, as it is stored now.

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
    ) -> Page:
        """A page of at most 200, latest first; of all customers where none is named."""
        size = max(1, min(limit, MAX_PAGE))
        query = self._select(customer_id)
        if status is not None:
            query = query.where(Recommendation.status == status)
        position = tuple_(Recommendation.created_at, Recommendation.id)
        if after is not None:
            query = query.where(position < tuple_(require_utc(after.created_at), after.id))
        query = query.order_by(Recommendation.created_at.desc(), Recommendation.id.desc())
        found = self._session.scalars(query.limit(size + 1)).all()
        items = tuple(found[:size])
        last = items[-1] if len(found) > size else None
        cursor = None if last is None else Cursor(created_at=last.created_at, id=last.id)
        return Page(items=items, next_cursor=cursor)

    def _select(self, customer_id: UUID | None) -> Select[Recommendation]:
        query = select(Recommendation).options(
            joinedload(Recommendation.customer).raiseload("*"),
            joinedload(Recommendation.agent).raiseload("*"),
            raiseload("*"),
        )
        if customer_id is not None:
            query = query.where(Recommendation.customer_id == customer_id)
        return query
