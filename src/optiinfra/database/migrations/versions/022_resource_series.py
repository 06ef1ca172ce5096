"""Resource series: one row a series, and its number beside every sample of it.

A series is customer, agent, instance, type, metric and unit; its number is a hash of them, so that
a writer knows it without asking (database/series.py computes the same). Rows that no bulk writer
wrote have none until `adopt_series` (database/rollups.py). Going back loses nothing that the
samples do not say.
"""

from optiinfra.database.migrations.operations import execute_all

revision = "022_resource_series"
down_revision = "021_storage_settings"
branch_labels = None
depends_on = None

SIGNATURE = "compute_series_id(uuid, uuid, text, text, text, text)"
TENANT = "customer_id = current_setting('optiinfra.customer_id')::uuid"
NUMBER = r"""
    CREATE FUNCTION compute_series_id(
        customer_id uuid, agent_id uuid, instance_id text, resource_type text, metric_name text,
        unit text
    ) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT ('x' || encode(substr(sha256(convert_to(
            customer_id::text || agent_id::text
            || length(instance_id) || ':' || instance_id
            || length(resource_type) || ':' || resource_type
            || length(metric_name) || ':' || metric_name
            || length(unit) || ':' || unit, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
    $$"""
TABLE = """
    CREATE TABLE resource_series (
        customer_id uuid NOT NULL,
        id bigint NOT NULL,
        agent_id uuid NOT NULL,
        instance_id varchar(255) NOT NULL,
        resource_type resource_type NOT NULL,
        metric_name varchar(100) NOT NULL,
        unit varchar(50) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT resource_series_pkey PRIMARY KEY (customer_id, id),
        CONSTRAINT resource_series_customer_id_fkey
            FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE,
        CONSTRAINT resource_series_agent_id_fkey
            FOREIGN KEY (agent_id) REFERENCES agents (id) ON DELETE CASCADE
    )"""


def upgrade() -> None:
    execute_all(
        (
            NUMBER,
            f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO optiinfra_worker",
            TABLE,
            "CREATE INDEX ix_resource_series_agent_id ON resource_series (agent_id)",
            "ALTER TABLE resource_series ENABLE ROW LEVEL SECURITY",
            (
                f"CREATE POLICY tenant ON resource_series TO optiinfra_app"
                f" USING ({TENANT}) WITH CHECK ({TENANT})"
            ),
            (
                "CREATE POLICY all_tenants ON resource_series TO optiinfra_worker, optiinfra_purge"
                " USING (true) WITH CHECK (true)"
            ),
            "GRANT SELECT ON resource_series TO optiinfra_app, optiinfra_worker",
            "GRANT INSERT ON resource_series TO optiinfra_worker, optiinfra_ingest",
            "GRANT SELECT, DELETE ON resource_series TO optiinfra_purge",
            "ALTER TABLE resource_metrics ADD COLUMN series_id bigint",
        )
    )


def downgrade() -> None:
    execute_all(
        (
            "ALTER TABLE resource_metrics DROP COLUMN series_id",
            "DROP TABLE resource_series",
            f"DROP FUNCTION {SIGNATURE}",
        )
    )
