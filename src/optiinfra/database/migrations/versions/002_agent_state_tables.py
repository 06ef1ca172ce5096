"""Agent state: agent_configs, agent_states, agent_capabilities, agent_metrics."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "002_agent_state_tables"
down_revision = "001_core_schema"
branch_labels = None
depends_on = None

ENUMS = {
    "configtype": ("string", "integer", "float", "boolean", "json"),
    "agentstatusdetail": ("idle", "busy", "processing", "waiting", "error"),
    "metrictype": ("counter", "gauge", "histogram"),
}
NOW = sa.text("now()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")


def enum(name: str) -> postgresql.ENUM:
    return postgresql.ENUM(*ENUMS[name], name=name, create_type=False)


def id_column() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()"))


def time_column(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=NOW)


def agent_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["agent_id"], ["agents.id"], name=f"{table}_agent_id_fkey", ondelete="CASCADE"
    )


def create_configs() -> None:
    op.create_table(
        "agent_configs",
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("config_key", sa.String(255), nullable=False),
        sa.Column("config_value", sa.Text(), nullable=False),
        sa.Column("config_type", enum("configtype"), nullable=False, server_default="string"),
        sa.Column("description", sa.Text(), nullable=True),
        time_column("created_at"),
        time_column("updated_at"),
        sa.PrimaryKeyConstraint("id", name="agent_configs_pkey"),
        agent_key("agent_configs"),
        sa.UniqueConstraint("agent_id", "config_key", name="uq_agent_config"),
    )
    op.create_index("idx_agent_config_agent", "agent_configs", ["agent_id"])
    op.create_index("idx_agent_config_key", "agent_configs", ["config_key"])
    op.create_index("idx_agent_config_agent_key", "agent_configs", ["agent_id", "config_key"])


def create_states() -> None:
    op.create_table(
        "agent_states",
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column(
            "current_status", enum("agentstatusdetail"), nullable=False, server_default="idle"
        ),
        sa.Column(
            "active_workflows", postgresql.JSONB(), nullable=False, server_default=EMPTY_LIST
        ),
        sa.Column("locks", postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT),
        time_column("last_activity"),
        sa.Column("resource_usage", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        sa.Column("metadata", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        time_column("created_at"),
        time_column("updated_at"),
        sa.PrimaryKeyConstraint("id", name="agent_states_pkey"),
        agent_key("agent_states"),
        sa.UniqueConstraint("agent_id", name="agent_states_agent_id_key"),
    )
    op.create_index("idx_agent_state_agent", "agent_states", ["agent_id"])
    op.create_index("idx_agent_state_status", "agent_states", ["current_status"])
    op.create_index("idx_agent_state_activity", "agent_states", ["last_activity"])


def create_capabilities() -> None:
    op.create_table(
        "agent_capabilities",
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("capability_name", sa.String(255), nullable=False),
        sa.Column("capability_version", sa.String(50), nullable=False, server_default="1.0.0"),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("config", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        sa.Column("description", sa.Text(), nullable=True),
        time_column("created_at"),
        time_column("updated_at"),
        sa.PrimaryKeyConstraint("id", name="agent_capabilities_pkey"),
        agent_key("agent_capabilities"),
        sa.UniqueConstraint("agent_id", "capability_name", name="uq_agent_capability"),
    )
    op.create_index("idx_agent_cap_agent", "agent_capabilities", ["agent_id"])
    op.create_index("idx_agent_cap_name", "agent_capabilities", ["capability_name"])
    op.create_index("idx_agent_cap_enabled", "agent_capabilities", ["enabled"])
    op.create_index(
        "idx_agent_cap_agent_name", "agent_capabilities", ["agent_id", "capability_name"]
    )


def create_metrics() -> None:
    op.create_table(
        "agent_metrics",
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("metric_name", sa.String(255), nullable=False),
        sa.Column("metric_value", sa.Double(), nullable=False),
        sa.Column("metric_type", enum("metrictype"), nullable=False, server_default="gauge"),
        sa.Column("tags", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        time_column("recorded_at"),
        sa.PrimaryKeyConstraint("id", name="agent_metrics_pkey"),
        agent_key("agent_metrics"),
    )
    op.create_index("idx_agent_metric_agent", "agent_metrics", ["agent_id"])
    op.create_index("idx_agent_metric_name", "agent_metrics", ["metric_name"])
    op.create_index("idx_agent_metric_recorded", "agent_metrics", ["recorded_at"])
    op.create_index("idx_agent_metric_agent_name", "agent_metrics", ["agent_id", "metric_name"])
    op.create_index("idx_agent_metric_agent_recorded", "agent_metrics", ["agent_id", "recorded_at"])


def upgrade() -> None:
    for name in ENUMS:
        enum(name).create(op.get_bind(), checkfirst=False)
    create_configs()
    create_states()
    create_capabilities()
    create_metrics()


def downgrade() -> None:
    for table in ("agent_metrics", "agent_capabilities", "agent_states", "agent_configs"):
        op.drop_table(table)
    for name in reversed(ENUMS):
        op.execute(f"DROP TYPE {name}")
