"""Checks: finite numbers, ranges, order of times, one of each; rows that break them come first.

Every row that is changed or removed here is in migration_findings as it was. The rule for each is
beside its check; where a column may be NULL, NULL means that the value is not known.
"""

from __future__ import annotations

from typing import NamedTuple

from alembic import op

from optiinfra.database.migrations.operations import (
    FINITE,
    Loss,
    add_validated,
    alter,
    autocommit,
    create_index,
    drop_constraint,
    drop_index,
    record_findings,
    refuse_obstacles,
)

revision = "013_checks"
down_revision = "012_tenants"
branch_labels = None
depends_on = None


class Check(NamedTuple):
    """A condition on the rows of a table, and how to mend those that break it.

    `mend` is a SET clause; None removes the row, which stays among the findings.
    """

    table: str
    name: str
    condition: str
    mend: str | None
    rule: str


def finite(column: str) -> str:
    return FINITE.format(column)


def share(column: str) -> str:
    return f"{column} >= 0 AND {column} <= 1"


def check_null(table: str, column: str, condition: str, rule: str) -> Check:
    return Check(table, f"check_{column}", condition, f"{column} = NULL", rule)


def check_order(table: str, first: str, last: str) -> Check:
    return Check(
        table,
        f"check_{last}_order",
        f"{last} >= {first}",
        f"{last} = {first}",
        f"{last} becomes {first}",
    )


UNKNOWN = "what cannot be becomes unknown"
ASIDE = "a number that cannot be is set aside with its row"
ENDED = ("completed", "failed", "rolled_back")
CHECKS = (
    Check("agent_metrics", "check_metric_value", finite("metric_value"), None, ASIDE),
    Check(
        "agent_metrics",
        "check_counter",
        "metric_type <> 'counter' OR metric_value >= 0",
        "metric_type = 'gauge'",
        "a counter below 0 is a gauge",
    ),
    Check("resource_metrics", "check_metric_value", finite("metric_value"), None, ASIDE),
    check_null(
        "quality_metrics", "latency_ms", f"latency_ms >= 0 AND {finite('latency_ms')}", UNKNOWN
    ),
    check_null("quality_metrics", "prompt_tokens", "prompt_tokens >= 0", UNKNOWN),
    check_null("quality_metrics", "completion_tokens", "completion_tokens >= 0", UNKNOWN),
    *(
        check_null("quality_metrics", column, share(column), UNKNOWN)
        for column in ("relevance_score", "coherence_score", "factuality_score", "toxicity_score")
    ),
    Check(
        "quality_metrics",
        "check_overall_quality_score",
        share("overall_quality_score"),
        None,
        ASIDE,
    ),
    *(
        check_null("quality_baselines", column, share(column), UNKNOWN)
        for column in ("avg_relevance_score", "avg_coherence_score", "avg_factuality_score")
    ),
    Check(
        "quality_baselines",
        "check_avg_overall_score",
        share("avg_overall_score"),
        "avg_overall_score = least(1, greatest(0, avg_overall_score)),"
        " valid_until = established_at",
        "the nearest score that can be, and no longer valid",
    ),
    check_null(
        "quality_baselines",
        "p95_latency_ms",
        f"p95_latency_ms >= 0 AND {finite('p95_latency_ms')}",
        UNKNOWN,
    ),
    Check(
        "quality_baselines",
        "check_sample_size",
        "sample_size >= 0",
        "sample_size = 0",
        "a count below 0 is 0",
    ),
    check_order("quality_baselines", "established_at", "valid_until"),
    *(
        Check("quality_regressions", f"check_{column}", finite(column), None, ASIDE)
        for column in ("baseline_value", "current_value", "delta_percent")
    ),
    Check(
        "quality_regressions",
        "check_sample_size",
        "sample_size >= 0",
        "sample_size = 0",
        "a count below 0 is 0",
    ),
    check_order("quality_regressions", "detected_at", "resolved_at"),
    check_order("scaling_events", "executed_at", "completed_at"),
    check_order("optimizations", "started_at", "completed_at"),
    check_order("optimizations", "started_at", "rolled_back_at"),
    Check(
        "optimizations",
        "check_completed",
        f"status NOT IN {ENDED!r} OR completed_at IS NOT NULL",
        "completed_at = coalesce(rolled_back_at, started_at, created_at)",
        "ended when it was last heard of",
    ),
    check_order("workflow_executions", "started_at", "completed_at"),
    Check(
        "workflow_executions",
        "check_completed",
        "status IN ('pending', 'running') OR completed_at IS NOT NULL",
        "completed_at = greatest(started_at, updated_at)",
        "ended when it was last heard of",
    ),
    check_order("workflow_steps", "started_at", "completed_at"),
    Check(
        "workflow_steps",
        "check_completed",
        "status IN ('pending', 'running', 'retrying') OR completed_at IS NOT NULL",
        "completed_at = greatest(started_at, updated_at)",
        "ended when it was last heard of",
    ),
    Check(
        "workflow_steps",
        "check_retries",
        "retry_count >= 0 AND max_retries >= 0",
        "retry_count = greatest(0, retry_count), max_retries = greatest(0, max_retries)",
        "a count below 0 is 0",
    ),
    check_null("workflow_artifacts", "artifact_size_bytes", "artifact_size_bytes >= 0", UNKNOWN),
    Check(
        "agent_states",
        "check_error_count",
        "error_count >= 0",
        "error_count = 0",
        "a count below 0 is 0",
    ),
)
# Name, table with columns, and what is left of several.
UNIQUES = {
    "uq_workflow_step_order": "workflow_steps (customer_id, workflow_execution_id, step_order)",
    "uq_approval_decided": "approvals (customer_id, recommendation_id, approved_by)"
    " WHERE status <> 'pending'",
    "uq_optimization_live": "optimizations (customer_id, recommendation_id)"
    " WHERE status IN ('queued', 'executing')",
    "uq_quality_metric_request": "quality_metrics (customer_id, request_id)",
    "uq_workflow_step_idempotency": "workflow_steps (customer_id, idempotency_key)",
}
# Of several decisions of one person on one recommendation, the first counts.
SECOND_DECISION = """t.status <> 'pending' AND EXISTS (
    SELECT FROM approvals o WHERE o.recommendation_id = t.recommendation_id
      AND o.approved_by = t.approved_by AND o.status <> 'pending'
      AND (o.created_at, o.id) < (t.created_at, t.id))"""
