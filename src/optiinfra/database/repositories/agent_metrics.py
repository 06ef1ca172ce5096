"""Metrics of agents: by name over a range of time, aggregated, searched by tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.checked_rows import check_values, require_utc
from optiinfra.database.models import AgentMetric
from optiinfra.database.repositories.pages import MAX_PAGE, Cursor, Page, fetch_page
from optiinfra.domain.errors import InputError

MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the samples of one interval, from `start` on, come to."""

    start: datetime
    num_samples: int
    mean: float
    lowest: float
    highest: float
    p95: float


class AgentMetrics:
    """Every query on agent_metrics but its bulk writer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_page(
        self,
        agent_id: UUID,
        name: str,
        *,
        start: datetime,
        end: datetime,
        tags: dict[str, Any] | None = None,
        after: Cursor | None = None,
        limit: int = MAX_PAGE,
    ) -> Page[AgentMetric]:
        """Samples from `start` until before `end`, earliest first, that have all of these tags."""
        conditions = _in_range(agent_id, name, start=start, end=end, tags=tags)
        return fetch_page(
            self._session,
            select(AgentMetric).where(*conditions).options(raiseload("*")),
            at=AgentMetric.recorded_at,
            id=AgentMetric.id,
            after=after,
            limit=limit,
            is_earliest_first=True,
        )

    def compute_buckets(
        self,
        agent_id: UUID,
        name: str,
        *,
        start: datetime,
        end: datetime,
        width: timedelta,
        tags: dict[str, Any] | None = None,
    ) -> list[Bucket]:
        """The samples in intervals of `width` counted from `start`; intervals without are left out.

        At most 10,000 intervals: InputError for more.
        """
        first, last = (require_utc(AgentMetric.recorded_at, at) for at in (start, end))
        if not timedelta(0) < width or (last - first) / width > MAX_BUCKETS:
            raise InputError(
                f"An interval of {width} is none, or makes more than {MAX_BUCKETS}.",
                remedy="Use a longer one.",
                field="width",
            )
        value = AgentMetric.metric_value
        bucket = func.date_bin(width, AgentMetric.recorded_at, first).label("bucket")
        query = (
            select(
                bucket,
                func.count(),
                func.avg(value),
                func.min(value),
                func.max(value),
                func.percentile_cont(0.95).within_group(value),
            )
            .where(*_in_range(agent_id, name, start=start, end=end, tags=tags))
            .group_by(bucket)
            .order_by(bucket)
        )
        return [Bucket(*row) for row in self._session.execute(query)]


def _in_range(
    agent_id: UUID, name: str, *, start: datetime, end: datetime, tags: dict[str, Any] | None
) -> list[ColumnElement[bool]]:
    check_values(AgentMetric, {"metric_name": name, "tags": tags})
    conditions = [
        AgentMetric.agent_id == agent_id,
        AgentMetric.metric_name == name,
        AgentMetric.recorded_at >= require_utc(AgentMetric.recorded_at, start),
        AgentMetric.recorded_at < require_utc(AgentMetric.recorded_at, end),
    ]
    if tags:
        conditions.append(AgentMetric.tags.contains(tags))
    return conditions
