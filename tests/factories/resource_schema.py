"""Rows of revision 004."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from tests.factories.core import NOW, add

from optiinfra.database.models import (
    Agent,
    Customer,
    ResourceMetric,
    ResourceMetricDay,
    ResourceRollupMark,
    ResourceSeries,
    ResourceType,
    ScalingEvent,
    ScalingEventType,
)
from optiinfra.database.series import Series, compute_series_id


def make_resource_metric(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> ResourceMetric:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "instance_id": "i-0abc",
        "resource_type": ResourceType.GPU,
        "metric_name": "utilization",
        "metric_value": 71.5,
        "unit": "percent",
        "timestamp": NOW,
    }
    return add(session, ResourceMetric(**values | overrides))


def make_series_day(session: Session, customer: Customer, agent: Agent) -> ResourceMetricDay:
    """A series, a day of its hours, and a mark that more came."""
    series = Series(agent.id, customer.id, "i-0abc", ResourceType.GPU, "utilization", "percent")
    number = compute_series_id(series)
    session.add(
        ResourceSeries(
            id=number,
            agent_id=agent.id,
            customer_id=customer.id,
            instance_id=series.instance_id,
            resource_type=series.resource_type,
            metric_name=series.metric_name,
            unit=series.unit,
        )
    )
    session.add(ResourceRollupMark(customer_id=customer.id, day=NOW.date()))
    session.flush()
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "series_id": number,
        "day": NOW.date(),
        "hours": 1,
        "num_samples": [1] + 23 * [0],
        "value_mean": [71.5] + 23 * [0.0],
        "value_min": [71.5, *(23 * [None])],
        "value_max": [71.5, *(23 * [None])],
    }
    return add(session, ResourceMetricDay(**values))


def make_scaling_event(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> ScalingEvent:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "event_type": ScalingEventType.SCALE_UP,
        "trigger_reason": "high_gpu_utilization",
        "before_state": {"num_replicas": 2},
        "after_state": {"num_replicas": 3},
        "executed_at": NOW,
    }
    return add(session, ScalingEvent(**values | overrides))
