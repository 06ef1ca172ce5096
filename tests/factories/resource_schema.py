"""Rows of revision 004."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from tests.factories.core import NOW, add

from optiinfra.database.models import (
    Agent,
    Customer,
    ResourceMetric,
    ResourceType,
    ScalingEvent,
    ScalingEventType,
)


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
