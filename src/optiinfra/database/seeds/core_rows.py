"""Customers, agents, events, and recommendations with what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from uuid import UUID

from optiinfra.database.models import AgentType
from optiinfra.database.models.keys import compute_key_digest
from optiinfra.database.seeds.marks import (
    CUSTOMER_ID,
    NOW,
    REGRESSION_AT,
    SIMULATED,
    Row,
    ago,
    make_id,
)

# Name, address, plan, status.
CUSTOMERS: Final = {
    CUSTOMER_ID: ("Acme AI", "ops@acme.example", "enterprise", "active"),
    make_id("customers", "globex"): ("Globex", "infra@globex.example", "startup", "active"),
    make_id("customers", "initech"): ("Initech", "it@initech.example", "free", "suspended"),
}
# Status, what was decided on it, what its optimization came to.
FATES: Final = (
    ("pending", None, None),
    ("pending", "pending", None),
    ("approved", "approved", "queued"),
    ("rejected", "rejected", None),
    ("executing", "approved", "executing"),
    ("completed", "approved", "completed"),
    ("failed", "approved", "failed"),
    ("rolled_back", "approved", "rolled_back"),
)
KINDS: Final = (
    (AgentType.COST, "spot_migration", "Run a third of the replicas on spot instances"),
    (AgentType.RESOURCE, "scale_down", "One replica less at night"),
    (AgentType.PERFORMANCE, "kv_cache_tuning", "Keep more of the KV cache"),
    (AgentType.APPLICATION, "model_routing", "Send short prompts to the small model"),
)
ENDED_AT: Final = ago(hours=20)
STEPS_DONE: Final = {"queued": 0, "executing": 40, "completed": 100, "failed": 60}


def make_customers() -> list[Row]:
    """Three customers. Nobody knows their keys: issue new ones to use them."""
    return [
        {
            "id": id_,
            "name": name,
            "email": email,
            "api_key_digest": compute_key_digest(f"no key: {id_}"),
            "plan": plan,
            "status": status,
            "customer_metadata": SIMULATED,
            "created_at": ago(days=90),
            "updated_at": ago(days=90),
        }
        for id_, (name, email, plan, status) in CUSTOMERS.items()
    ]


def make_events(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """What some of the other rows would have left behind."""
    done = next(n for n, (_, _, status) in enumerate(FATES) if status == "completed")
    happened = (
        ("agent_registered", AgentType.COST, "info", ago(days=4)),
        ("optimization_completed", KINDS[done % len(KINDS)][0], "info", ENDED_AT),
        ("quality_regression_detected", AgentType.APPLICATION, "warning", REGRESSION_AT),
    )
    return [
        {
            "id": make_id("events", kind),
            "customer_id": CUSTOMER_ID,
            "agent_id": agents[agent],
            "event_type": kind,
            "severity": severity,
            "data": SIMULATED,
            "created_at": at,
        }
        for kind, agent, severity, at in happened
    ]


def make_recommendations(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """One for each way a recommendation can go."""
    rows = []
    for number, (status, _, optimization) in enumerate(FATES):
        agent, kind, title = KINDS[number % len(KINDS)]
        decided = ago(days=2, hours=number) if status not in {"pending", "rejected"} else None
        is_begun = optimization not in {None, "queued"}
        rows.append(
            {
                "id": make_id("recommendations", number),
                "customer_id": CUSTOMER_ID,
                "agent_id": agents[agent],
                "type": kind,
                "title": title,
                "description": "An example, not measured on anything.",
                "estimated_savings": Decimal(1000 + 250 * number),
                "confidence_score": 0.6 + 0.04 * number,
                "priority": ("low", "medium", "high", "critical")[number % 4],
                "status": status,
                "data": SIMULATED | {"deployment": "chat"},
                "evidence_digest": make_id("evidence", number).hex,
                "approved_at": decided,
                "executed_at": ago(days=1, hours=number) if is_begun else None,
                "created_at": ago(days=3, hours=number),
                "updated_at": ago(days=1),
            }
        )
    return rows


def make_approvals() -> list[Row]:
    """The decisions on them, in every status."""
    return [
        {
            "id": make_id("approvals", number),
            "customer_id": CUSTOMER_ID,
            "recommendation_id": make_id("recommendations", number),
            "approved_by": "boss@acme.example",
            "status": verdict,
            "comment": None if verdict == "pending" else "An example.",
            "evidence_digest": make_id("evidence", number).hex,
            "created_at": ago(days=2, hours=number),
            "updated_at": ago(days=2, hours=number),
        }
        for number, (_, verdict, _) in enumerate(FATES)
        if verdict is not None
    ]


def make_optimizations(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """What was done about the approved ones, in every status."""
    rows = []
    for number, (_, _, status) in enumerate(FATES):
        if status is None:
            continue
        is_over = status not in {"queued", "executing"}
        rows.append(
            {
                "id": make_id("optimizations", number),
                "recommendation_id": make_id("recommendations", number),
                "customer_id": CUSTOMER_ID,
                "agent_id": agents[KINDS[number % len(KINDS)][0]],
                "status": status,
                "progress": STEPS_DONE.get(status, 100),
                "result": SIMULATED,
                "error": "the engine did not become ready" if status == "failed" else None,
                "actual_savings": Decimal("1180.50") if status == "completed" else None,
                "started_at": None if status == "queued" else ago(days=1, hours=number),
                "completed_at": ENDED_AT if is_over else None,
                "rolled_back_at": ENDED_AT if status == "rolled_back" else None,
                "evidence_digest": make_id("evidence", number).hex,
                "created_at": ago(days=2),
                "updated_at": NOW,
            }
        )
    return rows
