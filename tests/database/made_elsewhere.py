"""A database that somebody else's revisions 001 to 005 made; its rows break later checks."""

from __future__ import annotations

from optiinfra.database.engine import make_engine

LAST = "005_application_schema"
PLAIN_KEY = "0123456789abcdef0123456789abcdef"  # a UUID's hex digits
WEAK_KEY = "test-key"
# How tables of other hands differ: naive times, no defaults, names of PostgreSQL's or their own.
FORM = """
    ALTER TABLE resource_metrics ALTER timestamp TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp, ALTER id DROP DEFAULT;
    ALTER TABLE scaling_events ALTER executed_at TYPE timestamp, ALTER completed_at TYPE timestamp,
        ALTER created_at DROP DEFAULT, ALTER created_at TYPE timestamp,
        ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE timestamp;
    ALTER TABLE quality_metrics ALTER timestamp TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp;
    ALTER TABLE quality_baselines ALTER established_at TYPE timestamp,
        ALTER valid_until TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp;
    ALTER TABLE quality_regressions ALTER detected_at TYPE timestamp,
        ALTER resolved_at TYPE timestamp, ALTER created_at DROP DEFAULT,
        ALTER created_at TYPE timestamp, ALTER updated_at DROP DEFAULT,
        ALTER updated_at TYPE timestamp;
    ALTER TABLE customers ALTER id DROP DEFAULT, ALTER plan DROP DEFAULT;
    ALTER TABLE customers RENAME CONSTRAINT customers_api_key_key TO their_key;
    ALTER TABLE agent_capabilities RENAME CONSTRAINT uq_agent_capability TO their_capability;
    ALTER TABLE approvals RENAME CONSTRAINT approvals_recommendation_id_fkey TO their_fkey;
    ALTER TABLE approvals RENAME CONSTRAINT approvals_pkey TO their_pkey;
    ALTER TABLE scaling_events DROP CONSTRAINT scaling_events_workflow_execution_id_fkey,
        ADD CONSTRAINT theirs FOREIGN KEY (workflow_execution_id)
            REFERENCES workflow_executions (id);
    ALTER TABLE quality_metrics DROP CONSTRAINT quality_metrics_request_id_key;
    ALTER INDEX idx_rec_type RENAME TO their_index;
    DROP INDEX idx_opt_status;
    DROP INDEX ix_quality_metrics_request_id;
    CREATE UNIQUE INDEX theirs_unique ON quality_metrics (request_id)
"""
# Rows, many of which break what later revisions check. {a} and {b} are customers, {g} the agent.
ROWS = """
    INSERT INTO customers (id, name, email, api_key, plan) VALUES
        ('{a}', 'A', 'a@example.com', '{plain}', 'free'),
        ('{b}', 'B', 'b@example.com', '{weak}', 'free');
    INSERT INTO agents (id, type, name) VALUES ('{g}', 'cost', 'Cost Optimizer');
    INSERT INTO agent_capabilities (agent_id, capability_name, enabled) VALUES
        ('{g}', 'one', true), ('{g}', 'two', false);
    INSERT INTO agent_metrics (agent_id, metric_name, metric_value, metric_type) VALUES
        ('{g}', 'fine', 1, 'gauge'), ('{g}', 'nan', 'NaN', 'gauge'),
        ('{g}', 'minus', -1, 'counter');
    INSERT INTO recommendations (id, customer_id, agent_id, type, title, data) VALUES
        ('{r}', '{a}', '{g}', 't', 'ours', '{{"evidence_digest": "abc"}}');
    INSERT INTO approvals (recommendation_id, approved_by, status) VALUES
        ('{r}', 'boss', 'approved'), ('{r}', 'boss', 'rejected'), ('{r}', 'other', 'approved');
    INSERT INTO optimizations (recommendation_id, customer_id, agent_id, status, started_at,
        completed_at) VALUES
        ('{r}', '{b}', '{g}', 'executing', '2026-01-02', NULL),
        ('{r}', '{a}', '{g}', 'queued', NULL, NULL),
        ('{r}', '{a}', '{g}', 'completed', '2026-01-02', NULL),
        ('{r}', '{a}', '{g}', 'completed', '2026-01-02', '2026-01-01');
    INSERT INTO workflow_executions (id, agent_id, customer_id, workflow_type, status) VALUES
        ('{e}', '{g}', '{a}', 'cost_analysis', 'running'),
        ('{f}', '{g}', '{b}', 'cost_analysis', 'completed');
    INSERT INTO workflow_steps (id, workflow_execution_id, step_name, step_order, status,
        retry_count) VALUES
        ('{s}', '{e}', 'one', 1, 'completed', -1),
        (gen_random_uuid(), '{e}', 'two', 1, 'pending', 0),
        (gen_random_uuid(), '{e}', 'three', 1, 'pending', 0),
        (gen_random_uuid(), '{e}', 'four', 2, 'pending', 0);
    INSERT INTO workflow_artifacts (workflow_execution_id, workflow_step_id, artifact_type,
        artifact_name, artifact_path, artifact_size_bytes) VALUES
        ('{f}', '{s}', 'report', 'n', 'p', -5);
    INSERT INTO resource_metrics (id, agent_id, customer_id, instance_id, resource_type,
        metric_name, metric_value, unit, timestamp, created_at) VALUES
        (gen_random_uuid(), '{g}', '{a}', 'i', 'gpu', 'm', 1, 'u', '2026-01-02 03:04', now()),
        (gen_random_uuid(), '{g}', '{a}', 'i', 'gpu', 'm', 'Infinity', 'u', '2026-01-02', now());
    INSERT INTO scaling_events (agent_id, customer_id, workflow_execution_id, event_type,
        trigger_reason, before_state, after_state, executed_at, completed_at, created_at,
        updated_at) VALUES
        ('{g}', '{a}', '{f}', 'scale_up', 'r', '{{}}', '{{}}', '2026-01-02', '2026-01-01', now(),
         now());
    INSERT INTO quality_metrics (agent_id, customer_id, request_id, model_name, model_version,
        latency_ms, relevance_score, overall_quality_score, timestamp, created_at) VALUES
        ('{g}', '{a}', '1', 'm', '1', 'NaN', 1.5, 0.5, '2026-01-02', now()),
        ('{g}', '{a}', '2', 'm', '1', 1, 1, 85, '2026-01-02', now());
    INSERT INTO quality_baselines (id, agent_id, customer_id, model_name, model_version,
        baseline_type, sample_size, avg_overall_score, established_at, created_at) VALUES
        ('{q}', '{g}', '{a}', 'm', '1', 'initial', -1, 85, '2026-01-02', now());
    INSERT INTO quality_regressions (agent_id, customer_id, baseline_id, workflow_execution_id,
        regression_type, severity, detected_at, metric_name, baseline_value, current_value,
        delta_percent, sample_size, action_taken, created_at, updated_at) VALUES
        ('{g}', '{b}', '{q}', '{f}', 'quality_drop', 'low', '2026-01-02', 'm', 1, 0, -1, 1,
         'alert_only', now(), now()),
        ('{g}', '{a}', '{q}', NULL, 'quality_drop', 'low', '2026-01-02', 'm', 1, 0, 'NaN', 1,
         'alert_only', now(), now())
"""
IDS = {name: f"00000000-0000-4000-8000-00000000000{i}" for i, name in enumerate("abgrefsq")}


def fill(url: str) -> None:
    """Give a database of ours at revision 005 another form, and rows."""
    rows = ROWS.format(plain=PLAIN_KEY, weak=WEAK_KEY, **IDS)
    with make_engine(url, is_pooled=False).begin() as connection:
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
        for statement in (FORM + ";" + rows).split(";"):
            connection.exec_driver_sql(statement.replace("%", "%%"))
