"""Rows of revision 005."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session
from tests.factories.core import NOW, add

from optiinfra.database.models import (
    Agent,
    BaselineType,
    Customer,
    QualityBaseline,
    QualityMetric,
    QualityRegression,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
)


def make_quality_metric(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> QualityMetric:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "request_id": uuid4().hex,
        "model_name": "llama",
        "model_version": "3.1",
        "overall_quality_score": 0.9,
        "timestamp": NOW,
    }
    return add(session, QualityMetric(**values | overrides))


def make_baseline(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> QualityBaseline:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "model_name": "llama",
        "model_version": "3.1",
        "baseline_type": BaselineType.INITIAL,
        "sample_size": 100,
        "avg_overall_score": 0.9,
        "established_at": NOW,
    }
    return add(session, QualityBaseline(**values | overrides))


def make_regression(
    session: Session, baseline: QualityBaseline, **overrides: Any
) -> QualityRegression:
    values: dict[str, Any] = {
        "customer_id": baseline.customer_id,
        "agent_id": baseline.agent_id,
        "baseline_id": baseline.id,
        "regression_type": RegressionType.QUALITY_DROP,
        "severity": RegressionSeverity.HIGH,
        "detected_at": NOW,
        "metric_name": "overall_quality_score",
        "baseline_value": 0.9,
        "current_value": 0.8,
        "delta_percent": -11.1,
        "sample_size": 50,
        "action_taken": RegressionAction.MANUAL_REVIEW,
    }
    return add(session, QualityRegression(**values | overrides))
