"""Metrics of agents: by name over a range of time, aggregated, searched by tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import AgentMetric
from optiinfra.kit.time import require_utc

MAX_SAMPLES = 10_000


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

    def list_samples(
        self,
        agent_id: UUID,
        name: str,
        *,
        start: datetime,
        end: datetime,
        tags: dict[str, Any] | None = None,
        limit: int = MAX_SAMPLES,
    ) -> list[AgentMetric]:
        """Samples from `start` until before `end`, earliest first, that have all of these tags."""
        query = (
            select(AgentMetric)
            .where(*_in_range(agent_id, name, start=start, end=end, tags=tags))
            .order_by(AgentMetric.recorded_at, AgentMetric.id)
            .limit(max(1, min(limit, MAX_SAMPLES)))
            .options(raiseload("*"))
        )
        return list(self._session.scalars(query))

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

        At most 10,000 intervals: ValueError for more.
        """
        first = require_utc(start)
        if not timedelta(0) < width or (require_utc(end) - first) / width > MAX_SAMPLES:
            message = f"an interval of {width} is none, or makes more than {MAX_SAMPLES}"
            raise ValueError(message)
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
    conditions = [
        AgentMetric.agent_id == agent_id,
        AgentMetric.metric_name == name,
        AgentMetric.recorded_at >= require_utc(start),
        AgentMetric.recorded_at < require_utc(end),
    ]
    if tags:
        conditions.append(AgentMetric.tags.contains(tags))
    return conditions
