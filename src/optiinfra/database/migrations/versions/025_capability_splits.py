"""Capability splits: which versions of a capability had which share of its traffic, and since when.

Written by a trigger with every change, whoever makes it; appended to and never changed. The first
row of each version says what it had when this revision was applied.
"""

from optiinfra.database.migrations.operations import Loss, execute_all, refuse_losses

revision = "025_capability_splits"
down_revision = "024_resource_rollups"
branch_labels = None
depends_on = None

LOSSES = (Loss("SELECT FROM capability_splits", "the history of capability splits"),)

DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
COLUMNS = """agent_id, capability_name, capability_version, is_enabled, traffic_ratio, changed_by,
    occurred_at"""
STATEMENTS = (
    """CREATE TABLE capability_splits (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT capability_splits_pkey PRIMARY KEY,
        agent_id uuid NOT NULL,
        capability_name varchar(255) NOT NULL,
        capability_version varchar(50) NOT NULL,
        is_enabled boolean NOT NULL,
        traffic_ratio double precision NOT NULL,
        changed_by varchar(63) NOT NULL,
        occurred_at timestamptz NOT NULL
    )""",
    """CREATE INDEX ix_capability_splits_agent_name_time
        ON capability_splits (agent_id, capability_name, occurred_at)""",
    f"""INSERT INTO capability_splits ({COLUMNS})
        SELECT agent_id, capability_name, capability_version, enabled, traffic_ratio, session_user,
               clock_timestamp()
        FROM agent_capabilities ORDER BY agent_id, capability_name, capability_version""",
    f"""CREATE FUNCTION record_capability_split() RETURNS trigger {DEFINER} AS $$
    BEGIN
        IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE'
            OR (OLD.agent_id, OLD.capability_name, OLD.capability_version)
                <> (NEW.agent_id, NEW.capability_name, NEW.capability_version))
        THEN
            INSERT INTO capability_splits ({COLUMNS})
            VALUES (OLD.agent_id, OLD.capability_name, OLD.capability_version, false, 0,
                    session_user, clock_timestamp());
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO capability_splits ({COLUMNS})
            VALUES (NEW.agent_id, NEW.capability_name, NEW.capability_version, NEW.enabled,
                    NEW.traffic_ratio, session_user, clock_timestamp());
        END IF;
        RETURN NULL;
    END $$""",
    f"""CREATE FUNCTION keep_capability_splits() RETURNS trigger {DEFINER} AS $$
    BEGIN
        RAISE EXCEPTION 'capability_splits is appended to, and never changed'
            USING ERRCODE = 'restrict_violation', TABLE = 'capability_splits',
                  CONSTRAINT = 'keep_capability_splits';
    END $$""",
    "REVOKE ALL ON FUNCTION record_capability_split() FROM PUBLIC",
    "REVOKE ALL ON FUNCTION keep_capability_splits() FROM PUBLIC",
    """CREATE TRIGGER record_split_insert AFTER INSERT OR DELETE ON agent_capabilities
        FOR EACH ROW EXECUTE FUNCTION record_capability_split()""",
    """CREATE TRIGGER record_split_update AFTER UPDATE ON agent_capabilities FOR EACH ROW
        WHEN (OLD.agent_id <> NEW.agent_id OR OLD.capability_name <> NEW.capability_name
              OR OLD.capability_version <> NEW.capability_version OR OLD.enabled <> NEW.enabled
              OR OLD.traffic_ratio <> NEW.traffic_ratio)
        EXECUTE FUNCTION record_capability_split()""",
    """CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON capability_splits
        FOR EACH ROW EXECUTE FUNCTION keep_capability_splits()""",
    """CREATE TRIGGER keep_table BEFORE TRUNCATE ON capability_splits
        FOR EACH STATEMENT EXECUTE FUNCTION keep_capability_splits()""",
    "GRANT SELECT ON capability_splits TO optiinfra_worker, optiinfra_purge",
)


def upgrade() -> None:
    execute_all(STATEMENTS)


def downgrade() -> None:
    refuse_losses(LOSSES)
    execute_all(
        (
            "DROP TRIGGER record_split_insert ON agent_capabilities",
            "DROP TRIGGER record_split_update ON agent_capabilities",
            "DROP FUNCTION record_capability_split()",
            "DROP TABLE capability_splits",
            "DROP FUNCTION keep_capability_splits()",
        )
    )
