"""Lean indexes: what another index covers is dropped, and series are read by tenant and time.

Foreign keys stay indexed. The tables of series keep the two indexes by which they are read, since
each further one costs a fifth of the rate at which rows can be written.
"""

from optiinfra.database.migrations.operations import autocommit, create_index, drop_index

revision = "018_lean_indexes"
down_revision = "017_guards"
branch_labels = None
depends_on = None

CREATED = {
    "ix_events_customer_time": "events (customer_id, created_at, id)",
    "ix_agent_metrics_name_time": "agent_metrics (agent_id, metric_name, recorded_at)",
    "ix_resource_metrics_customer_time": 'resource_metrics (customer_id, "timestamp", id)',
    "ix_resource_metrics_name_time": 'resource_metrics (agent_id, metric_name, "timestamp")',
    "ix_quality_metrics_customer_time": 'quality_metrics (customer_id, "timestamp", id)',
}
DROPPED = {
    "idx_customer_api_key": "customers (api_key)",
    "idx_customer_email": "customers (email)",
    "idx_agent_type": "agents (type)",
    "idx_event_customer": "events (customer_id)",
    "idx_event_customer_created": "events (customer_id, created_at)",
    "idx_rec_customer": "recommendations (customer_id)",
    "idx_opt_customer": "optimizations (customer_id)",
    "idx_agent_config_agent": "agent_configs (agent_id)",
    "idx_agent_config_agent_key": "agent_configs (agent_id, config_key)",
    "idx_agent_state_agent": "agent_states (agent_id)",
    "idx_agent_cap_agent": "agent_capabilities (agent_id)",
    "idx_agent_cap_agent_name": "agent_capabilities (agent_id, capability_name)",
    "idx_agent_metric_agent": "agent_metrics (agent_id)",
    "idx_agent_metric_name": "agent_metrics (metric_name)",
    "idx_agent_metric_recorded": "agent_metrics (recorded_at)",
    "idx_agent_metric_agent_name": "agent_metrics (agent_id, metric_name)",
    "idx_agent_metric_agent_recorded": "agent_metrics (agent_id, recorded_at)",
    "ix_workflow_executions_id": "workflow_executions (id)",
    "ix_workflow_executions_agent_id": "workflow_executions (agent_id)",
    "ix_workflow_executions_customer_id": "workflow_executions (customer_id)",
    "ix_workflow_steps_id": "workflow_steps (id)",
    "ix_workflow_steps_workflow_execution_id": "workflow_steps (workflow_execution_id)",
    "ix_workflow_steps_execution_order": "workflow_steps (workflow_execution_id, step_order)",
    "ix_workflow_steps_step_name": "workflow_steps (step_name)",
    "ix_workflow_artifacts_id": "workflow_artifacts (id)",
    "ix_workflow_artifacts_workflow_execution_id": "workflow_artifacts (workflow_execution_id)",
    "ix_workflow_artifacts_workflow_step_id": "workflow_artifacts (workflow_step_id)",
    "ix_resource_metrics_id": "resource_metrics (id)",
    "ix_resource_metrics_agent_id": "resource_metrics (agent_id)",
    "ix_resource_metrics_customer_id": "resource_metrics (customer_id)",
    "ix_resource_metrics_instance_id": "resource_metrics (instance_id)",
    "ix_resource_metrics_resource_type": "resource_metrics (resource_type)",
    "ix_resource_metrics_metric_name": "resource_metrics (metric_name)",
    "ix_resource_metrics_timestamp": 'resource_metrics ("timestamp")',
    "ix_resource_metrics_agent_instance": "resource_metrics (agent_id, instance_id)",
    "ix_resource_metrics_customer_type": "resource_metrics (customer_id, resource_type)",
    "ix_resource_metrics_instance_timestamp": 'resource_metrics (instance_id, "timestamp")',
    "ix_resource_metrics_type_name": "resource_metrics (resource_type, metric_name)",
    "ix_scaling_events_id": "scaling_events (id)",
    "ix_scaling_events_agent_id": "scaling_events (agent_id)",
    "ix_scaling_events_customer_id": "scaling_events (customer_id)",
    "ix_scaling_events_workflow": "scaling_events (workflow_execution_id)",
    "ix_quality_metrics_id": "quality_metrics (id)",
    "ix_quality_metrics_agent_id": "quality_metrics (agent_id)",
    "ix_quality_metrics_customer_id": "quality_metrics (customer_id)",
    "ix_quality_metrics_model_name": "quality_metrics (model_name)",
    "ix_quality_baselines_id": "quality_baselines (id)",
    "ix_quality_baselines_agent_id": "quality_baselines (agent_id)",
    "ix_quality_baselines_customer_id": "quality_baselines (customer_id)",
    "ix_quality_baselines_type": "quality_baselines (baseline_type)",
    "ix_quality_regressions_id": "quality_regressions (id)",
    "ix_quality_regressions_agent_id": "quality_regressions (agent_id)",
    "ix_quality_regressions_customer_id": "quality_regressions (customer_id)",
    "ix_quality_regressions_baseline": "quality_regressions (baseline_id)",
    "ix_quality_regressions_workflow": "quality_regressions (workflow_execution_id)",
}


def upgrade() -> None:
    with autocommit():
        for name, on in CREATED.items():
            create_index(name, on)
        for name in DROPPED:
            drop_index(name)


def downgrade() -> None:
    with autocommit():
        for name, on in DROPPED.items():
            create_index(name, on)
        for name in CREATED:
            drop_index(name)
