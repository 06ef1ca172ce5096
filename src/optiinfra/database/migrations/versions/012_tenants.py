"""Tenants: every row of a customer names it, and cannot belong to a row of another customer.

`customer_id` comes to approvals, workflow_steps and workflow_artifacts; who inserts a row without
it gets that of its parent. Keys between rows of customers are composite. Rows that cross tenants
are mended first and listed in migration_findings: a row takes the tenant of what it cannot be
without, and lets go of what it can be without.
"""

from alembic import op

from optiinfra.database.migrations.operations import (
    add_validated,
    alter,
    autocommit,
    create_index,
    drop_constraint,
    has_constraint,
    record_findings,
)

revision = "012_tenants"
down_revision = "011_api_key_digests"
branch_labels = None
depends_on = None

# Child, its key to the parent, the parent.
FILLED = (
    ("approvals", "recommendation_id", "recommendations"),
    ("workflow_steps", "workflow_execution_id", "workflow_executions"),
    ("workflow_artifacts", "workflow_execution_id", "workflow_executions"),
)
OWNED = (
    ("optimizations", "recommendation_id", "recommendations"),
    ("quality_regressions", "baseline_id", "quality_baselines"),
)
LINKED = (
    ("scaling_events", "workflow_execution_id", "workflow_executions"),
    ("quality_regressions", "workflow_execution_id", "workflow_executions"),
)
PARENTS = ("recommendations", "workflow_executions", "quality_baselines")


def get_name(table: str, *columns: str, kind: str = "fkey") -> str:
    return f"{table}_{'_'.join(columns)}_{kind}"


def add_customers() -> None:
    for child, key, parent in FILLED:
        op.execute(f"ALTER TABLE {child} ADD COLUMN IF NOT EXISTS customer_id uuid")
        op.execute(f"""
            CREATE OR REPLACE FUNCTION fill_customer_of_{child}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
            BEGIN
                NEW.customer_id := (SELECT p.customer_id FROM {parent} p WHERE p.id = NEW.{key});
                RETURN NEW;
            END $$""")
        op.execute(f"REVOKE ALL ON FUNCTION fill_customer_of_{child}() FROM PUBLIC")
        op.execute(f"""
            CREATE OR REPLACE TRIGGER fill_customer BEFORE INSERT ON {child} FOR EACH ROW
            WHEN (NEW.customer_id IS NULL) EXECUTE FUNCTION fill_customer_of_{child}()""")


def fill_customers() -> None:
    for child, key, parent in FILLED:
        op.execute(f"""
            UPDATE {child} c SET customer_id = p.customer_id FROM {parent} p
            WHERE p.id = c.{key} AND c.customer_id IS NULL""")


def mend_crossings() -> None:
    for child, key, parent in OWNED:
        crossing = f"EXISTS (SELECT FROM {parent} p WHERE p.id = t.{key}"
        crossing += " AND p.customer_id <> t.customer_id)"
        record_findings(
            revision, child, crossing, rule=f"takes the tenant of {parent}", action="mended"
        )
        op.execute(f"""
            UPDATE {child} t SET customer_id = p.customer_id FROM {parent} p
            WHERE p.id = t.{key} AND p.customer_id <> t.customer_id""")
    for child, key, parent in LINKED:
        crossing = f"EXISTS (SELECT FROM {parent} p WHERE p.id = t.{key}"
        crossing += " AND p.customer_id <> t.customer_id)"
        record_findings(
            revision, child, crossing, rule=f"lets go of another tenant's {parent}", action="mended"
        )
        op.execute(f"UPDATE {child} t SET {key} = NULL WHERE {crossing}")
    stray = """t.workflow_step_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM workflow_steps s WHERE s.id = t.workflow_step_id
        AND s.workflow_execution_id = t.workflow_execution_id)"""
    record_findings(
        revision,
        "workflow_artifacts",
        stray,
        rule="lets go of another execution's step",
        action="mended",
    )
    op.execute(f"UPDATE workflow_artifacts t SET workflow_step_id = NULL WHERE {stray}")


def require_customers() -> None:
    """By way of a validated CHECK, from which SET NOT NULL needs no scan."""
    for child, _, _ in FILLED:
        add_validated(child, "has_customer", "CHECK (customer_id IS NOT NULL)")
        alter(child, f"ALTER TABLE {child} ALTER COLUMN customer_id SET NOT NULL")
        drop_constraint(child, "has_customer")


def add_unique(table: str, *columns: str) -> None:
    name = get_name(table, *columns, kind="key")
    if has_constraint(table, name):
        return  # made by an attempt before this one, and keys may refer to it
    create_index(name, f"{table} ({', '.join(columns)})", is_unique=True)
    alter(table, f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")


def add_keys() -> None:
    for parent in PARENTS:
        add_unique(parent, "id", "customer_id")
    add_unique("workflow_steps", "id", "workflow_execution_id")
    for child, key, parent in (*FILLED, *OWNED, *LINKED):
        is_linked = (child, key, parent) in LINKED
        rule = f"SET NULL ({key})" if is_linked else "CASCADE"
        add_validated(
            child,
            get_name(child, key, "customer_id"),
            f"FOREIGN KEY ({key}, customer_id) REFERENCES {parent} (id, customer_id)"
            f" ON DELETE {rule}",
        )
        drop_constraint(child, get_name(child, key))
    add_validated(
        "workflow_artifacts",
        get_name("workflow_artifacts", "workflow_step_id", "workflow_execution_id"),
        "FOREIGN KEY (workflow_step_id, workflow_execution_id)"
        " REFERENCES workflow_steps (id, workflow_execution_id) ON DELETE CASCADE",
    )
    drop_constraint("workflow_artifacts", get_name("workflow_artifacts", "workflow_step_id"))


def upgrade() -> None:
    add_customers()
    fill_customers()
    mend_crossings()
    with autocommit():
        fill_customers()
        require_customers()
        add_keys()


def downgrade() -> None:
    with autocommit():
        for child, key, parent in (*FILLED, *OWNED, *LINKED):
            is_linked = (child, key, parent) in LINKED
            rule = "SET NULL" if is_linked else "CASCADE"
            reference = f"FOREIGN KEY ({key}) REFERENCES {parent} (id) ON DELETE {rule}"
            add_validated(child, get_name(child, key), reference)
            drop_constraint(child, get_name(child, key, "customer_id"))
        step = "workflow_step_id"
        table = "workflow_artifacts"
        reference = f"FOREIGN KEY ({step}) REFERENCES workflow_steps (id) ON DELETE CASCADE"
        add_validated(table, get_name(table, step), reference)
        drop_constraint(table, get_name(table, step, "workflow_execution_id"))
    for parent in PARENTS:
        drop_constraint(parent, get_name(parent, "id", "customer_id", kind="key"))
    drop_constraint(
        "workflow_steps", get_name("workflow_steps", "id", "workflow_execution_id", kind="key")
    )
    for child, _, _ in FILLED:
        op.execute(f"DROP TRIGGER IF EXISTS fill_customer ON {child}")
        op.execute(f"DROP FUNCTION IF EXISTS fill_customer_of_{child}()")
        op.execute(f"ALTER TABLE {child} DROP COLUMN IF EXISTS customer_id")
