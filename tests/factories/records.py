"""Rows of what upgrades found."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session
from tests.factories.core import add

from optiinfra.database.models import Customer, MigrationFinding


def make_finding(session: Session, customer: Customer, **overrides: Any) -> MigrationFinding:
    """As a revision makes it: the database finds out whose it is."""
    values: dict[str, Any] = {
        "revision": "013_checks",
        "table_name": "quality_metrics",
        "row_id": uuid4(),
        "rule": "what cannot be becomes unknown",
        "action": "mended",
        "row_before": {"customer_id": str(customer.id), "latency_ms": -1},
    }
    return add(session, MigrationFinding(**values | overrides))
