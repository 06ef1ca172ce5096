"""Adopted databases: the form of revisions 001 to 005, whoever ran them.

Databases made elsewhere hold naive timestamps (read as UTC here), lack server defaults, and have
other names for constraints and indexes: they are found by their columns. A database that our own
revisions made is left as it is. There is no way back, since both forms are one to revision 005.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

from optiinfra.database.migrations.operations import autocommit, create_index

revision = "006_adopted_databases"
down_revision = "005_application_schema"
branch_labels = None
depends_on = None

TIMES = {
    "agent_capabilities": "created_at updated_at",
    "agent_configs": "created_at updated_at",
    "agent_metrics": "recorded_at",
    "agent_states": "last_activity created_at updated_at",
    "agents": "last_heartbeat created_at updated_at",
    "approvals": "created_at updated_at",
    "customers": "created_at updated_at",
    "events": "created_at",
    "optimizations": "started_at completed_at rolled_back_at created_at",
    "quality_baselines": "established_at valid_until created_at",
    "quality_metrics": "timestamp created_at",
    "quality_regressions": "detected_at resolved_at created_at updated_at",
    "recommendations": "created_at updated_at approved_at executed_at",
    "resource_metrics": "timestamp created_at",
    "scaling_events": "executed_at completed_at created_at updated_at",
    "workflow_artifacts": "created_at updated_at",
    "workflow_executions": "started_at completed_at created_at updated_at",
    "workflow_steps": "started_at completed_at created_at updated_at",
}
DEFAULTS = {
    "agent_capabilities": (
        "capability_version='1.0.0'::character varying",
        "enabled=true",
        "config='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "agent_configs": (
        "config_type='string'::configtype",
        "created_at=now()",
        "updated_at=now()",
    ),
    "agent_metrics": (
        "metric_type='gauge'::metrictype",
        "tags='{}'::jsonb",
        "recorded_at=now()",
    ),
    "agent_states": (
        "current_status='idle'::agentstatusdetail",
        "active_workflows='[]'::jsonb",
        "locks='{}'::jsonb",
        "last_activity=now()",
        "resource_usage='{}'::jsonb",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "agents": (
        "status='starting'::agentstatus",
        "capabilities='[]'::jsonb",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "approvals": (
        "status='pending'::approvalstatus",
        "created_at=now()",
        "updated_at=now()",
    ),
    "customers": (
        "plan='free'::customerplan",
        "status='active'::customerstatus",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "events": (
        "severity='info'::eventseverity",
        "data='{}'::jsonb",
        "created_at=now()",
    ),
    "optimizations": (
        "status='queued'::optimizationstatus",
        "progress=0",
        "result='{}'::jsonb",
        "created_at=now()",
    ),
    "quality_baselines": (
        "metadata='{}'::jsonb",
        "created_at=now()",
    ),
    "quality_metrics": (
        "hallucination_detected=false",
        "metadata='{}'::jsonb",
        "created_at=now()",
    ),
    "quality_regressions": (
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "recommendations": (
        "confidence_score='0'::double precision",
        "priority='medium'::recommendationpriority",
        "status='pending'::recommendationstatus",
        "data='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "resource_metrics": (
        "metadata='{}'::jsonb",
        "created_at=now()",
    ),
    "scaling_events": (
        "success=false",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "workflow_artifacts": (
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "workflow_executions": (
        "input_data='{}'::jsonb",
        "output_data='{}'::jsonb",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
    "workflow_steps": (
        "input_data='{}'::jsonb",
        "output_data='{}'::jsonb",
        "retry_count=0",
        "max_retries=3",
        "metadata='{}'::jsonb",
        "created_at=now()",
        "updated_at=now()",
    ),
}
KEYS = (
    (
        "agent_capabilities",
        "agent_capabilities_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    ("agent_capabilities", "agent_capabilities_pkey", "PRIMARY KEY (id)"),
    ("agent_capabilities", "uq_agent_capability", "UNIQUE (agent_id, capability_name)"),
    (
        "agent_configs",
        "agent_configs_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    ("agent_configs", "agent_configs_pkey", "PRIMARY KEY (id)"),
    ("agent_configs", "uq_agent_config", "UNIQUE (agent_id, config_key)"),
    (
        "agent_metrics",
        "agent_metrics_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    ("agent_metrics", "agent_metrics_pkey", "PRIMARY KEY (id)"),
    (
        "agent_states",
        "agent_states_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "agent_states",
        "agent_states_current_workflow_id_fkey",
        "FOREIGN KEY (current_workflow_id) REFERENCES workflow_executions(id) ON DELETE SET NULL",
    ),
    ("agent_states", "agent_states_pkey", "PRIMARY KEY (id)"),
    ("agent_states", "agent_states_agent_id_key", "UNIQUE (agent_id)"),
    ("agents", "agents_pkey", "PRIMARY KEY (id)"),
    ("agents", "uq_agent_type_name", "UNIQUE (type, name)"),
    (
        "approvals",
        "approvals_recommendation_id_fkey",
        "FOREIGN KEY (recommendation_id) REFERENCES recommendations(id) ON DELETE CASCADE",
    ),
    ("approvals", "approvals_pkey", "PRIMARY KEY (id)"),
    ("customers", "customers_pkey", "PRIMARY KEY (id)"),
    ("customers", "customers_api_key_key", "UNIQUE (api_key)"),
    ("customers", "customers_email_key", "UNIQUE (email)"),
    (
        "events",
        "events_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL",
    ),
    (
        "events",
        "events_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("events", "events_pkey", "PRIMARY KEY (id)"),
    (
        "optimizations",
        "optimizations_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "optimizations",
        "optimizations_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    (
        "optimizations",
        "optimizations_recommendation_id_fkey",
        "FOREIGN KEY (recommendation_id) REFERENCES recommendations(id) ON DELETE CASCADE",
    ),
    ("optimizations", "optimizations_pkey", "PRIMARY KEY (id)"),
    (
        "quality_baselines",
        "quality_baselines_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "quality_baselines",
        "quality_baselines_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("quality_baselines", "quality_baselines_pkey", "PRIMARY KEY (id)"),
    (
        "quality_metrics",
        "quality_metrics_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "quality_metrics",
        "quality_metrics_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("quality_metrics", "quality_metrics_pkey", "PRIMARY KEY (id)"),
    ("quality_metrics", "quality_metrics_request_id_key", "UNIQUE (request_id)"),
    (
        "quality_regressions",
        "quality_regressions_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "quality_regressions",
        "quality_regressions_baseline_id_fkey",
        "FOREIGN KEY (baseline_id) REFERENCES quality_baselines(id) ON DELETE CASCADE",
    ),
    (
        "quality_regressions",
        "quality_regressions_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    (
        "quality_regressions",
        "quality_regressions_workflow_execution_id_fkey",
        "FOREIGN KEY (workflow_execution_id) REFERENCES workflow_executions(id) ON DELETE SET NULL",
    ),
    ("quality_regressions", "quality_regressions_pkey", "PRIMARY KEY (id)"),
    (
        "recommendations",
        "recommendations_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "recommendations",
        "recommendations_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("recommendations", "recommendations_pkey", "PRIMARY KEY (id)"),
    (
        "resource_metrics",
        "resource_metrics_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "resource_metrics",
        "resource_metrics_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("resource_metrics", "resource_metrics_pkey", "PRIMARY KEY (id)"),
    (
        "scaling_events",
        "scaling_events_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "scaling_events",
        "scaling_events_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    (
        "scaling_events",
        "scaling_events_workflow_execution_id_fkey",
        "FOREIGN KEY (workflow_execution_id) REFERENCES workflow_executions(id) ON DELETE SET NULL",
    ),
    ("scaling_events", "scaling_events_pkey", "PRIMARY KEY (id)"),
    (
        "workflow_artifacts",
        "workflow_artifacts_workflow_execution_id_fkey",
        "FOREIGN KEY (workflow_execution_id) REFERENCES workflow_executions(id) ON DELETE CASCADE",
    ),
    (
        "workflow_artifacts",
        "workflow_artifacts_workflow_step_id_fkey",
        "FOREIGN KEY (workflow_step_id) REFERENCES workflow_steps(id) ON DELETE CASCADE",
    ),
    ("workflow_artifacts", "workflow_artifacts_pkey", "PRIMARY KEY (id)"),
    (
        "workflow_executions",
        "workflow_executions_agent_id_fkey",
        "FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
    ),
    (
        "workflow_executions",
        "workflow_executions_customer_id_fkey",
        "FOREIGN KEY (customer_id) REFERENCES customers(id) ON DELETE CASCADE",
    ),
    ("workflow_executions", "workflow_executions_pkey", "PRIMARY KEY (id)"),
    (
        "workflow_steps",
        "workflow_steps_workflow_execution_id_fkey",
        "FOREIGN KEY (workflow_execution_id) REFERENCES workflow_executions(id) ON DELETE CASCADE",
    ),
    ("workflow_steps", "workflow_steps_pkey", "PRIMARY KEY (id)"),
)
INDEXES = (
    ("agent_capabilities", "idx_agent_cap_agent", "(agent_id)"),
    ("agent_capabilities", "idx_agent_cap_agent_name", "(agent_id, capability_name)"),
    ("agent_capabilities", "idx_agent_cap_enabled", "(enabled)"),
    ("agent_capabilities", "idx_agent_cap_name", "(capability_name)"),
    ("agent_configs", "idx_agent_config_agent", "(agent_id)"),
    ("agent_configs", "idx_agent_config_agent_key", "(agent_id, config_key)"),
    ("agent_configs", "idx_agent_config_key", "(config_key)"),
    ("agent_metrics", "idx_agent_metric_agent", "(agent_id)"),
    ("agent_metrics", "idx_agent_metric_agent_name", "(agent_id, metric_name)"),
    ("agent_metrics", "idx_agent_metric_agent_recorded", "(agent_id, recorded_at)"),
    ("agent_metrics", "idx_agent_metric_name", "(metric_name)"),
    ("agent_metrics", "idx_agent_metric_recorded", "(recorded_at)"),
    ("agent_states", "idx_agent_state_activity", "(last_activity)"),
    ("agent_states", "idx_agent_state_agent", "(agent_id)"),
    ("agent_states", "idx_agent_state_status", "(current_status)"),
    ("agent_states", "ix_agent_states_current_workflow_id", "(current_workflow_id)"),
    ("agents", "idx_agent_heartbeat", "(last_heartbeat)"),
    ("agents", "idx_agent_status", "(status)"),
    ("agents", "idx_agent_type", "(type)"),
    ("approvals", "idx_approval_rec", "(recommendation_id)"),
    ("approvals", "idx_approval_status", "(status)"),
    ("customers", "idx_customer_api_key", "(api_key)"),
    ("customers", "idx_customer_email", "(email)"),
    ("customers", "idx_customer_status", "(status)"),
    ("events", "idx_event_agent", "(agent_id)"),
    ("events", "idx_event_created", "(created_at)"),
    ("events", "idx_event_customer", "(customer_id)"),
    ("events", "idx_event_customer_created", "(customer_id, created_at)"),
    ("events", "idx_event_severity", "(severity)"),
    ("events", "idx_event_type", "(event_type)"),
    ("optimizations", "idx_opt_agent", "(agent_id)"),
    ("optimizations", "idx_opt_customer", "(customer_id)"),
    ("optimizations", "idx_opt_customer_status", "(customer_id, status)"),
    ("optimizations", "idx_opt_rec", "(recommendation_id)"),
    ("optimizations", "idx_opt_status", "(status)"),
    ("quality_baselines", "ix_quality_baselines_agent_id", "(agent_id)"),
    ("quality_baselines", "ix_quality_baselines_agent_model", "(agent_id, model_name)"),
    ("quality_baselines", "ix_quality_baselines_baseline_type", "(baseline_type)"),
    ("quality_baselines", "ix_quality_baselines_customer_id", "(customer_id)"),
    ("quality_baselines", "ix_quality_baselines_customer_model", "(customer_id, model_name)"),
    ("quality_baselines", "ix_quality_baselines_established_at", "(established_at)"),
    ("quality_baselines", "ix_quality_baselines_id", "(id)"),
    ("quality_baselines", "ix_quality_baselines_model_name", "(model_name)"),
    ("quality_baselines", "ix_quality_baselines_type", "(baseline_type)"),
    ("quality_metrics", "ix_quality_metrics_agent_id", "(agent_id)"),
    ("quality_metrics", "ix_quality_metrics_agent_model", "(agent_id, model_name)"),
    ("quality_metrics", "ix_quality_metrics_customer_id", "(customer_id)"),
    ("quality_metrics", "ix_quality_metrics_customer_model", "(customer_id, model_name)"),
    ("quality_metrics", "ix_quality_metrics_hallucination_detected", "(hallucination_detected)"),
    ("quality_metrics", "ix_quality_metrics_id", "(id)"),
    ("quality_metrics", "ix_quality_metrics_model_name", "(model_name)"),
    ("quality_metrics", "ix_quality_metrics_model_timestamp", "(model_name, timestamp)"),
    ("quality_metrics", "ix_quality_metrics_overall_quality_score", "(overall_quality_score)"),
    ("quality_metrics", "ix_quality_metrics_request_id", "UNIQUE (request_id)"),
    ("quality_metrics", "ix_quality_metrics_timestamp", "(timestamp)"),
    ("quality_regressions", "ix_quality_regressions_action_taken", "(action_taken)"),
    ("quality_regressions", "ix_quality_regressions_agent_id", "(agent_id)"),
    ("quality_regressions", "ix_quality_regressions_agent_severity", "(agent_id, severity)"),
    ("quality_regressions", "ix_quality_regressions_baseline", "(baseline_id)"),
    ("quality_regressions", "ix_quality_regressions_baseline_id", "(baseline_id)"),
    ("quality_regressions", "ix_quality_regressions_customer_id", "(customer_id)"),
    (
        "quality_regressions",
        "ix_quality_regressions_customer_type",
        "(customer_id, regression_type)",
    ),
    ("quality_regressions", "ix_quality_regressions_detected_at", "(detected_at)"),
    ("quality_regressions", "ix_quality_regressions_id", "(id)"),
    ("quality_regressions", "ix_quality_regressions_regression_type", "(regression_type)"),
    ("quality_regressions", "ix_quality_regressions_severity", "(severity)"),
    ("quality_regressions", "ix_quality_regressions_unresolved", "(resolved_at)"),
    ("quality_regressions", "ix_quality_regressions_workflow", "(workflow_execution_id)"),
    (
        "quality_regressions",
        "ix_quality_regressions_workflow_execution_id",
        "(workflow_execution_id)",
    ),
    ("recommendations", "idx_rec_agent", "(agent_id)"),
    ("recommendations", "idx_rec_created", "(created_at)"),
    ("recommendations", "idx_rec_customer", "(customer_id)"),
    ("recommendations", "idx_rec_customer_status", "(customer_id, status)"),
    ("recommendations", "idx_rec_priority", "(priority)"),
    ("recommendations", "idx_rec_status", "(status)"),
    ("recommendations", "idx_rec_type", "(type)"),
    ("resource_metrics", "ix_resource_metrics_agent_id", "(agent_id)"),
    ("resource_metrics", "ix_resource_metrics_agent_instance", "(agent_id, instance_id)"),
    ("resource_metrics", "ix_resource_metrics_customer_id", "(customer_id)"),
    ("resource_metrics", "ix_resource_metrics_customer_type", "(customer_id, resource_type)"),
    ("resource_metrics", "ix_resource_metrics_id", "(id)"),
    ("resource_metrics", "ix_resource_metrics_instance_id", "(instance_id)"),
    ("resource_metrics", "ix_resource_metrics_instance_timestamp", "(instance_id, timestamp)"),
    ("resource_metrics", "ix_resource_metrics_metric_name", "(metric_name)"),
    ("resource_metrics", "ix_resource_metrics_resource_type", "(resource_type)"),
    ("resource_metrics", "ix_resource_metrics_timestamp", "(timestamp)"),
    ("resource_metrics", "ix_resource_metrics_type_name", "(resource_type, metric_name)"),
    ("scaling_events", "ix_scaling_events_agent_id", "(agent_id)"),
    ("scaling_events", "ix_scaling_events_agent_type", "(agent_id, event_type)"),
    ("scaling_events", "ix_scaling_events_customer_id", "(customer_id)"),
    ("scaling_events", "ix_scaling_events_customer_success", "(customer_id, success)"),
    ("scaling_events", "ix_scaling_events_event_type", "(event_type)"),
    ("scaling_events", "ix_scaling_events_executed_at", "(executed_at)"),
    ("scaling_events", "ix_scaling_events_id", "(id)"),
    ("scaling_events", "ix_scaling_events_success", "(success)"),
    ("scaling_events", "ix_scaling_events_workflow", "(workflow_execution_id)"),
    ("scaling_events", "ix_scaling_events_workflow_execution_id", "(workflow_execution_id)"),
    ("workflow_artifacts", "ix_workflow_artifacts_artifact_type", "(artifact_type)"),
    (
        "workflow_artifacts",
        "ix_workflow_artifacts_execution_type",
        "(workflow_execution_id, artifact_type)",
    ),
    ("workflow_artifacts", "ix_workflow_artifacts_id", "(id)"),
    ("workflow_artifacts", "ix_workflow_artifacts_step_type", "(workflow_step_id, artifact_type)"),
    (
        "workflow_artifacts",
        "ix_workflow_artifacts_workflow_execution_id",
        "(workflow_execution_id)",
    ),
    ("workflow_artifacts", "ix_workflow_artifacts_workflow_step_id", "(workflow_step_id)"),
    ("workflow_executions", "ix_workflow_executions_agent_id", "(agent_id)"),
    ("workflow_executions", "ix_workflow_executions_agent_status", "(agent_id, status)"),
    ("workflow_executions", "ix_workflow_executions_customer_id", "(customer_id)"),
    ("workflow_executions", "ix_workflow_executions_customer_type", "(customer_id, workflow_type)"),
    ("workflow_executions", "ix_workflow_executions_id", "(id)"),
    ("workflow_executions", "ix_workflow_executions_started_at", "(started_at)"),
    ("workflow_executions", "ix_workflow_executions_status", "(status)"),
    ("workflow_executions", "ix_workflow_executions_workflow_type", "(workflow_type)"),
    ("workflow_steps", "ix_workflow_steps_execution_order", "(workflow_execution_id, step_order)"),
    ("workflow_steps", "ix_workflow_steps_execution_status", "(workflow_execution_id, status)"),
    ("workflow_steps", "ix_workflow_steps_id", "(id)"),
    ("workflow_steps", "ix_workflow_steps_name_status", "(step_name, status)"),
    ("workflow_steps", "ix_workflow_steps_status", "(status)"),
    ("workflow_steps", "ix_workflow_steps_step_name", "(step_name)"),
    ("workflow_steps", "ix_workflow_steps_workflow_execution_id", "(workflow_execution_id)"),
)

CATALOGUE_COLUMNS = sa.text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type,
           pg_get_expr(d.adbin, d.adrelid) AS default
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped""")
CATALOGUE_KEYS = sa.text("""
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'u')""")
CATALOGUE_INDEXES = sa.text("""
    SELECT c.relname, x.relname, pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid
                      AND k.contype IN ('p', 'u', 'x'))
    ORDER BY 2""")
