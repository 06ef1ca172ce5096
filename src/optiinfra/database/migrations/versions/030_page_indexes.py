"""Page indexes: a tenant's rows in order of time, so that every page costs what the first does."""

from optiinfra.database.migrations.operations import autocommit, create_index, drop_index

revision = "030_page_indexes"
down_revision = "029_narrow_grants"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_recommendations_customer_time": "recommendations (customer_id, created_at, id)",
    "ix_optimizations_customer_time": "optimizations (customer_id, created_at, id)",
    "ix_workflow_executions_customer_time": "workflow_executions (customer_id, created_at, id)",
    "ix_scaling_events_customer_time": "scaling_events (customer_id, executed_at, id)",
    "ix_quality_regressions_customer_time": "quality_regressions (customer_id, detected_at, id)",
    "ix_quality_baselines_customer_time": "quality_baselines (customer_id, established_at, id)",
    "ix_customers_email_lower": "customers (lower(email))",
}


def upgrade() -> None:
    with autocommit():
        for name, on in INDEXES.items():
            create_index(name, on)


def downgrade() -> None:
    with autocommit():
        for name in INDEXES:
            drop_index(name)
