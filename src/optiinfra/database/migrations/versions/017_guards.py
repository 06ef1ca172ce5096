"""Guards: what was done, and for whom, is not deleted by a slip or by a cascade.

An optimization past `queued` stays, and with it its recommendation, agent and customer. Who may
remove it has the role `optiinfra_purge` and sets it; no setting opens the way.
"""

from alembic import op

revision = "017_guards"
down_revision = "016_audit_log"
branch_labels = None
depends_on = None

PURGE = "optiinfra_purge"
PARENTS = {"agents": "agent_id", "customers": "customer_id", "recommendations": "recommendation_id"}
DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
# PostgreSQL lets nobody set a role that is not his; in here, `current_user` is the tables' owner.
IS_PURGE = f"(current_setting('role') = '{PURGE}' OR session_user = '{PURGE}')"


def create_guard(table: str, condition: str, message: str) -> None:
    op.execute(f"""
        CREATE FUNCTION guard_{table}() RETURNS trigger {DEFINER} AS $$
        BEGIN
            IF {condition} AND NOT {IS_PURGE} THEN
                RAISE EXCEPTION '{message}', OLD.id
                    USING ERRCODE = 'restrict_violation', TABLE = '{table}',
                          CONSTRAINT = 'guard_{table}',
                          HINT = 'Remove a customer with optiinfra db purge.';
            END IF;
            RETURN OLD;
        END $$""")
    op.execute(f"REVOKE ALL ON FUNCTION guard_{table}() FROM PUBLIC")
    op.execute(f"""CREATE TRIGGER guard_rows BEFORE DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION guard_{table}()""")


def upgrade() -> None:
    create_guard(
        "optimizations",
        "OLD.status <> 'queued'",
        "optimization % is past queued and is kept for the record",
    )
    for table, key in PARENTS.items():
        create_guard(
            table,
            f"""EXISTS (SELECT FROM optimizations o
                WHERE o.{key} = OLD.id AND o.status <> 'queued')""",
            f"% of {table} has optimizations past queued, which are kept for the record",
        )
    op.execute(f"""
        CREATE FUNCTION guard_truncate() RETURNS trigger {DEFINER} AS $$
        BEGIN
            RAISE EXCEPTION '% is the record of what was done and is not truncated', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
                      CONSTRAINT = 'guard_truncate';
        END $$""")
    op.execute("REVOKE ALL ON FUNCTION guard_truncate() FROM PUBLIC")
    for table in ("optimizations", *PARENTS):
        op.execute(f"""CREATE TRIGGER guard_table BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION guard_truncate()""")


def downgrade() -> None:
    for table in ("optimizations", *PARENTS):
        op.execute(f"DROP TRIGGER guard_rows ON {table}")
        op.execute(f"DROP TRIGGER guard_table ON {table}")
        op.execute(f"DROP FUNCTION guard_{table}()")
    op.execute("DROP FUNCTION guard_truncate()")
