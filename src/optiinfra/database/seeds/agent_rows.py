"""Rows of the agents' own tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from optiinfra.database.models import AgentType
from optiinfra.database.seeds.agent_facts import CAPABILITIES, CONFIGS, METRICS
from optiinfra.database.seeds.marks import (
    CUSTOMER_ID,
    NOW,
    SCALING_BEGAN_AT,
    SIMULATED,
    Row,
    ago,
    make_id,
)

CUSTOMER: Final = str(CUSTOMER_ID)
# Status, workflow, its data, locks, errors so far, the last of them.
STATES: Final[dict[AgentType, tuple[str, str | None, Row, list[str], int, Row | None]]] = {
    AgentType.COST: (
        "busy",
        "cost_analysis",
        {
            "customer_id": CUSTOMER,
            "analysis_started": NOW.isoformat(),
            "metrics_collected": 150,
            "savings_identified": 45_000,
        },
        ["gpu_cluster_1", "billing_data"],
        0,
        None,
    ),
    AgentType.PERFORMANCE: ("idle", None, {}, [], 0, None),
    AgentType.RESOURCE: (
        "busy",
        "scaling_decision",
        {
            "customer_id": CUSTOMER,
            "current_gpus": 8,
            "target_gpus": 12,
            "scale_reason": "high_utilization",
            "started_at": SCALING_BEGAN_AT.isoformat(),
        },
        ["k8s_cluster", "gpu_pool"],
        1,
        {
            "timestamp": ago(hours=2).isoformat(),
            "error": "Transient network timeout",
            "recovered": True,
        },
    ),
    AgentType.APPLICATION: (
        "error",
        "quality_check",
        {
            "customer_id": CUSTOMER,
            "check_id": "qc_20251019_001",
            "samples_checked": 50,
            "failures": 3,
        },
        ["quality_db"],
        3,
        {
            "timestamp": ago(minutes=5).isoformat(),
            "error": "Quality threshold breach: score=0.82 (threshold=0.85)",
            "severity": "high",
        },
    ),
}


def make_configs(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Twelve settings."""
    return [
        {
            "id": make_id("agent_configs", f"{agent}/{key}"),
            "agent_id": agents[agent],
            "config_key": key,
            "config_value": value,
            "config_type": kind,
            "description": description,
            "created_at": NOW,
            "updated_at": NOW,
        }
        for agent, key, value, kind, description in CONFIGS
    ]


def make_states(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Four states."""
    rows = []
    for agent, (status, workflow, data, locks, num_errors, error) in STATES.items():
        execution = make_id("workflow_executions", workflow) if workflow else None
        heartbeat = ago(minutes=5) if status == "error" else NOW
        held: dict[str, Any] = {lock: {"since": NOW.isoformat()} for lock in locks}
        rows.append(
            {
                "id": make_id("agent_states", agent),
                "agent_id": agents[agent],
                "current_status": status,
                "active_workflows": [str(execution)] if execution else [],
                "locks": held,
                "last_activity": heartbeat,
                "state_metadata": SIMULATED,
                "current_workflow_id": execution,
                "workflow_data": data,
                "error_count": num_errors,
                "last_error": error,
                "last_heartbeat": heartbeat,
                "created_at": NOW,
                "updated_at": NOW,
            }
        )
    return rows


def make_capabilities(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Eleven capabilities, two of them not enabled."""
    return [
        {
            "id": make_id("agent_capabilities", f"{agent}/{name}/{version}"),
            "agent_id": agents[agent],
            "capability_name": name,
            "capability_version": version,
            "enabled": is_enabled,
            "description": description,
            "config": parameters,
            "created_at": NOW,
            "updated_at": NOW,
        }
        for agent, name, version, is_enabled, description, parameters in CAPABILITIES
    ]


def make_metrics(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Twelve metrics."""
    return [
        {
            "id": make_id("agent_metrics", f"{agent}/{name}"),
            "agent_id": agents[agent],
            "metric_name": name,
            "metric_value": value,
            "metric_unit": unit,
            "metric_type": "counter" if unit == "count" else "gauge",
            "tags": tags | SIMULATED,
            "recorded_at": NOW,
        }
        for agent, name, value, unit, tags in METRICS
    ]
