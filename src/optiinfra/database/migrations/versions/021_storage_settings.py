"""Storage settings: room on the page for rows that change often, and vacuum that keeps up."""

from alembic import op

revision = "021_storage_settings"
down_revision = "020_roles"
branch_labels = None
depends_on = None

HOT = ("agents", "agent_states", "optimizations", "workflow_executions", "workflow_steps")
SETTINGS = {
    "fillfactor": "80",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_analyze_scale_factor": "0.02",
}


def upgrade() -> None:
    values = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    for table in HOT:
        op.execute(f"ALTER TABLE {table} SET ({values})")


def downgrade() -> None:
    for table in HOT:
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(SETTINGS)})")
