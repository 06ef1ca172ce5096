"""For every CHECK of the schema, values that it accepts and values that it refuses.

SET clauses of an UPDATE. The test that uses them fails for a CHECK that has none here.
"""

from __future__ import annotations

Examples = tuple[tuple[str, ...], tuple[str, ...]]

ODD = ("'NaN'", "'Infinity'", "'-Infinity'")


def each(column: str, accepted: tuple[object, ...], refused: tuple[object, ...]) -> Examples:
    return (
        tuple(f"{column} = {value}" for value in accepted),
        tuple(f"{column} = {value}" for value in refused),
    )


def share(column: str, *, is_nullable: bool = True) -> Examples:
    return each(column, (0, 1, 0.5, *(["NULL"] if is_nullable else [])), (-0.001, 1.001, *ODD))


def finite(column: str) -> Examples:
    return each(column, (0, -1.5, "1e308"), ODD)


def count(column: str, *, is_nullable: bool = False) -> Examples:
    return each(column, (0, 7, *(["NULL"] if is_nullable else [])), (-1,))


def money(column: str) -> Examples:
    return each(column, (0, -1.25, "NULL"), ("'NaN'",))


def order(first: str, last: str) -> Examples:
    accepted = (
        f"{first} = now(), {last} = now()",
        f"{first} = now(), {last} = now() + interval '1 s'",
    )
    return accepted, (f"{first} = now(), {last} = now() - interval '1 microsecond'",)


def end(running: tuple[str, ...], ended: tuple[str, ...]) -> Examples:
    """A status that has ended needs the time at which it did."""
    accepted = [f"status = '{status}', completed_at = NULL" for status in running]
    accepted += [f"status = '{status}', completed_at = now()" for status in ended]
    return tuple(accepted), tuple(f"status = '{status}', completed_at = NULL" for status in ended)


DAY = {
    "hours": "1",
    "num_samples": "array_fill(1, ARRAY[24])",
    "value_mean": "array_fill(1.0::float8, ARRAY[24])",
    "value_min": "array_fill(1.0::float8, ARRAY[24])",
    "value_max": "array_fill(NULL::float8, ARRAY[24])",
}


def day(**changes: str) -> str:
    return ", ".join(f"{column} = {value}" for column, value in (DAY | changes).items())


# By table, the columns that hold an instant; in the ones that a key is made of, others are refused.
INSTANTS = {
    "agent_capabilities": "updated_at",
    "agent_configs": "created_at",
    "agent_metrics": "recorded_at",
    "agent_states": "last_activity",
    "agents": "updated_at",
    "approvals": "updated_at",
    "cache_entries": "expires_at",
    "customers": "created_at",
    "event_claims": "claimed_at",
    "event_groups": "created_at",
    "event_log": "occurred_at",
    "event_outbox": "occurred_at",
    "events": "created_at",
    "optimizations": "updated_at",
    "quality_baselines": "created_at",
    "quality_metrics": "timestamp",
    "quality_regressions": "updated_at",
    "recommendations": "approved_at",
    "resource_metrics": "timestamp",
    "scaling_events": "updated_at",
    "workflow_artifacts": "created_at",
    "workflow_executions": "updated_at",
    "workflow_steps": "updated_at",
}
PARTITIONED = ("agent_metrics", "events", "resource_metrics")  # an end comes with each partition


def instant(table: str) -> Examples:
    late = () if table in PARTITIONED else ("'infinity'", "'9999-01-01 00:00+00'", "'294276-01-01'")
    last = () if table in PARTITIONED else ("'9998-12-31 23:59:59.999999+00'",)
    return each(
        INSTANTS[table],
        ("'1970-01-01 00:00+00'", "now()", *last),
        ("'-infinity'", "'1969-12-31 23:59:59.999999+00'", "'4713-01-01 BC'", *late),
    )


