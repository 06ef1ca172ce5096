"""Application schema: quality_metrics, quality_baselines, quality_regressions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "005_application_schema"
down_revision = "004_resource_schema"
branch_labels = None
depends_on = None

ENUMS = {
    "baseline_type": ("initial", "updated", "rollback"),
    "regression_type": (
        "quality_drop",
        "latency_increase",
        "hallucination_spike",
        "toxicity_increase",
    ),
    "regression_severity": ("low", "medium", "high", "critical"),
    "regression_action": ("alert_only", "rollback_triggered", "manual_review", "auto_fixed"),
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


def double(name: str, *, is_null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Double(), nullable=is_null)


def json_column(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT)


def foreign_key(
    table: str, column: str, parent: str, *, on_delete: str = "CASCADE"
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=f"{table}_{column}_fkey", ondelete=on_delete
    )


def create_metrics() -> None:
    table = "quality_metrics"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.String(255), nullable=False),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("model_version", sa.String(50), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        double("latency_ms", is_null=True),
        double("relevance_score", is_null=True),
        double("coherence_score", is_null=True),
        double("factuality_score", is_null=True),
        sa.Column(
            "hallucination_detected", sa.Boolean(), nullable=False, server_default=sa.false()
        ),
        double("toxicity_score", is_null=True),
        double("overall_quality_score"),
        time_column("timestamp"),
        json_column("metadata"),
        time_column("created_at", is_now=True),
        sa.PrimaryKeyConstraint("id", name="quality_metrics_pkey"),
        foreign_key(table, "agent_id", "agents"),
        foreign_key(table, "customer_id", "customers"),
        sa.UniqueConstraint("request_id", name="quality_metrics_request_id_key"),
    )
    op.create_index("ix_quality_metrics_id", table, ["id"])
    op.create_index("ix_quality_metrics_agent_id", table, ["agent_id"])
    op.create_index("ix_quality_metrics_customer_id", table, ["customer_id"])
    op.create_index("ix_quality_metrics_request_id", table, ["request_id"], unique=True)
    op.create_index("ix_quality_metrics_model_name", table, ["model_name"])
    op.create_index("ix_quality_metrics_hallucination_detected", table, ["hallucination_detected"])
    op.create_index("ix_quality_metrics_overall_quality_score", table, ["overall_quality_score"])
    op.create_index("ix_quality_metrics_timestamp", table, ["timestamp"])
    op.create_index("ix_quality_metrics_agent_model", table, ["agent_id", "model_name"])
    op.create_index("ix_quality_metrics_customer_model", table, ["customer_id", "model_name"])
    op.create_index("ix_quality_metrics_model_timestamp", table, ["model_name", "timestamp"])


def create_baselines() -> None:
    table = "quality_baselines"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("model_version", sa.String(50), nullable=False),
        sa.Column("baseline_type", enum("baseline_type"), nullable=False),
        sa.Column("sample_size", sa.Integer(), nullable=False),
        double("avg_relevance_score", is_null=True),
        double("avg_coherence_score", is_null=True),
        double("avg_factuality_score", is_null=True),
        double("avg_overall_score"),
        double("p95_latency_ms", is_null=True),
        time_column("established_at"),
        time_column("valid_until", is_null=True),
        json_column("metadata"),
        time_column("created_at", is_now=True),
        sa.PrimaryKeyConstraint("id", name="quality_baselines_pkey"),
        foreign_key(table, "agent_id", "agents"),
        foreign_key(table, "customer_id", "customers"),
    )
    op.create_index("ix_quality_baselines_id", table, ["id"])
    op.create_index("ix_quality_baselines_agent_id", table, ["agent_id"])
    op.create_index("ix_quality_baselines_customer_id", table, ["customer_id"])
    op.create_index("ix_quality_baselines_model_name", table, ["model_name"])
    op.create_index("ix_quality_baselines_baseline_type", table, ["baseline_type"])
    op.create_index("ix_quality_baselines_established_at", table, ["established_at"])
    op.create_index("ix_quality_baselines_agent_model", table, ["agent_id", "model_name"])
    op.create_index("ix_quality_baselines_customer_model", table, ["customer_id", "model_name"])
    op.create_index("ix_quality_baselines_type", table, ["baseline_type"])


def create_regressions() -> None:
    table = "quality_regressions"
    op.create_table(
        table,
        id_column(),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("baseline_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_execution_id", sa.Uuid(), nullable=True),
        sa.Column("regression_type", enum("regression_type"), nullable=False),
        sa.Column("severity", enum("regression_severity"), nullable=False),
        time_column("detected_at"),
        sa.Column("metric_name", sa.String(100), nullable=False),
        double("baseline_value"),
        double("current_value"),
        double("delta_percent"),
        sa.Column("sample_size", sa.Integer(), nullable=False),
        sa.Column("action_taken", enum("regression_action"), nullable=False),
        time_column("resolved_at", is_null=True),
        sa.Column("resolution_notes", sa.Text(), nullable=True),
        json_column("metadata"),
        time_column("created_at", is_now=True),
        time_column("updated_at", is_now=True),
        sa.PrimaryKeyConstraint("id", name="quality_regressions_pkey"),
        foreign_key(table, "agent_id", "agents"),
        foreign_key(table, "customer_id", "customers"),
        foreign_key(table, "baseline_id", "quality_baselines"),
        foreign_key(table, "workflow_execution_id", "workflow_executions", on_delete="SET NULL"),
    )
    execution = "workflow_execution_id"
    op.create_index("ix_quality_regressions_id", table, ["id"])
    op.create_index("ix_quality_regressions_agent_id", table, ["agent_id"])
    op.create_index("ix_quality_regressions_customer_id", table, ["customer_id"])
    op.create_index("ix_quality_regressions_baseline_id", table, ["baseline_id"])
    op.create_index("ix_quality_regressions_workflow_execution_id", table, [execution])
    op.create_index("ix_quality_regressions_regression_type", table, ["regression_type"])
    op.create_index("ix_quality_regressions_severity", table, ["severity"])
    op.create_index("ix_quality_regressions_detected_at", table, ["detected_at"])
    op.create_index("ix_quality_regressions_action_taken", table, ["action_taken"])
    op.create_index("ix_quality_regressions_agent_severity", table, ["agent_id", "severity"])
    op.create_index(
        "ix_quality_regressions_customer_type", table, ["customer_id", "regression_type"]
    )
    op.create_index("ix_quality_regressions_baseline", table, ["baseline_id"])
    op.create_index("ix_quality_regressions_workflow", table, [execution])
    op.create_index("ix_quality_regressions_unresolved", table, ["resolved_at"])


def upgrade() -> None:
    for name in ENUMS:
        enum(name).create(op.get_bind(), checkfirst=False)
    create_metrics()
    create_baselines()
    create_regressions()


def downgrade() -> None:
    for table in ("quality_regressions", "quality_baselines", "quality_metrics"):
        op.drop_table(table)
    for name in reversed(ENUMS):
        op.execute(f"DROP TYPE {name}")
