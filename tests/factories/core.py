"""Rows of revision 001, complete and unremarkable but for what a test asks."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.orm import Session

from optiinfra.database.models import (
    Agent,
    AgentType,
    Approval,
    Customer,
    Event,
    Optimization,
    Recommendation,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
Row = TypeVar("Row")


def add(session: Session, row: Row) -> Row:
    """The row, sent to the database."""
    session.add(row)
    session.flush()
    return row


def make_customer(session: Session, **overrides: Any) -> Customer:
    mark = uuid4().hex
    values: dict[str, Any] = {
        "name": "Acme",
        "email": f"{mark}@example.com",
        "api_key": hashlib.sha256(mark.encode()).hexdigest(),
    }
    return add(session, Customer(**values | overrides))


def make_agent(session: Session, **overrides: Any) -> Agent:
    values: dict[str, Any] = {"type": AgentType.COST, "name": f"agent {uuid4().hex}"}
    return add(session, Agent(**values | overrides))


def make_event(session: Session, customer: Customer, **overrides: Any) -> Event:
    values: dict[str, Any] = {"customer_id": customer.id, "event_type": "something_happened"}
    return add(session, Event(**values | overrides))


def make_recommendation(
    session: Session, customer: Customer, agent: Agent, **overrides: Any
) -> Recommendation:
    values: dict[str, Any] = {
        "customer_id": customer.id,
        "agent_id": agent.id,
        "type": "reduce_cost",
        "title": "One replica less",
    }
    return add(session, Recommendation(**values | overrides))


def make_approval(session: Session, recommendation: Recommendation, **overrides: Any) -> Approval:
    values: dict[str, Any] = {
        "recommendation_id": recommendation.id,
        "approved_by": "boss@example.com",
    }
    return add(session, Approval(**values | overrides))


def make_optimization(
    session: Session, recommendation: Recommendation, **overrides: Any
) -> Optimization:
    values: dict[str, Any] = {
        "recommendation_id": recommendation.id,
        "customer_id": recommendation.customer_id,
        "agent_id": recommendation.agent_id,
    }
    return add(session, Optimization(**values | overrides))