CHECKS: dict[str, Examples] = {
    **{f"{table}.check_instants": instant(table) for table in INSTANTS},
    "agent_capabilities.check_capability_version": each(
        "capability_version",
        ("'1.0.0'", "'0.10.2-rc.1'", "'0.0.0-x1'"),
        ("'v1'", "'1.0'", "'01.0.0'", "'1.0.0-'", "''", "'1.0.0 '"),
    ),
    "agent_capabilities.check_traffic_ratio": share("traffic_ratio", is_nullable=False),
    "agent_configs.check_sealed": (
        ("is_sensitive = true, key_id = 'k'", "is_sensitive = false, key_id = NULL"),
        ("is_sensitive = true, key_id = NULL", "is_sensitive = false, key_id = 'k'"),
    ),
    "agent_metrics.check_metric_value": finite("metric_value"),
    "agent_metrics.check_counter": (
        ("metric_type = 'counter', metric_value = 0", "metric_type = 'gauge', metric_value = -1"),
        ("metric_type = 'counter', metric_value = -1",),
    ),
    "agent_states.check_error_count": count("error_count"),
    "event_claims.check_claim_attempts": each("attempts", (1, 5), (0, -1)),
    "migration_findings.check_finding_action": each(
        "action", ("'mended'", "'quarantined'"), ("'deleted'", "''")
    ),
    "optimizations.check_actual_improvement": money("actual_improvement"),
    "optimizations.check_actual_savings": money("actual_savings"),
    "optimizations.check_completed": end(
        ("queued", "executing"), ("completed", "failed", "rolled_back")
    ),
    "optimizations.check_completed_at_order": order("started_at", "completed_at"),
    "optimizations.check_rolled_back_at_order": order("started_at", "rolled_back_at"),
    "optimizations.check_progress_range": each("progress", (0, 100), (-1, 101)),
    "quality_baselines.check_avg_coherence_score": share("avg_coherence_score"),
    "quality_baselines.check_avg_factuality_score": share("avg_factuality_score"),
    "quality_baselines.check_avg_overall_score": share("avg_overall_score", is_nullable=False),
    "quality_baselines.check_avg_relevance_score": share("avg_relevance_score"),
    "quality_baselines.check_p95_latency_ms": each(
        "p95_latency_ms", (0, "1e9", "NULL"), (-0.1, *ODD)
    ),
    "quality_baselines.check_sample_size": count("sample_size"),
    "quality_baselines.check_valid_until_order": order("established_at", "valid_until"),
    "quality_metrics.check_coherence_score": share("coherence_score"),
    "quality_metrics.check_completion_tokens": count("completion_tokens", is_nullable=True),
    "quality_metrics.check_factuality_score": share("factuality_score"),
    "quality_metrics.check_latency_ms": each("latency_ms", (0, "1e9", "NULL"), (-0.1, *ODD)),
    "quality_metrics.check_overall_quality_score": share(
        "overall_quality_score", is_nullable=False
    ),
    "quality_metrics.check_prompt_tokens": count("prompt_tokens", is_nullable=True),
    "quality_metrics.check_relevance_score": share("relevance_score"),
    "quality_metrics.check_toxicity_score": share("toxicity_score"),
    "quality_regressions.check_baseline_value": finite("baseline_value"),
    "quality_regressions.check_current_value": finite("current_value"),
    "quality_regressions.check_delta_percent": finite("delta_percent"),
    "quality_regressions.check_resolved_at_order": order("detected_at", "resolved_at"),
    "quality_regressions.check_sample_size": count("sample_size"),
    "recommendations.check_confidence_range": share("confidence_score", is_nullable=False),
    "recommendations.check_estimated_improvement": money("estimated_improvement"),
    "recommendations.check_estimated_savings": money("estimated_savings"),
    "resource_metric_days.check_hours_of_day": (
        (day(), day(hours="(1 << 24) - 1")),
        (
            day(hours="0"),
            day(hours="1 << 24"),
            day(num_samples="array_fill(1, ARRAY[23])"),
            day(num_samples="array_fill(NULL::int, ARRAY[24])"),
            day(value_mean="array_fill(NULL::float8, ARRAY[24])"),
            day(value_max="array_fill(1.0::float8, ARRAY[25])"),
        ),
    ),
    "resource_metrics.check_metric_value": finite("metric_value"),
    "scaling_events.check_completed_at_order": order("executed_at", "completed_at"),
    "workflow_artifacts.check_artifact_size_bytes": count("artifact_size_bytes", is_nullable=True),
    "workflow_executions.check_completed": end(
        ("pending", "running"), ("completed", "failed", "cancelled", "timeout")
    ),
    "workflow_executions.check_completed_at_order": order("started_at", "completed_at"),
    "workflow_executions.check_lease": (
        (
            "fence = 0, lease_owner = NULL, lease_expires_at = NULL",
            "fence = 7, lease_owner = 'w', lease_expires_at = now()",
        ),
        (
            "fence = -1",
            "lease_owner = 'w', lease_expires_at = NULL",
            "lease_owner = NULL, lease_expires_at = now()",
        ),
    ),
    "workflow_state_transitions.check_transition_hashes": (
        ("seq = seq + 1000", "prev_hash = sha256('a'), hash = sha256('b')"),
        ("seq = 0", "prev_hash = 'a'", "hash = ''"),
    ),
    "workflow_steps.check_completed": end(
        ("pending", "running", "retrying"), ("completed", "failed", "skipped")
    ),
    "workflow_steps.check_completed_at_order": order("started_at", "completed_at"),
    "workflow_steps.check_retries": (
        ("retry_count = 0, max_retries = 0", "retry_count = 2, max_retries = 1"),
        ("retry_count = -1", "max_retries = -1"),
    ),
}
