"""Capability versions: several of one capability, and the enabled ones share its traffic."""

import sqlalchemy as sa
from alembic import op

from optiinfra.database.migrations.operations import Loss, refuse_losses

revision = "010_capability_versions"
down_revision = "009_evidence_digests"
branch_labels = None
depends_on = None

LOSSES = (
    Loss(
        "SELECT FROM agent_capabilities GROUP BY agent_id, capability_name HAVING count(*) > 1",
        "all versions of a capability but one",
    ),
)

UNIQUES = sa.text("""
    SELECT conname FROM pg_constraint
    WHERE conrelid = 'agent_capabilities'::regclass AND contype = 'u'""")
# Deferred to the end of the transaction, so that a split can be changed in several statements.
SHARES = """
    CREATE FUNCTION check_capability_shares() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        pair record;
        total double precision;
        num_enabled bigint;
    BEGIN
        FOR pair IN
            SELECT DISTINCT p.agent_id, p.capability_name FROM (
                SELECT NEW.agent_id, NEW.capability_name WHERE TG_OP <> 'DELETE'
                UNION ALL
                SELECT OLD.agent_id, OLD.capability_name WHERE TG_OP <> 'INSERT') p
        LOOP
            PERFORM pg_advisory_xact_lock(
                hashtextextended(pair.agent_id::text || pair.capability_name, 7));
            SELECT sum(c.traffic_ratio), count(*) INTO total, num_enabled
            FROM agent_capabilities c
            WHERE c.agent_id = pair.agent_id AND c.capability_name = pair.capability_name
              AND c.enabled;
            IF num_enabled > 0 AND abs(total - 1) > 1e-9 THEN
                RAISE EXCEPTION
                    'the enabled versions of capability % share % of its traffic, not 1',
                    pair.capability_name, total
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'check_capability_shares',
                          TABLE = 'agent_capabilities', COLUMN = 'traffic_ratio';
            END IF;
        END LOOP;
        RETURN NULL;
    END $$"""


def upgrade() -> None:
    for (name,) in op.get_bind().execute(UNIQUES).all():
        op.execute(f'ALTER TABLE agent_capabilities DROP CONSTRAINT "{name}"')
    # The newest enabled version of each capability takes all the traffic; others had none before.
    op.execute("""
        UPDATE agent_capabilities c SET traffic_ratio = 0
        WHERE EXISTS (
            SELECT FROM agent_capabilities o
            WHERE o.agent_id = c.agent_id AND o.capability_name = c.capability_name AND o.enabled
              AND (o.created_at, o.id) > (c.created_at, c.id))""")
    op.execute("""
        ALTER TABLE agent_capabilities
        ADD CONSTRAINT uq_agent_capability_version
            UNIQUE (agent_id, capability_name, capability_version),
        ADD CONSTRAINT check_traffic_ratio CHECK (traffic_ratio >= 0 AND traffic_ratio <= 1)""")
    op.execute(SHARES)
    op.execute("REVOKE ALL ON FUNCTION check_capability_shares() FROM PUBLIC")
    op.execute("""
        CREATE CONSTRAINT TRIGGER check_capability_shares
        AFTER INSERT OR UPDATE OR DELETE ON agent_capabilities
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_capability_shares()""")


def downgrade() -> None:
    refuse_losses(LOSSES)
    op.execute("DROP TRIGGER check_capability_shares ON agent_capabilities")
    op.execute("DROP FUNCTION check_capability_shares()")
    op.execute("""
        DELETE FROM agent_capabilities c USING agent_capabilities o
        WHERE o.agent_id = c.agent_id AND o.capability_name = c.capability_name AND o.id <> c.id
          AND (o.enabled, o.traffic_ratio, o.created_at, o.id)
              > (c.enabled, c.traffic_ratio, c.created_at, c.id)""")
    op.execute("""
        ALTER TABLE agent_capabilities
        DROP CONSTRAINT uq_agent_capability_version, DROP CONSTRAINT check_traffic_ratio,
        ADD CONSTRAINT uq_agent_capability UNIQUE (agent_id, capability_name)""")
