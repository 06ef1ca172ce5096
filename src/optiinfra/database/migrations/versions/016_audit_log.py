"""Audit log: every status that was set, by whom and when; appended to, never changed or pruned.

It has no foreign keys, since it outlives what it tells of. Executions and steps are told of in
workflow_state_transitions.
"""

from alembic import op

from optiinfra.database.migrations.operations import Loss, execute_all, refuse_losses

revision = "016_audit_log"
down_revision = "015_lifecycles"
branch_labels = None
depends_on = None

LOSSES = (Loss("SELECT FROM audit_log", "the audit log"),)

# Table, and the expression for its tenant.
TABLES = {
    "customers": "NEW.id",
    "agents": "NULL",
    "recommendations": "NEW.customer_id",
    "approvals": "NEW.customer_id",
    "optimizations": "NEW.customer_id",
}
DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_log_pkey PRIMARY KEY,
            customer_id uuid,
            table_name varchar(63) NOT NULL,
            row_id uuid NOT NULL,
            old_status varchar(20),
            new_status varchar(20) NOT NULL,
            changed_by varchar(63) NOT NULL,
            occurred_at timestamptz NOT NULL
        )""")
    op.execute("CREATE INDEX ix_audit_log_row_id ON audit_log (row_id)")
    op.execute("""CREATE INDEX ix_audit_log_customer_id_occurred_at
        ON audit_log (customer_id, occurred_at)""")
    for table, tenant in TABLES.items():
        op.execute(f"""
            CREATE FUNCTION audit_{table}() RETURNS trigger {DEFINER} AS $$
            BEGIN
                INSERT INTO audit_log (customer_id, table_name, row_id, old_status, new_status,
                                       changed_by, occurred_at)
                VALUES ({tenant}, '{table}', NEW.id,
                        CASE TG_OP WHEN 'UPDATE' THEN OLD.status::text END, NEW.status::text,
                        session_user, clock_timestamp());
                RETURN NULL;
            END $$""")
        op.execute(f"REVOKE ALL ON FUNCTION audit_{table}() FROM PUBLIC")
        op.execute(f"""CREATE TRIGGER audit_insert AFTER INSERT ON {table}
            FOR EACH ROW EXECUTE FUNCTION audit_{table}()""")
        op.execute(f"""CREATE TRIGGER audit_update AFTER UPDATE ON {table} FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION audit_{table}()""")
    execute_all(
        (
            f"""CREATE FUNCTION keep_audit_log() RETURNS trigger {DEFINER} AS $$
            BEGIN
                RAISE EXCEPTION 'audit_log is appended to, and never changed'
                    USING ERRCODE = 'restrict_violation', TABLE = 'audit_log',
                          CONSTRAINT = 'keep_audit_log';
            END $$""",
            "REVOKE ALL ON FUNCTION keep_audit_log() FROM PUBLIC",
            """CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON audit_log
            FOR EACH ROW EXECUTE FUNCTION keep_audit_log()""",
            """CREATE TRIGGER keep_table BEFORE TRUNCATE ON audit_log
            FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_log()""",
        )
    )


def downgrade() -> None:
    refuse_losses(LOSSES)
    for table in TABLES:
        op.execute(f"DROP TRIGGER audit_insert ON {table}")
        op.execute(f"DROP TRIGGER audit_update ON {table}")
        op.execute(f"DROP FUNCTION audit_{table}()")
    op.execute("DROP TABLE audit_log")
    op.execute("DROP FUNCTION keep_audit_log()")
