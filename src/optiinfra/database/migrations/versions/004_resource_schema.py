"""Resource schema: resource_metrics, scaling_events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "004_resource_schema"
down_revision = "003_workflow_history"
branch_labels = None
depends_on = None

ENUMS = {
    "resource_type": ("gpu", "cpu", "memory", "disk", "network"),
    "scaling_event_type": (
        "scale_up",
        "scale_down",
        "auto_scale_triggered",
        "manual_scale",
        "scale_cancelled",
    ),
}
NOW = sa.text("now()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")


def enum(name: str) -> postgresql.ENUM:
    return postgresql.ENUM(*ENUMS[name], name=name, create_type=False)


def id_column() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()"))


def time_column(name: str, *, is_null: bool = False, is_now: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=is_null,
        server_default=NOW if is_now else None,
    )


def foreign_key(
    table: str, column: str, parent: str, *, on_delete: str = "CASCADE"
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=f"{table}_{column}_fkey", ondelete=on_delete
    )


def create_metrics() -> None:
    table = "resource_metrics"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.String(255), nullable=False),
        sa.Column("resource_type", enum("resource_type"), nullable=False),
        sa.Column("metric_name", sa.String(100), nullable=False),
        sa.Column("metric_value", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(50), nullable=False),
        time_column("timestamp"),
        sa.Column("metadata", postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT),
        time_column("created_at", is_now=True),
        sa.PrimaryKeyConstraint("id", name="resource_metrics_pkey"),
        foreign_key(table, "agent_id", "agents"),
        foreign_key(table, "customer_id", "customers"),
    )
    op.create_index("ix_resource_metrics_id", table, ["id"])
    op.create_index("ix_resource_metrics_agent_id", table, ["agent_id"])
    op.create_index("ix_resource_metrics_customer_id", table, ["customer_id"])
    op.create_index("ix_resource_metrics_instance_id", table, ["instance_id"])
    op.create_index("ix_resource_metrics_resource_type", table, ["resource_type"])
    op.create_index("ix_resource_metrics_metric_name", table, ["metric_name"])
    op.create_index("ix_resource_metrics_timestamp", table, ["timestamp"])
    op.create_index("ix_resource_metrics_agent_instance", table, ["agent_id", "instance_id"])
    op.create_index("ix_resource_metrics_customer_type", table, ["customer_id", "resource_type"])
    op.create_index("ix_resource_metrics_instance_timestamp", table, ["instance_id", "timestamp"])
    op.create_index("ix_resource_metrics_type_name", table, ["resource_type", "metric_name"])


def create_scaling_events() -> None:
    table = "scaling_events"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_execution_id", sa.Uuid(), nullable=True),
        sa.Column("event_type", enum("scaling_event_type"), nullable=False),
        sa.Column("trigger_reason", sa.String(500), nullable=False),
        sa.Column("before_state", postgresql.JSONB(), nullable=False),
        sa.Column("after_state", postgresql.JSONB(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("error_details", postgresql.JSONB(), nullable=True),
        time_column("executed_at"),
        time_column("completed_at", is_null=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT),
        time_column("created_at", is_now=True),
        time_column("updated_at", is_now=True),
        sa.PrimaryKeyConstraint("id", name="scaling_events_pkey"),
        foreign_key(table, "agent_id", "agents"),
        foreign_key(table, "customer_id", "customers"),
        foreign_key(table, "workflow_execution_id", "workflow_executions", on_delete="SET NULL"),
    )
    op.create_index("ix_scaling_events_id", table, ["id"])
    op.create_index("ix_scaling_events_agent_id", table, ["agent_id"])
    op.create_index("ix_scaling_events_customer_id", table, ["customer_id"])
    op.create_index("ix_scaling_events_workflow_execution_id", table, ["workflow_execution_id"])
    op.create_index("ix_scaling_events_event_type", table, ["event_type"])
    op.create_index("ix_scaling_events_success", table, ["success"])
    op.create_index("ix_scaling_events_executed_at", table, ["executed_at"])
    op.create_index("ix_scaling_events_agent_type", table, ["agent_id", "event_type"])
    op.create_index("ix_scaling_events_customer_success", table, ["customer_id", "success"])
    op.create_index("ix_scaling_events_workflow", table, ["workflow_execution_id"])


def upgrade() -> None:
    for name in ENUMS:
        enum(name).create(op.get_bind(), checkfirst=False)
    create_metrics()
    create_scaling_events()


def downgrade() -> None:
    for table in ("scaling_events", "resource_metrics"):
        op.drop_table(table)
    for name in reversed(ENUMS):
        op.execute(f"DROP TYPE {name}")
