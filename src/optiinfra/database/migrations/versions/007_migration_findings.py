"""Migration findings: the table of rows that a revision mended or set aside, as they were."""

from alembic import op

from optiinfra.database.migrations.operations import Loss, refuse_losses

revision = "007_migration_findings"
down_revision = "006_adopted_databases"
branch_labels = None
depends_on = None

LOSSES = (Loss("SELECT FROM migration_findings", "rows that were set aside when upgrading"),)


def upgrade() -> None:
    op.execute("""
        CREATE TABLE migration_findings (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT migration_findings_pkey PRIMARY KEY,
            revision varchar(50) NOT NULL,
            table_name varchar(63) NOT NULL,
            row_id uuid NOT NULL,
            rule varchar(255) NOT NULL,
            action varchar(20) NOT NULL,
            row_before jsonb NOT NULL,
            found_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT check_finding_action CHECK (action = 'mended' OR action = 'quarantined')
        )""")


def downgrade() -> None:
    refuse_losses(LOSSES)
    op.execute("DROP TABLE migration_findings")
