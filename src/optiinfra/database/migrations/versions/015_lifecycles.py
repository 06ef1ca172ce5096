"""Lifecycles: a status changes only as domain/lifecycles.py allows, whoever changes it."""

from alembic import op

revision = "015_lifecycles"
down_revision = "014_workflow_state_transitions"
branch_labels = None
depends_on = None

ALLOWED: dict[str, dict[str, tuple[str, ...]]] = {
    "recommendations": {
        "pending": ("approved", "rejected"),
        "approved": ("executing",),
        "executing": ("completed", "failed", "rolled_back"),
    },
    "approvals": {"pending": ("approved", "rejected")},
    "optimizations": {
        "queued": ("executing", "failed"),
        "executing": ("completed", "failed", "rolled_back"),
    },
    "workflow_executions": {
        "pending": ("running", "cancelled"),
        "running": ("completed", "failed", "cancelled", "timeout"),
    },
    "workflow_steps": {
        "pending": ("running", "skipped"),
        "running": ("completed", "failed", "retrying"),
        "retrying": ("running", "failed"),
    },
}


def upgrade() -> None:
    for table, allowed in ALLOWED.items():
        pairs = [
            f"'{source}>{target}'" for source, targets in allowed.items() for target in targets
        ]
        op.execute(f"""
            CREATE FUNCTION check_lifecycle_of_{table}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
            BEGIN
                IF OLD.status::text || '>' || NEW.status::text <> ALL (ARRAY[{", ".join(pairs)}])
                THEN
                    RAISE EXCEPTION '{table}: % -> % is not a change it can make',
                        OLD.status, NEW.status
                        USING ERRCODE = 'check_violation', TABLE = '{table}', COLUMN = 'status',
                              CONSTRAINT = 'check_lifecycle_of_{table}';
                END IF;
                RETURN NEW;
            END $$""")
        op.execute(f"REVOKE ALL ON FUNCTION check_lifecycle_of_{table}() FROM PUBLIC")
        op.execute(f"""
            CREATE TRIGGER check_lifecycle BEFORE UPDATE ON {table} FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status)
            EXECUTE FUNCTION check_lifecycle_of_{table}()""")


def downgrade() -> None:
    for table in ALLOWED:
        op.execute(f"DROP TRIGGER check_lifecycle ON {table}")
        op.execute(f"DROP FUNCTION check_lifecycle_of_{table}()")
