"""Core schema: customers, agents, events, recommendations, approvals, optimizations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001_core_schema"
down_revision = None
branch_labels = None
depends_on = None

ENUMS = {
    "customerplan": ("free", "startup", "enterprise"),
    "customerstatus": ("active", "suspended", "churned"),
    "agenttype": ("orchestrator", "cost", "performance", "resource", "application"),
    "agentstatus": ("starting", "healthy", "degraded", "failed", "stopped"),
    "eventseverity": ("info", "warning", "error", "critical"),
    "recommendationpriority": ("low", "medium", "high", "critical"),
    "recommendationstatus": (
        "pending",
        "approved",
        "rejected",
        "executing",
        "completed",
        "failed",
        "rolled_back",
    ),
    "approvalstatus": ("pending", "approved", "rejected"),
    "optimizationstatus": ("queued", "executing", "completed", "failed", "rolled_back"),
}
NOW = sa.text("now()")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
EMPTY_LIST = sa.text("'[]'::jsonb")


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


def foreign_key(table: str, column: str, parent: str, *, on_delete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=f"{table}_{column}_fkey", ondelete=on_delete
    )


def create_customers() -> None:
    op.create_table(
        "customers",
        id_column(),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("api_key", sa.String(64), nullable=False),
        sa.Column("plan", enum("customerplan"), nullable=False, server_default="free"),
        sa.Column("status", enum("customerstatus"), nullable=False, server_default="active"),
        sa.Column("metadata", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="customers_pkey"),
        sa.UniqueConstraint("email", name="customers_email_key"),
        sa.UniqueConstraint("api_key", name="customers_api_key_key"),
    )
    op.create_index("idx_customer_email", "customers", ["email"])
    op.create_index("idx_customer_api_key", "customers", ["api_key"])
    op.create_index("idx_customer_status", "customers", ["status"])


def create_agents() -> None:
    op.create_table(
        "agents",
        id_column(),
        sa.Column("type", enum("agenttype"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(50), nullable=True),
        sa.Column("status", enum("agentstatus"), nullable=False, server_default="starting"),
        sa.Column("endpoint", sa.String(255), nullable=True),
        sa.Column("capabilities", postgresql.JSONB(), nullable=False, server_default=EMPTY_LIST),
        sa.Column("metadata", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        time_column("last_heartbeat"),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="agents_pkey"),
        sa.UniqueConstraint("type", "name", name="uq_agent_type_name"),
    )
    op.create_index("idx_agent_type", "agents", ["type"])
    op.create_index("idx_agent_status", "agents", ["status"])
    op.create_index("idx_agent_heartbeat", "agents", ["last_heartbeat"])


def create_events() -> None:
    op.create_table(
        "events",
        id_column(),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("event_type", sa.String(100), nullable=False),
        sa.Column("severity", enum("eventseverity"), nullable=False, server_default="info"),
        sa.Column("data", postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT),
        time_column("created_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
        foreign_key("events", "customer_id", "customers", on_delete="CASCADE"),
        foreign_key("events", "agent_id", "agents", on_delete="SET NULL"),
    )
    op.create_index("idx_event_customer", "events", ["customer_id"])
    op.create_index("idx_event_agent", "events", ["agent_id"])
    op.create_index("idx_event_type", "events", ["event_type"])
    op.create_index("idx_event_severity", "events", ["severity"])
    op.create_index("idx_event_created", "events", ["created_at"])
    op.create_index("idx_event_customer_created", "events", ["customer_id", "created_at"])


def create_recommendations() -> None:
    op.create_table(
        "recommendations",
        id_column(),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("estimated_savings", sa.Numeric(10, 2), nullable=True),
        sa.Column("estimated_improvement", sa.Numeric(10, 2), nullable=True),
        sa.Column("confidence_score", sa.Double(), nullable=False, server_default="0"),
        sa.Column(
            "priority", enum("recommendationpriority"), nullable=False, server_default="medium"
        ),
        sa.Column("status", enum("recommendationstatus"), nullable=False, server_default="pending"),
        sa.Column("data", postgresql.JSONB(), nullable=False, server_default=EMPTY_OBJECT),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        time_column("approved_at"),
        time_column("executed_at"),
        sa.PrimaryKeyConstraint("id", name="recommendations_pkey"),
        foreign_key("recommendations", "customer_id", "customers", on_delete="CASCADE"),
        foreign_key("recommendations", "agent_id", "agents", on_delete="CASCADE"),
        sa.CheckConstraint(
            "confidence_score >= 0.0 AND confidence_score <= 1.0", name="check_confidence_range"
        ),
    )
    op.create_index("idx_rec_customer", "recommendations", ["customer_id"])
    op.create_index("idx_rec_agent", "recommendations", ["agent_id"])
    op.create_index("idx_rec_type", "recommendations", ["type"])
    op.create_index("idx_rec_status", "recommendations", ["status"])
    op.create_index("idx_rec_priority", "recommendations", ["priority"])
    op.create_index("idx_rec_created", "recommendations", ["created_at"])
    op.create_index("idx_rec_customer_status", "recommendations", ["customer_id", "status"])


def create_approvals() -> None:
    op.create_table(
        "approvals",
        id_column(),
        sa.Column("recommendation_id", sa.Uuid(), nullable=False),
        sa.Column("approved_by", sa.String(255), nullable=False),
        sa.Column("status", enum("approvalstatus"), nullable=False, server_default="pending"),
        sa.Column("comment", sa.Text(), nullable=True),
        time_column("created_at", is_set=True),
        time_column("updated_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="approvals_pkey"),
        foreign_key("approvals", "recommendation_id", "recommendations", on_delete="CASCADE"),
    )
    op.create_index("idx_approval_rec", "approvals", ["recommendation_id"])
    op.create_index("idx_approval_status", "approvals", ["status"])


def create_optimizations() -> None:
    op.create_table(
        "optimizations",
        id_column(),
        sa.Column("recommendation_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("status", enum("optimizationstatus"), nullable=False, server_default="queued"),
        sa.Column("progress", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("result", postgresql.JSONB(), nullable=True, server_default=EMPTY_OBJECT),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("actual_savings", sa.Numeric(10, 2), nullable=True),
        sa.Column("actual_improvement", sa.Numeric(10, 2), nullable=True),
        time_column("started_at"),
        time_column("completed_at"),
        time_column("rolled_back_at"),
        time_column("created_at", is_set=True),
        sa.PrimaryKeyConstraint("id", name="optimizations_pkey"),
        foreign_key("optimizations", "recommendation_id", "recommendations", on_delete="CASCADE"),
        foreign_key("optimizations", "customer_id", "customers", on_delete="CASCADE"),
        foreign_key("optimizations", "agent_id", "agents", on_delete="CASCADE"),
        sa.CheckConstraint("progress >= 0 AND progress <= 100", name="check_progress_range"),
    )
    op.create_index("idx_opt_rec", "optimizations", ["recommendation_id"])
    op.create_index("idx_opt_customer", "optimizations", ["customer_id"])
    op.create_index("idx_opt_agent", "optimizations", ["agent_id"])
    op.create_index("idx_opt_status", "optimizations", ["status"])
    op.create_index("idx_opt_customer_status", "optimizations", ["customer_id", "status"])


def upgrade() -> None:
    for name in ENUMS:
        enum(name).create(op.get_bind(), checkfirst=False)
    create_customers()
    create_agents()
    create_events()
    create_recommendations()
    create_approvals()
    create_optimizations()


def downgrade() -> None:
    for table in (
        "optimizations",
        "approvals",
        "recommendations",
        "events",
        "agents",
        "customers",
    ):
        op.drop_table(table)
    for name in reversed(ENUMS):
        op.execute(f"DROP TYPE {name}")
