"""Roles: each may do what it is for, and a tenant sees its own rows.

- `optiinfra_app` serves one tenant at a time: `SET LOCAL optiinfra.customer_id` within the
  transaction; without it every query of a tenant's table raises, even where it is empty.
- `optiinfra_worker` claims and carries out work of all tenants.
- `optiinfra_ingest` writes metrics by COPY, which row-level security refuses: it bypasses it and
  may insert and nothing else. Its writer checks each row's tenant.
- `optiinfra_backup` reads everything, unfiltered.
- `optiinfra_purge` removes a customer; the guards let it pass.

The owner of the tables is not filtered. Roles belong to the whole server and other databases may
use them: going back takes their rights in this one and leaves them there, without any.
"""

from alembic import op

from optiinfra.database.migrations.operations import execute_all

revision = "020_roles"
down_revision = "019_partitions"
branch_labels = None
depends_on = None

APP, WORKER, INGEST = "optiinfra_app", "optiinfra_worker", "optiinfra_ingest"
BACKUP, PURGE = "optiinfra_backup", "optiinfra_purge"
ROLES = (APP, WORKER, INGEST, BACKUP, PURGE)
# What only an administrator may give: who has CREATEROLE alone makes the roles without, and
# PostgreSQL refuses what needs it until it is given (database/role_rights.py says how).
EXTRAS = {
    INGEST: (f"ALTER ROLE {INGEST} BYPASSRLS",),
    BACKUP: (f"ALTER ROLE {BACKUP} BYPASSRLS", f"GRANT pg_read_all_data TO {BACKUP}"),
}
TENANT = "current_setting('optiinfra.customer_id')::uuid"
TENANT_TABLES = {
    "customers": "id",
    "events": "customer_id",
    "recommendations": "customer_id",
    "approvals": "customer_id",
    "optimizations": "customer_id",
    "workflow_executions": "customer_id",
    "workflow_steps": "customer_id",
    "workflow_artifacts": "customer_id",
    "workflow_state_transitions": "customer_id",
    "resource_metrics": "customer_id",
    "scaling_events": "customer_id",
    "quality_metrics": "customer_id",
    "quality_baselines": "customer_id",
    "quality_regressions": "customer_id",
    "audit_log": "customer_id",
}
SHARED_TABLES = ("agents", "agent_configs", "agent_states", "agent_capabilities", "agent_metrics")
HISTORY = ("workflow_state_transitions", "audit_log")  # written by triggers alone
APP_INSERTS = (
    "events", "recommendations", "approvals", "optimizations", "workflow_executions",
    "workflow_steps", "workflow_artifacts", "scaling_events",
)  # fmt: skip
APP_UPDATES = (
    "recommendations", "approvals", "optimizations", "workflow_executions", "workflow_steps",
)  # fmt: skip
CUSTOMER_COLUMNS = "id, name, email, api_key_prefix, plan, status, metadata, created_at, updated_at"
# Another database of the same server may be upgraded at the same time.
CREATE_ROLE = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
            CREATE ROLE {role} NOLOGIN;
            {extras}
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE insufficient_privilege USING
                MESSAGE = 'role {role} is missing and cannot be created by ' || current_user,
                HINT = 'Let an administrator run: ALTER ROLE ' || current_user || ' CREATEROLE;';
    END $$"""
EXTRA = """
            BEGIN
                {statement};
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE WARNING 'an administrator has to run: {statement}';
            END;"""
# Who made the schema may act in each role; a superuser may anyway. Since PostgreSQL 16 who creates
# a role may grant it, and acts in it only when he grants it to himself.
GRANT_ROLE = """
    DO $$ BEGIN
        IF current_setting('server_version_num')::integer < 160000 THEN
            IF NOT pg_has_role(current_user, '{role}', 'MEMBER') THEN
                GRANT {role} TO CURRENT_USER;
            END IF;
        ELSIF NOT pg_has_role(current_user, '{role}', 'SET') THEN
            EXECUTE 'GRANT {role} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE';
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$"""
LOGIN = """
    CREATE FUNCTION find_customer_by_key(digest text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT id FROM customers WHERE api_key = digest AND status = 'active'
    $$"""
VIEW = """
    CREATE VIEW agent_directory AS
    SELECT id, type, name, version, status, capabilities, last_heartbeat FROM agents"""


def create_roles() -> None:
    for role in ROLES:
        extras = "".join(EXTRA.format(statement=extra) for extra in EXTRAS.get(role, ()))
        op.execute(CREATE_ROLE.format(role=role, extras=extras))
        op.execute(GRANT_ROLE.format(role=role))
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")


def create_policies() -> None:
    for table, column in TENANT_TABLES.items():
        rule = f"{column} = {TENANT}"
        execute_all(
            (
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY tenant ON {table} TO {APP} USING ({rule}) WITH CHECK ({rule})",
                (
                    f"CREATE POLICY all_tenants ON {table} TO {WORKER}, {PURGE}"
                    " USING (true) WITH CHECK (true)"
                ),
            )
        )


def grant() -> None:
    for table in TENANT_TABLES:
        if table != "customers":
            op.execute(f"GRANT SELECT ON {table} TO {APP}")
        op.execute(f"GRANT SELECT ON {table} TO {WORKER}")
        if table not in HISTORY:
            op.execute(f"GRANT INSERT, UPDATE ON {table} TO {WORKER}")
            op.execute(f"GRANT SELECT, DELETE ON {table} TO {PURGE}")
    for table in SHARED_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {WORKER}")
        op.execute(f"GRANT SELECT, DELETE ON {table} TO {PURGE}")
    for table in APP_INSERTS:
        op.execute(f"GRANT INSERT ON {table} TO {APP}")
    for table in APP_UPDATES:
        op.execute(f"GRANT UPDATE ON {table} TO {APP}")
    op.execute(f"GRANT SELECT ({CUSTOMER_COLUMNS}) ON customers TO {APP}")
    op.execute(f"GRANT SELECT ON agent_directory TO {APP}")
    for table in ("agent_metrics", "resource_metrics", "quality_metrics"):
        op.execute(f"GRANT INSERT ON {table} TO {INGEST}")
    op.execute(f"GRANT EXECUTE ON FUNCTION find_customer_by_key(text) TO {APP}")


def upgrade() -> None:
    create_roles()
    op.execute(VIEW)
    op.execute(LOGIN)
    op.execute("REVOKE ALL ON FUNCTION find_customer_by_key(text) FROM PUBLIC")
    create_policies()
    grant()


def downgrade() -> None:
    for table in TENANT_TABLES:
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"DROP POLICY all_tenants ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute("DROP VIEW agent_directory")
    op.execute("DROP FUNCTION find_customer_by_key(text)")
    op.execute(f"REVOKE SELECT ({CUSTOMER_COLUMNS}) ON customers FROM {APP}")
    for role in ROLES:
        for table in (*TENANT_TABLES, *SHARED_TABLES):
            op.execute(f"REVOKE ALL ON {table} FROM {role}")
        op.execute(f"REVOKE USAGE ON SCHEMA public FROM {role}")
