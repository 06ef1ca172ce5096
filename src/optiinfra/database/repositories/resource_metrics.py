"""Samples of resources, row by row. Series and their hours are in resource_series.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import require_utc
from optiinfra.database.models import ResourceMetric
from optiinfra.database.repositories.pages import MAX_PAGE, Cursor, Page, fetch_page


class ResourceMetrics:
    """Reads of single rows of resource_metrics; bulk.py writes them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_page(
        self,
        *,
        customer_id: UUID,
        start: datetime,
        end: datetime,
        instance_id: str | None = None,
        metric_name: str | None = None,
        after: Cursor | None = None,
        limit: int = MAX_PAGE,
    ) -> Page[ResourceMetric]:
        """A customer's samples from `start` until before `end`, earliest first.

        An instance and a metric narrow what is returned, not what is read.
        """
        query = select(ResourceMetric).where(
            ResourceMetric.customer_id == customer_id,
            ResourceMetric.timestamp >= require_utc(ResourceMetric.timestamp, start),
            ResourceMetric.timestamp < require_utc(ResourceMetric.timestamp, end),
        )
        if instance_id is not None:
            query = query.where(ResourceMetric.instance_id == instance_id)
        if metric_name is not None:
            query = query.where(ResourceMetric.metric_name == metric_name)
        return fetch_page(
            self._session,
            query.options(raiseload("*")),
            at=ResourceMetric.timestamp,
            id=ResourceMetric.id,
            after=after,
            limit=limit,
            is_earliest_first=True,
        )
