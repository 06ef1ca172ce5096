"""Workflows with their steps and artifacts, series of metrics, scalings and quality."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from optiinfra.database.models import AgentType
from optiinfra.database.seeds.marks import CUSTOMER_ID, SIMULATED, Row, ago, make_id

# Agent, workflow, status, statuses of its three steps.
WORKFLOWS: Final = (
    (AgentType.COST, "cost_analysis", "running", ("completed", "running", "pending")),
    (AgentType.PERFORMANCE, "performance_tuning", "completed", ("completed",) * 3),
    (AgentType.RESOURCE, "scaling_decision", "completed", ("completed",) * 3),
    (AgentType.APPLICATION, "quality_check", "failed", ("completed", "failed", "skipped")),
    (AgentType.ORCHESTRATOR, "health_check", "cancelled", ("completed", "skipped", "skipped")),
)
STEPS: Final = ("observe", "plan", "report")
OPEN: Final = frozenset({"pending", "running"})
NUM_SAMPLES: Final = 30
# Type, metric, unit, value at rest, further value at the height of the day.
SERIES: Final = (
    ("gpu", "utilization", "percent", 38.0, 50.0),
    ("gpu", "memory_used", "gigabytes", 52.0, 20.0),
    ("cpu", "utilization", "percent", 12.0, 15.0),
    ("network", "received", "megabytes_per_s", 40.0, 120.0),
)
NUM_ANSWERS: Final = 20
MODEL: Final = {"model_name": "llama-3.1-8b", "model_version": "2025-10"}


def make_executions(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Five workflows, in the statuses in which one may be found."""
    return [
        {
            "id": make_id("workflow_executions", kind),
            "agent_id": agents[agent],
            "customer_id": CUSTOMER_ID,
            "workflow_type": kind,
            "status": status,
            "started_at": ago(hours=4),
            "completed_at": None if status in OPEN else ago(hours=3),
            "error_details": {"error": "too few samples"} if status == "failed" else None,
            "workflow_metadata": SIMULATED,
            "created_at": ago(hours=4),
            "updated_at": ago(hours=3),
        }
        for agent, kind, status, _ in WORKFLOWS
    ]


def make_steps() -> list[Row]:
    """Three steps each."""
    return [
        {
            "id": make_id("workflow_steps", f"{kind}/{order}"),
            "customer_id": CUSTOMER_ID,
            "workflow_execution_id": make_id("workflow_executions", kind),
            "step_name": STEPS[order],
            "step_order": order + 1,
            "status": status,
            "started_at": None if status in {"pending", "skipped"} else ago(hours=4 - order / 4),
            "completed_at": None if status in OPEN else ago(hours=3.7 - order / 4),
            "step_metadata": SIMULATED,
            "created_at": ago(hours=4),
            "updated_at": ago(hours=3),
        }
        for _, kind, _, statuses in WORKFLOWS
        for order, status in enumerate(statuses)
    ]


def make_artifacts() -> list[Row]:
    """What the first step of each left behind."""
    return [
        {
            "id": make_id("workflow_artifacts", kind),
            "customer_id": CUSTOMER_ID,
            "workflow_execution_id": make_id("workflow_executions", kind),
            "workflow_step_id": make_id("workflow_steps", f"{kind}/0"),
            "artifact_type": "metrics",
            "artifact_name": "observations.json",
            "artifact_path": f"examples/{kind}/observations.json",
            "artifact_size_bytes": 2048,
            "content_type": "application/json",
            "artifact_metadata": SIMULATED,
            "created_at": ago(hours=3.5),
            "updated_at": ago(hours=3.5),
        }
        for _, kind, _, _ in WORKFLOWS
    ]