# Another revision 002 has several versions of one capability; revision 010 makes both alike.
OPTIONAL_KEYS = ("uq_agent_capability",)


def list_indexes() -> list[tuple[str, str, str]]:
    """Table, name and definition from the columns on, without the indexes behind constraints."""
    rows = []
    for table, name, definition in op.get_bind().execute(CATALOGUE_INDEXES):
        unique = "UNIQUE " if definition.startswith("CREATE UNIQUE") else ""
        columns = definition.partition(" USING btree ")[2].replace('"', "")
        rows.append((table, name, unique + columns))
    return rows


def convert_times() -> None:
    """Without rewriting a table: in the time zone UTC both types hold the same bits."""
    naive: dict[str, list[str]] = {}
    for table, column, type_, _ in op.get_bind().execute(CATALOGUE_COLUMNS):
        if type_ == "timestamp without time zone" and column in TIMES.get(table, "").split():
            naive.setdefault(table, []).append(column)
    op.execute("SET LOCAL timezone = 'UTC'")
    for table, columns in sorted(naive.items()):
        # Indexes on these columns would be rebuilt under the lock; they are built again below.
        for owner, name, definition in list_indexes():
            if owner == table and set(columns) & set(re.findall(r"\w+", definition)):
                op.execute(f'DROP INDEX "{name}"')
        changes = [f"ALTER COLUMN {column} TYPE timestamptz" for column in columns]
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def set_defaults() -> None:
    found = {
        (table, column): default
        for table, column, _, default in op.get_bind().execute(CATALOGUE_COLUMNS)
    }
    for table, entries in DEFAULTS.items():
        defaults = dict(entry.split("=", 1) for entry in entries)
        wanted = {"id": "gen_random_uuid()", **defaults}
        changes = [
            f"ALTER COLUMN {column} SET DEFAULT {default}"
            for column, default in wanted.items()
            if found[table, column] != default
        ]
        if changes:
            op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def get_key_columns(definition: str) -> str:
    """What makes two constraints the same one: kind, columns and the table referred to."""
    return definition.split(" ON ", maxsplit=1)[0].replace('"', "")


