"""First statuses: a row begins where its lifecycle begins, and nothing executes unapproved.

That holds for the roles that work: an application or a worker inserts a row in the first status of
its lifecycle (a decision may be written at once), and takes an optimization on to `executing` only
when a person approved exactly the evidence that it carries. The tables' owner, who seeds, imports
and adopts, may write rows as they were.
"""

from alembic import op

from optiinfra.database.migrations.operations import execute_all

revision = "028_first_statuses"
down_revision = "027_value_checks"
branch_labels = None
depends_on = None

FIRST = {
    "recommendations": "pending",
    "optimizations": "queued",
    "workflow_executions": "pending",
    "workflow_steps": "pending",
}
PLAIN = "LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"
IS_OWNER = """pg_has_role(current_user, (
    SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')"""
CHECK_APPROVED = f"""
    CREATE FUNCTION check_approved() RETURNS trigger {PLAIN} AS $$
    BEGIN
        IF NOT {IS_OWNER} AND NOT EXISTS (
            SELECT FROM approvals a
            JOIN recommendations r ON r.id = a.recommendation_id
            WHERE a.recommendation_id = NEW.recommendation_id AND a.status = 'approved'
              AND a.evidence_digest IS NOT DISTINCT FROM NEW.evidence_digest
              AND r.evidence_digest IS NOT DISTINCT FROM NEW.evidence_digest)
        THEN
            RAISE EXCEPTION 'optimization % carries evidence that nobody approved', NEW.id
                USING ERRCODE = 'check_violation', TABLE = 'optimizations',
                      COLUMN = 'evidence_digest', CONSTRAINT = 'check_approved';
        END IF;
        RETURN NEW;
    END $$"""


def upgrade() -> None:
    for table, status in FIRST.items():
        op.execute(f"""
            CREATE FUNCTION check_first_status_of_{table}() RETURNS trigger {PLAIN} AS $$
            BEGIN
                IF NOT {IS_OWNER} THEN
                    RAISE EXCEPTION '{table}: a row begins as {status}, not as %', NEW.status
                        USING ERRCODE = 'check_violation', TABLE = '{table}', COLUMN = 'status',
                              CONSTRAINT = 'check_first_status_of_{table}';
                END IF;
                RETURN NEW;
            END $$""")
        op.execute(f"REVOKE ALL ON FUNCTION check_first_status_of_{table}() FROM PUBLIC")
        op.execute(f"""
            CREATE TRIGGER check_first_status BEFORE INSERT ON {table} FOR EACH ROW
            WHEN (NEW.status <> '{status}') EXECUTE FUNCTION check_first_status_of_{table}()""")
    execute_all(
        (
            CHECK_APPROVED,
            "REVOKE ALL ON FUNCTION check_approved() FROM PUBLIC",
            """CREATE TRIGGER check_approved BEFORE UPDATE ON optimizations FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status = 'executing')
            EXECUTE FUNCTION check_approved()""",
        )
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER check_approved ON optimizations")
    op.execute("DROP FUNCTION check_approved()")
    for table in FIRST:
        op.execute(f"DROP TRIGGER check_first_status ON {table}")
        op.execute(f"DROP FUNCTION check_first_status_of_{table}()")
