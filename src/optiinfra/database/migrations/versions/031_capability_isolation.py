"""Capability isolation: shares are not changed under REPEATABLE READ, which would not see others'.

The check at the end of a transaction adds up what it sees. Under READ COMMITTED it sees what others
committed before, under SERIALIZABLE PostgreSQL refuses one of two; under REPEATABLE READ two
sessions could both find a sum of 1 and leave another.
"""

from alembic import op

revision = "031_capability_isolation"
down_revision = "030_page_indexes"
branch_labels = None
depends_on = None

PLAIN = "LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"


def upgrade() -> None:
    op.execute(f"""
        CREATE FUNCTION check_capability_isolation() RETURNS trigger {PLAIN} AS $$
        BEGIN
            IF current_setting('transaction_isolation') = 'repeatable read' THEN
                RAISE EXCEPTION 'capabilities are not changed under REPEATABLE READ'
                    USING ERRCODE = 'invalid_transaction_state', TABLE = 'agent_capabilities',
                          CONSTRAINT = 'check_capability_isolation',
                          HINT = 'Use READ COMMITTED or SERIALIZABLE.';
            END IF;
            RETURN NULL;
        END $$""")
    op.execute("REVOKE ALL ON FUNCTION check_capability_isolation() FROM PUBLIC")
    op.execute("""
        CREATE TRIGGER check_isolation BEFORE INSERT OR UPDATE OR DELETE ON agent_capabilities
        FOR EACH STATEMENT EXECUTE FUNCTION check_capability_isolation()""")


def downgrade() -> None:
    op.execute("DROP TRIGGER check_isolation ON agent_capabilities")
    op.execute("DROP FUNCTION check_capability_isolation()")
