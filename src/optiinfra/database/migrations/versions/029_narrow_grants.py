"""Narrow grants: a tenant changes what it decides, and what was decided stays as it was.

A tenant updated whole rows before, evidence and savings among them, and wrote steps and scalings
that only a worker does. A worker could replace a customer's API key. Decided approvals, and the
evidence of recommendations past `pending`, are frozen for everybody but the tables' owner. Where a
decided approval goes with its recommendation, the audit log says so.
"""

from alembic import op

from optiinfra.database.migrations.operations import execute_all

revision = "029_narrow_grants"
down_revision = "028_first_statuses"
branch_labels = None
depends_on = None

APP, WORKER = "optiinfra_app", "optiinfra_worker"
WIDE_UPDATES = (
    "recommendations", "approvals", "optimizations", "workflow_executions", "workflow_steps",
)  # fmt: skip
WIDE_INSERTS = ("workflow_steps", "workflow_artifacts", "scaling_events")
DECIDES = {
    "recommendations": "status, approved_at, updated_at, version",
    "approvals": "status, approved_by, comment, evidence_digest, updated_at",
}
CUSTOMER_COLUMNS = "id, name, email, plan, status, metadata, created_at, updated_at"
CHANGED_BY_WORKER = "name, plan, status, metadata, updated_at"
PLAIN = "LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"
DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
IS_OWNER = """pg_has_role(current_user, (
    SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')"""
FROZEN = {
    "approvals": ("approved_by", "recommendation_id", "evidence_digest", "comment"),
    "recommendations": ("type", "data", "evidence_digest", "estimated_savings"),
}


def freeze(table: str, columns: tuple[str, ...]) -> None:
    changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in columns)
    op.execute(f"""
        CREATE FUNCTION freeze_{table}() RETURNS trigger {PLAIN} AS $$
        BEGIN
            IF NOT {IS_OWNER} THEN
                RAISE EXCEPTION '{table}: what was decided on stays as it was'
                    USING ERRCODE = 'restrict_violation', TABLE = '{table}',
                          CONSTRAINT = 'freeze_{table}';
            END IF;
            RETURN NEW;
        END $$""")
    op.execute(f"REVOKE ALL ON FUNCTION freeze_{table}() FROM PUBLIC")
    op.execute(f"""CREATE TRIGGER freeze_decided BEFORE UPDATE ON {table} FOR EACH ROW
        WHEN (OLD.status <> 'pending' AND ({changed})) EXECUTE FUNCTION freeze_{table}()""")


def upgrade() -> None:
    for table in WIDE_UPDATES:
        op.execute(f"REVOKE UPDATE ON {table} FROM {APP}")
    for table in WIDE_INSERTS:
        op.execute(f"REVOKE INSERT ON {table} FROM {APP}")
    for table, columns in DECIDES.items():
        op.execute(f"GRANT UPDATE ({columns}) ON {table} TO {APP}")
    execute_all(
        (
            f"REVOKE INSERT, UPDATE ON customers FROM {WORKER}",
            f"GRANT UPDATE ({CHANGED_BY_WORKER}) ON customers TO {WORKER}",
            f"""CREATE FUNCTION audit_removal_of_approvals() RETURNS trigger {DEFINER} AS $$
            BEGIN
                INSERT INTO audit_log (customer_id, table_name, row_id, old_status, new_status,
                                       changed_by, occurred_at)
                VALUES (OLD.customer_id, 'approvals', OLD.id, OLD.status::text, 'removed',
                        session_user, clock_timestamp());
                RETURN NULL;
            END $$""",
            "REVOKE ALL ON FUNCTION audit_removal_of_approvals() FROM PUBLIC",
            """CREATE TRIGGER audit_delete AFTER DELETE ON approvals FOR EACH ROW
            WHEN (OLD.status <> 'pending') EXECUTE FUNCTION audit_removal_of_approvals()""",
        )
    )
    for table, frozen in FROZEN.items():
        freeze(table, frozen)


def downgrade() -> None:
    for table in FROZEN:
        op.execute(f"DROP TRIGGER freeze_decided ON {table}")
        op.execute(f"DROP FUNCTION freeze_{table}()")
    execute_all(
        (
            "DROP TRIGGER audit_delete ON approvals",
            "DROP FUNCTION audit_removal_of_approvals()",
            f"REVOKE UPDATE ({CHANGED_BY_WORKER}) ON customers FROM {WORKER}",
            f"GRANT INSERT, UPDATE ON customers TO {WORKER}",
        )
    )
    for table, columns in DECIDES.items():
        op.execute(f"REVOKE UPDATE ({columns}) ON {table} FROM {APP}")
    for table in WIDE_INSERTS:
        op.execute(f"GRANT INSERT ON {table} TO {APP}")
    for table in WIDE_UPDATES:
        op.execute(f"GRANT UPDATE ON {table} TO {APP}")
