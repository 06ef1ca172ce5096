"""Rows of revision 003, and values to be written by `record_analysis`."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session
from tests.factories.core import NOW, add

from optiinfra.database.models import (
    Agent,
    ArtifactType,
    Customer,
    StepStatus,
    WorkflowArtifact,
    WorkflowExecution,
    WorkflowStatus,
    WorkflowStep,
    WorkflowType,
)
from optiinfra.database.repositories import NewArtifact, NewRecommendation, NewStep


def make_execution(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> WorkflowExecution:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "workflow_type": WorkflowType.COST_ANALYSIS,
        "status": WorkflowStatus.RUNNING,
    }
    return add(session, WorkflowExecution(**values | overrides))


def make_step(session: Session, execution: WorkflowExecution, **overrides: Any) -> WorkflowStep:
    values: dict[str, Any] = {
        "workflow_execution_id": execution.id,
        "step_name": "simulate",
        "step_order": 1,
        "status": StepStatus.PENDING,
    }
    return add(session, WorkflowStep(**values | overrides))


def make_artifact(
    session: Session, execution: WorkflowExecution, **overrides: Any
) -> WorkflowArtifact:
    values: dict[str, Any] = {
        "workflow_execution_id": execution.id,
        "artifact_type": ArtifactType.REPORT,
        "artifact_name": "report",
        "artifact_path": "report.html",
    }
    return add(session, WorkflowArtifact(**values | overrides))


def make_new_recommendation(**overrides: Any) -> NewRecommendation:
    values: dict[str, Any] = {
        "type": "reduce_cost",
        "title": "Three replicas instead of four",
        "deployment": "chat",
        "evidence_digest": "d" * 64,
        "estimated_savings": Decimal("1234.56"),
        "confidence": 0.75,
    }
    return NewRecommendation(**values | overrides)


def make_new_step(name: str = "simulate", **overrides: Any) -> NewStep:
    values: dict[str, Any] = {"started_at": NOW - timedelta(seconds=9), "completed_at": NOW}
    return NewStep(name=name, **values | overrides)


def make_new_artifact(**overrides: Any) -> NewArtifact:
    values: dict[str, Any] = {
        "type": ArtifactType.REPORT,
        "name": "report",
        "path": "report.html",
        "size_bytes": 12_345,
        "sha256": "a" * 64,
        "content_type": "text/html",
    }
    return NewArtifact(**values | overrides)
