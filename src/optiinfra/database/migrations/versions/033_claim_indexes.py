"""Claim indexes: what waits to be claimed, and whose lease has ended, however much is done."""

from optiinfra.database.migrations.operations import autocommit, create_index, drop_index

revision = "033_claim_indexes"
down_revision = "032_histories_begin"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_workflow_executions_pending": "(created_at, id) WHERE status = 'pending'",
    "ix_workflow_executions_leased": "(lease_expires_at, id) WHERE status = 'running'",
}


def upgrade() -> None:
    with autocommit():
        for name, columns in INDEXES.items():
            create_index(name, f"workflow_executions {columns}")


def downgrade() -> None:
    with autocommit():
        for name in INDEXES:
            drop_index(name)
