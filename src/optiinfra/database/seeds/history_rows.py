"""Workflows with their steps and artifacts, series of metrics, scalings and quality."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import fmean, quantiles
from typing import Final
from uuid import UUID

from optiinfra.database.models import AgentType
from optiinfra.database.seeds.marks import (
    CUSTOMER_ID,
    NOW,
    REGRESSION_AT,
    SCALING_BEGAN_AT,
    SIMULATED,
    Row,
    ago,
    make_id,
)

# Agent, workflow, status, statuses of its three steps, when it began, when it ended.
WORKFLOWS: Final = (
    (
        AgentType.COST,
        "cost_analysis",
        "running",
        ("completed", "running", "pending"),
        ago(hours=4),
        None,
    ),
    (
        AgentType.PERFORMANCE,
        "performance_tuning",
        "completed",
        ("completed",) * 3,
        ago(hours=4),
        ago(hours=3),
    ),
    (
        AgentType.RESOURCE,
        "scaling_decision",
        "running",
        ("completed", "running", "pending"),
        SCALING_BEGAN_AT,
        None,
    ),
    (
        AgentType.APPLICATION,
        "quality_check",
        "failed",
        ("completed", "failed", "skipped"),
        ago(minutes=20),
        ago(minutes=5),
    ),
    (
        AgentType.ORCHESTRATOR,
        "health_check",
        "cancelled",
        ("completed", "skipped", "skipped"),
        ago(hours=2),
        ago(hours=1),
    ),
)
STEPS: Final = ("observe", "plan", "report")
OPEN: Final = frozenset({"pending", "running"})
STEP_RATIO: Final = 0.3  # of its workflow's time, each
NUM_SAMPLES: Final = 30
SAMPLE_EVERY: Final = timedelta(minutes=10)
INSTANCE: Final = "i-0a1b2c3d4e5f60718"
GPUS_A_REPLICA: Final = 2
# The first samples find six replicas idle, the others four of them with a load that rises.
NUM_IDLE: Final = 4
IDLE_PERCENT: Final = 30.0
FIRST_PERCENT, LAST_PERCENT = 45.0, 90.0
# Thresholds of the resource agent's settings (agent_facts.py).
ABOVE_PERCENT, BELOW_PERCENT = 85.0, 40.0
# Type, metric, unit, value at no load, further value at a GPU utilization of 100 percent.
SERIES: Final = (
    ("gpu", "utilization", "percent", 0.0, 100.0),
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
            "started_at": began,
            "completed_at": ended,
            "error_details": {"error": "quality below its threshold"}
            if status == "failed"
            else None,
            "workflow_metadata": SIMULATED,
            "created_at": began,
            "updated_at": ended or began,
        }
        for agent, kind, status, _, began, ended in WORKFLOWS
    ]


def make_steps() -> list[Row]:
    """Three steps each, one after another."""
    rows = []
    for _, kind, _, statuses, began, ended in WORKFLOWS:
        step_time = STEP_RATIO * ((ended or NOW) - began)
        for order, status in enumerate(statuses):
            started = began + order * step_time
            is_done = status not in OPEN
            rows.append(
                {
                    "id": make_id("workflow_steps", f"{kind}/{order}"),
                    "customer_id": CUSTOMER_ID,
                    "workflow_execution_id": make_id("workflow_executions", kind),
                    "step_name": STEPS[order],
                    "step_order": order + 1,
                    "status": status,
                    "started_at": None if status in {"pending", "skipped"} else started,
                    "completed_at": started + step_time if is_done else None,
                    "step_metadata": SIMULATED,
                    "created_at": began,
                    "updated_at": started + step_time if is_done else started,
                }
            )
    return rows


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
            "created_at": began + STEP_RATIO * ((ended or NOW) - began),
            "updated_at": began + STEP_RATIO * ((ended or NOW) - began),
        }
        for _, kind, _, _, began, ended in WORKFLOWS
    ]


def compute_utilization(number: int) -> float:
    """GPU utilization of a sample, in percent."""
    if number < NUM_IDLE:
        return IDLE_PERCENT
    share = (number - NUM_IDLE) / (NUM_SAMPLES - 1 - NUM_IDLE)
    return FIRST_PERCENT + share * (LAST_PERCENT - FIRST_PERCENT)


def get_sample_time(number: int) -> datetime:
    """When a sample was taken."""
    return SCALING_BEGAN_AT + number * SAMPLE_EVERY


def make_resource_metrics(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """120 samples of one instance: idle at first, then ever busier."""
    rows = []
    for kind, name, unit, rest, height in SERIES:
        for number in range(NUM_SAMPLES):
            at = get_sample_time(number)
            rows.append(
                {
                    "id": make_id("resource_metrics", f"{kind}/{name}/{number}"),
                    "agent_id": agents[AgentType.RESOURCE],
                    "customer_id": CUSTOMER_ID,
                    "instance_id": INSTANCE,
                    "resource_type": kind,
                    "metric_name": name,
                    "metric_value": round(rest + height * compute_utilization(number) / 100, 3),
                    "unit": unit,
                    "timestamp": at,
                    "resource_metadata": SIMULATED,
                    "created_at": at,
                }
            )
    return rows


def make_scaling_events(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """What the settings' thresholds bring about on those samples; the last one is going on."""
    decision = make_id("workflow_executions", "scaling_decision")
    values = [compute_utilization(number) for number in range(NUM_SAMPLES)]
    below = next(n for n, value in enumerate(values) if value < BELOW_PERCENT)
    above = next(n for n, value in enumerate(values) if value > ABOVE_PERCENT)
    low = f"gpu utilization {values[below]:.1f} percent, below {BELOW_PERCENT:.0f}"
    high = f"gpu utilization {values[above]:.1f} percent, above {ABOVE_PERCENT:.0f}"
    minute = timedelta(minutes=1)
    fell, rose = get_sample_time(below), get_sample_time(above)
    # Kind, reason, replicas before and after, when it began and ended.
    changes = (
        ("scale_down", low, 6, 4, fell + minute, fell + 3 * minute),
        ("auto_scale_triggered", high, 4, 4, rose, rose),
        ("scale_up", high, 4, 6, rose + minute, None),
    )
    return [
        {
            "id": make_id("scaling_events", kind),
            "agent_id": agents[AgentType.RESOURCE],
            "customer_id": CUSTOMER_ID,
            "workflow_execution_id": decision,
            "event_type": kind,
            "trigger_reason": reason,
            "before_state": describe_size(before),
            "after_state": describe_size(after),
            "success": ended is not None,
            "executed_at": began,
            "completed_at": ended,
            "scaling_metadata": SIMULATED,
            "created_at": began,
            "updated_at": ended or began,
        }
        for kind, reason, before, after, began, ended in changes
    ]