def make_resource_metrics(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """120 samples of one instance: load rises, two replicas come, load falls."""
    rows = []
    for kind, name, unit, rest, height in SERIES:
        for number in range(NUM_SAMPLES):
            nearness = 1 - abs(number - NUM_SAMPLES / 2) / (NUM_SAMPLES / 2)
            rows.append(
                {
                    "id": make_id("resource_metrics", f"{kind}/{name}/{number}"),
                    "agent_id": agents[AgentType.RESOURCE],
                    "customer_id": CUSTOMER_ID,
                    "instance_id": "i-0a1b2c3d4e5f60718",
                    "resource_type": kind,
                    "metric_name": name,
                    "metric_value": round(rest + height * nearness, 3),
                    "unit": unit,
                    "timestamp": ago(hours=5) + timedelta(minutes=10 * number),
                    "resource_metadata": SIMULATED,
                    "created_at": ago(hours=5) + timedelta(minutes=10 * number),
                }
            )
    return rows


def make_scaling_events(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """What the thresholds 85 and 40 percent would have brought about on those samples."""
    decision = make_id("workflow_executions", "scaling_decision")
    changes = (
        ("auto_scale_triggered", "gpu utilization above 85 percent", 4, 4, 2.6, True),
        ("scale_up", "gpu utilization above 85 percent", 4, 6, 2.5, True),
        ("scale_down", "gpu utilization below 40 percent", 6, 4, 0.1, True),
    )
    return [
        {
            "id": make_id("scaling_events", kind),
            "agent_id": agents[AgentType.RESOURCE],
            "customer_id": CUSTOMER_ID,
            "workflow_execution_id": decision,
            "event_type": kind,
            "trigger_reason": reason,
            "before_state": {"num_replicas": before},
            "after_state": {"num_replicas": after},
            "success": is_done,
            "executed_at": ago(hours=hours),
            "completed_at": ago(hours=hours - 0.05),
            "scaling_metadata": SIMULATED,
            "created_at": ago(hours=hours),
            "updated_at": ago(hours=hours - 0.05),
        }
        for kind, reason, before, after, hours, is_done in changes
    ]


def make_quality_metrics(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """Twenty answers, the later half of them worse."""
    rows = []
    for number in range(NUM_ANSWERS):
        is_worse = number >= NUM_ANSWERS // 2
        score = (0.82 if is_worse else 0.91) + 0.001 * (number % 10) - 0.0045
        rows.append(
            {
                "id": make_id("quality_metrics", number),
                "agent_id": agents[AgentType.APPLICATION],
                "customer_id": CUSTOMER_ID,
                "request_id": f"seed-{number:04d}",
                **MODEL,
                "prompt_tokens": 300 + 10 * number,
                "completion_tokens": 120 + number,
                "latency_ms": 480.0 + number,
                "relevance_score": round(score, 4),
                "coherence_score": round(score, 4),
                "factuality_score": round(score, 4),
                "hallucination_detected": number == NUM_ANSWERS - 1,
                "toxicity_score": 0.01,
                "overall_quality_score": round(score, 4),
                "timestamp": ago(hours=2) + timedelta(minutes=5 * number),
                "quality_metadata": SIMULATED,
                "created_at": ago(hours=2) + timedelta(minutes=5 * number),
            }
        )
    return rows


def make_baselines(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """The mean of the first half of the answers."""
    return [
        {
            "id": make_id("quality_baselines", "initial"),
            "agent_id": agents[AgentType.APPLICATION],
            "customer_id": CUSTOMER_ID,
            **MODEL,
            "baseline_type": "initial",
            "sample_size": NUM_ANSWERS // 2,
            "avg_relevance_score": 0.91,
            "avg_coherence_score": 0.91,
            "avg_factuality_score": 0.91,
            "avg_overall_score": 0.91,
            "p95_latency_ms": 489.0,
            "established_at": ago(hours=1.1),
            "baseline_metadata": SIMULATED,
            "created_at": ago(hours=1.1),
        }
    ]


def make_regressions(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """The second half against the first."""
    return [
        {
            "id": make_id("quality_regressions", "drop"),
            "agent_id": agents[AgentType.APPLICATION],
            "customer_id": CUSTOMER_ID,
            "baseline_id": make_id("quality_baselines", "initial"),
            "workflow_execution_id": make_id("workflow_executions", "quality_check"),
            "regression_type": "quality_drop",
            "severity": "high",
            "detected_at": ago(hours=0.2),
            "metric_name": "overall_quality_score",
            "baseline_value": 0.91,
            "current_value": 0.82,
            "delta_percent": -9.89,
            "sample_size": NUM_ANSWERS // 2,
            "action_taken": "manual_review",
            "regression_metadata": SIMULATED,
            "created_at": ago(hours=0.2),
            "updated_at": ago(hours=0.2),
        }
    ]