SECOND_LIVE = """t.status IN ('queued', 'executing') AND EXISTS (
    SELECT FROM optimizations o WHERE o.recommendation_id = t.recommendation_id
      AND o.status IN ('queued', 'executing')
      AND (o.status <> 'executing', o.created_at, o.id)
          < (t.status <> 'executing', t.created_at, t.id))"""
SAME_ORDER = """EXISTS (
    SELECT FROM workflow_steps o WHERE o.workflow_execution_id = t.workflow_execution_id
      AND o.step_order = t.step_order AND (o.created_at, o.id) < (t.created_at, t.id))"""
OBSTACLES = (
    Loss(
        "SELECT FROM quality_metrics GROUP BY request_id HAVING count(*) > 1",
        "quality metrics of two customers with one request_id, which was unique before 013_checks",
    ),
)


def mend_rows() -> None:
    for check in CHECKS:
        breaking = f"NOT ({check.condition})"
        action = "quarantined" if check.mend is None else "mended"
        record_findings(revision, check.table, breaking, rule=check.rule, action=action)
        if check.mend is None:
            op.execute(f"DELETE FROM {check.table} t WHERE {breaking}")
        else:
            op.execute(f"UPDATE {check.table} t SET {check.mend} WHERE {breaking}")


def mend_several() -> None:
    record_findings(
        revision, "approvals", SECOND_DECISION, rule="the first counts", action="quarantined"
    )
    op.execute(f"DELETE FROM approvals t WHERE {SECOND_DECISION}")
    record_findings(
        revision, "optimizations", SECOND_LIVE, rule="one is live, others failed", action="mended"
    )
    op.execute(f"""
        UPDATE optimizations t SET status = 'failed', error = 'another one was live',
            completed_at = coalesce(started_at, created_at)
        WHERE {SECOND_LIVE}""")
    record_findings(
        revision, "workflow_steps", SAME_ORDER, rule="moves behind the last step", action="mended"
    )
    op.execute(f"""
        UPDATE workflow_steps t SET step_order = moved.step_order FROM (
            SELECT t.id, row_number() OVER (
                PARTITION BY t.workflow_execution_id ORDER BY t.step_order, t.created_at, t.id)
                + (SELECT max(m.step_order) FROM workflow_steps m
                   WHERE m.workflow_execution_id = t.workflow_execution_id) AS step_order
            FROM workflow_steps t WHERE {SAME_ORDER}) moved
        WHERE moved.id = t.id""")


def upgrade() -> None:
    mend_rows()
    mend_several()
    with autocommit():
        for name, on in UNIQUES.items():
            create_index(name, on, is_unique=True)
        for check in CHECKS:
            add_validated(check.table, check.name, f"CHECK ({check.condition})")
        drop_constraint("quality_metrics", "quality_metrics_request_id_key")
        drop_index("ix_quality_metrics_request_id")


def downgrade() -> None:
    refuse_obstacles(OBSTACLES)
    name, on = "quality_metrics_request_id_key", "quality_metrics (request_id)"
    with autocommit():
        create_index("ix_quality_metrics_request_id", on, is_unique=True)
        drop_constraint("quality_metrics", name)
        create_index(name, on, is_unique=True)
        added = f"ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
        alter("quality_metrics", f"ALTER TABLE quality_metrics {added}")
        for check in CHECKS:
            drop_constraint(check.table, check.name)
        for index in UNIQUES:
            drop_index(index)
