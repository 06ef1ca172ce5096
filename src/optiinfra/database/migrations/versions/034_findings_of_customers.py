"""Findings of customers: a row that an upgrade mended or set aside is its customer's, as it was.

The customer is the one that the row named. Where a row was given to the tenant of what it belongs
to, it named one and was another's: whose it was is not known, and only the owner sees it. Findings
of a customer who is no more go, as `db purge` would have taken them; going back does not bring
them.
"""

from optiinfra.database.migrations.operations import (
    add_validated,
    autocommit,
    create_index,
    execute_all,
)

revision = "034_findings_of_customers"
down_revision = "033_claim_indexes"
branch_labels = None
depends_on = None

TABLE = "migration_findings"
FUNCTION = f"fill_customer_of_{TABLE}"
INDEX = f"ix_{TABLE}_customer_id"
KEY = f"{TABLE}_customer_id_fkey"
TENANT = "customer_id = current_setting('optiinfra.customer_id')::uuid"
NAMED = """
    CASE WHEN {0}.table_name = 'customers' THEN {0}.row_before ->> 'id'
         ELSE {0}.row_before ->> 'customer_id' END::uuid"""
# Rows of these were given to another tenant by revision 012, and went with that one.
CROSSED = ("optimizations", "quality_regressions")
IS_KNOWN = "{0}.rule NOT LIKE 'takes the tenant of %'"


def fill_customers() -> None:
    named, is_known = NAMED.format("f"), IS_KNOWN.format("f")
    execute_all(
        (
            f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS customer_id uuid",
            (
                f"DELETE FROM {TABLE} f WHERE {named} IS NOT NULL"
                f" AND NOT EXISTS (SELECT FROM customers c WHERE c.id = {named})"
            ),
            *(
                f"DELETE FROM {TABLE} f WHERE table_name = '{table}' AND NOT ({is_known})"
                f" AND NOT EXISTS (SELECT FROM {table} t WHERE t.id = f.row_id)"
                for table in CROSSED
            ),
            (
                f"UPDATE {TABLE} f SET customer_id = {named}"
                f" WHERE {named} IS NOT NULL AND {is_known}"
            ),
        )
    )


def upgrade() -> None:
    fill_customers()
    with autocommit():
        create_index(INDEX, f"{TABLE} (customer_id)")
        add_validated(
            TABLE, KEY, "FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE"
        )
    execute_all(
        (
            f"""CREATE FUNCTION {FUNCTION}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
            BEGIN
                NEW.customer_id := (SELECT c.id FROM customers c WHERE c.id = {NAMED.format("NEW")}
                                    AND {IS_KNOWN.format("NEW")});
                RETURN NEW;
            END $$""",
            f"REVOKE ALL ON FUNCTION {FUNCTION}() FROM PUBLIC",
            f"""CREATE TRIGGER fill_customer BEFORE INSERT ON {TABLE} FOR EACH ROW
            WHEN (NEW.customer_id IS NULL) EXECUTE FUNCTION {FUNCTION}()""",
            f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
            (
                f"CREATE POLICY tenant ON {TABLE} TO optiinfra_app"
                f" USING ({TENANT}) WITH CHECK ({TENANT})"
            ),
            (
                f"CREATE POLICY all_tenants ON {TABLE} TO optiinfra_worker, optiinfra_purge"
                " USING (true) WITH CHECK (true)"
            ),
            f"GRANT SELECT ON {TABLE} TO optiinfra_app, optiinfra_worker",
            f"GRANT SELECT, DELETE ON {TABLE} TO optiinfra_purge",
        )
    )


def downgrade() -> None:
    execute_all(
        (
            f"REVOKE ALL ON {TABLE} FROM optiinfra_app, optiinfra_worker, optiinfra_purge",
            f"DROP POLICY tenant ON {TABLE}",
            f"DROP POLICY all_tenants ON {TABLE}",
            f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY",
            f"DROP TRIGGER fill_customer ON {TABLE}",
            f"DROP FUNCTION {FUNCTION}()",
            f"ALTER TABLE {TABLE} DROP COLUMN customer_id",
        )
    )