def name_keys() -> None:
    """Rename what is there, replace what has another delete rule, add what is missing."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for table, name, definition in op.get_bind().execute(CATALOGUE_KEYS):
        entry = found.setdefault((table, get_key_columns(definition)), [])
        entry.append((name, definition.replace('"', "")))
    for table, name, definition in KEYS:
        present = found.get((table, get_key_columns(definition)), [])
        same = [other for other, text in present if text == definition]
        if name in same:
            continue
        if same:
            op.execute(f'ALTER TABLE {table} RENAME CONSTRAINT "{same[0]}" TO {name}')
        elif name not in OPTIONAL_KEYS:
            for other, _ in present:
                op.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{other}"')
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def name_indexes() -> list[tuple[str, str]]:
    """Rename what is there; names and definitions of what is missing."""
    found = list_indexes()
    ours = {name for _, name, _ in INDEXES}
    names = {name for _, name, _ in found}
    spare = {(table, columns, name): name for table, name, columns in found if name not in ours}
    missing = []
    for table, name, definition in INDEXES:
        if name in names:
            continue
        same = [key for key in spare if key[:2] == (table, definition)]
        if same:
            op.execute(f'ALTER INDEX "{spare.pop(same[0])}" RENAME TO {name}')
        else:
            missing.append((name, f"{table} {definition}"))
    return missing


def upgrade() -> None:
    convert_times()
    set_defaults()
    name_keys()
    missing = name_indexes()
    if missing:
        with autocommit():
            for name, on in missing:
                create_index(name, on.replace(" UNIQUE ", " "), is_unique=" UNIQUE " in on)


def downgrade() -> None:
    """Nothing to undo: see the head of this file."""
