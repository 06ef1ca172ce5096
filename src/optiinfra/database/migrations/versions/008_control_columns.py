"""Control columns: versions, units, errors, heartbeats, sensitivity, leases, fences, digests, keys.

All of them may be NULL or have a constant default, so that no table is rewritten.
"""

from alembic import op

from optiinfra.database.migrations.operations import Loss, refuse_losses

revision = "008_control_columns"
down_revision = "007_migration_findings"
branch_labels = None
depends_on = None

COLUMNS = {
    "agent_configs": {
        "is_sensitive": "boolean NOT NULL DEFAULT false",
        "key_id": "varchar(50)",  # of the key that encrypted the value
        "version": "integer NOT NULL DEFAULT 0",
    },
    "agent_states": {
        "workflow_data": "jsonb NOT NULL DEFAULT '{}'::jsonb",
        "error_count": "integer NOT NULL DEFAULT 0",
        "last_error": "jsonb",
        "last_heartbeat": "timestamptz",
        "version": "integer NOT NULL DEFAULT 0",
    },
    "agent_capabilities": {"traffic_ratio": "double precision NOT NULL DEFAULT 1"},
    "agent_metrics": {"metric_unit": "varchar(50)"},
    "recommendations": {
        "evidence_digest": "varchar(64)",
        "version": "integer NOT NULL DEFAULT 0",
    },
    "approvals": {"evidence_digest": "varchar(64)"},
    "optimizations": {
        "evidence_digest": "varchar(64)",
        "version": "integer NOT NULL DEFAULT 0",
        "updated_at": "timestamptz NOT NULL DEFAULT now()",
    },
    "workflow_executions": {
        "lease_owner": "varchar(255)",
        "lease_expires_at": "timestamptz",
        "fence": "bigint NOT NULL DEFAULT 0",
        "version": "integer NOT NULL DEFAULT 0",
    },
    "workflow_steps": {"idempotency_key": "varchar(255)"},
}
# What going back would lose, where it says more than its default.
HELD = {
    "agent_configs": "is_sensitive OR version > 0",
    "agent_states": "workflow_data <> '{}' OR error_count > 0 OR last_heartbeat IS NOT NULL",
    "agent_capabilities": "traffic_ratio <> 1",
    "agent_metrics": "metric_unit IS NOT NULL",
    "recommendations": "version > 0",
    "optimizations": "version > 0",
    "workflow_executions": "fence > 0 OR version > 0 OR lease_owner IS NOT NULL",
    "workflow_steps": "idempotency_key IS NOT NULL",
}
LOSSES = tuple(
    Loss(f"SELECT FROM {table} WHERE {condition}", f"columns of {table} in use")
    for table, condition in HELD.items()
)


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        added = [f"ADD COLUMN {name} {definition}" for name, definition in columns.items()]
        op.execute(f"ALTER TABLE {table} {', '.join(added)}")


def downgrade() -> None:
    refuse_losses(LOSSES)
    for table, columns in COLUMNS.items():
        dropped = [f"DROP COLUMN {name}" for name in columns]
        op.execute(f"ALTER TABLE {table} {', '.join(dropped)}")