def describe_size(num_replicas: int) -> Row:
    """A deployment's size in replicas and GPUs."""
    return {"num_replicas": num_replicas, "num_gpus": num_replicas * GPUS_A_REPLICA}


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


def compute_mean(answers: list[Row]) -> float:
    """Mean quality, rounded as it is stored."""
    return round(fmean(answer["overall_quality_score"] for answer in answers), 6)


def make_baselines(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """The first half of the answers."""
    first = make_quality_metrics(agents)[: NUM_ANSWERS // 2]
    score = compute_mean(first)
    latencies = quantiles((answer["latency_ms"] for answer in first), n=20, method="inclusive")
    return [
        {
            "id": make_id("quality_baselines", "initial"),
            "agent_id": agents[AgentType.APPLICATION],
            "customer_id": CUSTOMER_ID,
            **MODEL,
            "baseline_type": "initial",
            "sample_size": len(first),
            "avg_relevance_score": score,
            "avg_coherence_score": score,
            "avg_factuality_score": score,
            "avg_overall_score": score,
            "p95_latency_ms": round(latencies[-1], 3),
            "established_at": ago(hours=1.1),
            "baseline_metadata": SIMULATED,
            "created_at": ago(hours=1.1),
        }
    ]


def make_regressions(agents: Mapping[AgentType, UUID]) -> list[Row]:
    """The second half of the answers against the first."""
    answers = make_quality_metrics(agents)
    half = NUM_ANSWERS // 2
    before, after = compute_mean(answers[:half]), compute_mean(answers[half:])
    return [
        {
            "id": make_id("quality_regressions", "drop"),
            "agent_id": agents[AgentType.APPLICATION],
            "customer_id": CUSTOMER_ID,
            "baseline_id": make_id("quality_baselines", "initial"),
            "workflow_execution_id": make_id("workflow_executions", "quality_check"),
            "regression_type": "quality_drop",
            "severity": "high",
            "detected_at": REGRESSION_AT,
            "metric_name": "overall_quality_score",
            "baseline_value": before,
            "current_value": after,
            "delta_percent": round((after / before - 1) * 100, 2),
            "sample_size": half,
            "action_taken": "manual_review",
            "regression_metadata": SIMULATED,
            "created_at": REGRESSION_AT,
            "updated_at": REGRESSION_AT,
        }
    ]
