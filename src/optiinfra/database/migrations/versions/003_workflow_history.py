"""Workflow history: workflow_executions, workflow_steps, workflow_artifacts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "003_workflow_history"
down_revision = "002_agent_state_tables"
branch_labels = None
depends_on = None

ENUMS = {
    "workflow_type": (
        "cost_analysis",
        "performance_tuning",
        "resource_optimization",
        "quality_check",
        "scaling_decision",
        "configuration_update",
        "health_check",
        "anomaly_detection",
    ),
    "workflow_status": ("pending", "running", "completed", "failed", "cancelled", "timeout"),
    "step_status": ("pending", "running", "completed", "failed", "skipped", "retrying"),
    "artifact_type": (
        "report",
        "config",
        "log",
        "recommendation",
        "chart",
        "metrics",
        "alert",
        "diagnostic",
    ),
}
NOW = sa.text("now()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")


def enum(name: str) -> postgresql.ENUM:
    return postgresql.ENUM(*ENUMS[name], name=name, create_type=False)


def id_column() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()"))


def time_column(name: str, *, is_set: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=not is_set,
        server_default=NOW if is_set else None,
    )


def json_column(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT)


def cascade_key(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=f"{table}_{column}_fkey", ondelete="CASCADE"
    )


def create_executions() -> None:
    table = "workflow_executions"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_type", enum("workflow_type"), nullable=False),
        sa.Column("status", enum("workflow_status"), nullable=False),
        time_column("started_at"),
        time_column("completed_at"),
        json_column("input_data"),
        json_column("output_data"),
        sa.Column("error_details", postgresql.JSONB(), nullable=True),
        json_column("metadata"),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="workflow_executions_pkey"),
        cascade_key(table, "agent_id", "agents"),
        cascade_key(table, "customer_id", "customers"),
    )
    op.create_index("ix_workflow_executions_id", table, ["id"])
    op.create_index("ix_workflow_executions_agent_id", table, ["agent_id"])
    op.create_index("ix_workflow_executions_customer_id", table, ["customer_id"])
    op.create_index("ix_workflow_executions_workflow_type", table, ["workflow_type"])
    op.create_index("ix_workflow_executions_status", table, ["status"])
    op.create_index("ix_workflow_executions_started_at", table, ["started_at"])
    op.create_index("ix_workflow_executions_agent_status", table, ["agent_id", "status"])
    op.create_index("ix_workflow_executions_customer_type", table, ["customer_id", "workflow_type"])


def create_steps() -> None:
    table = "workflow_steps"
    op.create_table(
        table,
        id_column(),
        sa.Column("workflow_execution_id", sa.Uuid(), nullable=False),
        sa.Column("step_name", sa.String(255), nullable=False),
        sa.Column("step_order", sa.Integer(), nullable=False),
        sa.Column("status", enum("step_status"), nullable=False),
        time_column("started_at"),
        time_column("completed_at"),
        json_column("input_data"),
        json_column("output_data"),
        sa.Column("error_details", postgresql.JSONB(), nullable=True),
        sa.Column("retry_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_retries", sa.Integer(), nullable=False, server_default="3"),
        json_column("metadata"),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="workflow_steps_pkey"),
        cascade_key(table, "workflow_execution_id", "workflow_executions"),
    )
    execution = "workflow_execution_id"
    op.create_index("ix_workflow_steps_id", table, ["id"])
    op.create_index("ix_workflow_steps_workflow_execution_id", table, [execution])
    op.create_index("ix_workflow_steps_step_name", table, ["step_name"])
    op.create_index("ix_workflow_steps_status", table, ["status"])
    op.create_index("ix_workflow_steps_execution_order", table, [execution, "step_order"])
    op.create_index("ix_workflow_steps_execution_status", table, [execution, "status"])
    op.create_index("ix_workflow_steps_name_status", table, ["step_name", "status"])


def create_artifacts() -> None:
    table = "workflow_artifacts"
    op.create_table(
        table,
        id_column(),
        sa.Column("workflow_execution_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_step_id", sa.Uuid(), nullable=True),
        sa.Column("artifact_type", enum("artifact_type"), nullable=False),
        sa.Column("artifact_name", sa.String(255), nullable=False),
        sa.Column("artifact_path", sa.Text(), nullable=False),
        sa.Column("artifact_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("content_type", sa.String(100), nullable=True),
        json_column("metadata"),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="workflow_artifacts_pkey"),
        cascade_key(table, "workflow_execution_id", "workflow_executions"),
        cascade_key(table, "workflow_step_id", "workflow_steps"),
    )
    execution, step, kind = "workflow_execution_id", "workflow_step_id", "artifact_type"
    op.create_index("ix_workflow_artifacts_id", table, ["id"])
    op.create_index("ix_workflow_artifacts_workflow_execution_id", table, [execution])
    op.create_index("ix_workflow_artifacts_workflow_step_id", table, [step])
    op.create_index("ix_workflow_artifacts_artifact_type", table, [kind])
    op.create_index("ix_workflow_artifacts_execution_type", table, [execution, kind])
    op.create_index("ix_workflow_artifacts_step_type", table, [step, kind])


def add_current_workflow() -> None:
    column = "current_workflow_id"
    op.add_column("agent_states", sa.Column(column, sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "agent_states_current_workflow_id_fkey",
        "agent_states",
        "workflow_executions",
        [column],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_agent_states_current_workflow_id", "agent_states", [column])


def upgrade() -> None:
    for name in ENUMS:
        enum(name).create(op.get_bind(), checkfirst=False)
    create_executions()
    create_steps()
    create_artifacts()
    add_current_workflow()


def downgrade() -> None:
    op.drop_index("ix_agent_states_current_workflow_id", table_name="agent_states")
    op.drop_constraint("agent_states_current_workflow_id_fkey", "agent_states", type_="foreignkey")
    op.drop_column("agent_states", "current_workflow_id")
    for table in ("workflow_artifacts", "workflow_steps", "workflow_executions"):
        op.drop_table(table)
    for name in reversed(ENUMS):
        op.execute(f"DROP TYPE {name}")
