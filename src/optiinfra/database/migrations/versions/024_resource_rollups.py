"""Resource rollups: the hours of a day of each series, one row a day, and what is still to be done.

A row of `resource_metric_days` holds 24 hours in UTC as arrays, and in the bits of `hours` which of
them have samples: a month of 1,000 series is 30,000 rows of one width, which are read as fast as
they can be sent. `resource_metric_hours` shows them one a row.

Who writes samples leaves a mark for each of their days, in the same transaction; whoever rolls up
takes the marks that it sees with the samples that it sees (database/rollups.py).
"""

from optiinfra.database.migrations.operations import Loss, execute_all, refuse_losses

revision = "024_resource_rollups"
down_revision = "023_series_indexes"
branch_labels = None
depends_on = None

LOSSES = (
    Loss(
        """SELECT FROM resource_metric_days d WHERE NOT EXISTS (
               SELECT FROM resource_metrics m WHERE m.series_id = d.series_id
               AND m."timestamp" >= d.day AT TIME ZONE 'UTC'
               AND m."timestamp" < (d.day + 1) AT TIME ZONE 'UTC')""",
        "hourly values whose samples were dropped",
    ),
)

TENANT = "customer_id = current_setting('optiinfra.customer_id')::uuid"
DAYS = """
    CREATE TABLE resource_metric_days (
        customer_id uuid NOT NULL,
        series_id bigint NOT NULL,
        day date NOT NULL,
        hours integer NOT NULL,
        num_samples integer[] NOT NULL,
        value_mean double precision[] NOT NULL,
        value_min double precision[] NOT NULL,
        value_max double precision[] NOT NULL,
        CONSTRAINT resource_metric_days_pkey PRIMARY KEY (customer_id, series_id, day),
        CONSTRAINT resource_metric_days_customer_id_series_id_fkey
            FOREIGN KEY (customer_id, series_id) REFERENCES resource_series (customer_id, id)
            ON DELETE CASCADE,
        CONSTRAINT check_hours_of_day CHECK (
            hours > 0 AND hours < 1 << 24
            AND cardinality(num_samples) = 24 AND cardinality(value_mean) = 24
            AND cardinality(value_min) = 24 AND cardinality(value_max) = 24
            AND array_position(num_samples, NULL) IS NULL
            AND array_position(value_mean, NULL) IS NULL)
    )"""
MARKS = """
    CREATE TABLE resource_rollup_marks (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT resource_rollup_marks_pkey PRIMARY KEY,
        customer_id uuid NOT NULL,
        day date NOT NULL,
        CONSTRAINT resource_rollup_marks_customer_id_fkey
            FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
    )"""
HOURS = """
    CREATE VIEW resource_metric_hours WITH (security_invoker = true) AS
    SELECT d.customer_id, d.series_id,
           (d.day + (h.number - 1) * interval '1 hour') AT TIME ZONE 'UTC' AS hour,
           h.num_samples, h.value_mean, h.value_min, h.value_max
    FROM resource_metric_days d
    CROSS JOIN LATERAL unnest(d.num_samples, d.value_mean, d.value_min, d.value_max)
        WITH ORDINALITY AS h (num_samples, value_mean, value_min, value_max, number)
    WHERE h.num_samples > 0"""
TABLES = ("resource_metric_days", "resource_rollup_marks")


def upgrade() -> None:
    execute_all(
        (
            DAYS,
            (
                "CREATE INDEX ix_resource_metric_days_customer_day"
                " ON resource_metric_days (customer_id, day)"
            ),
            MARKS,
            (
                "CREATE INDEX ix_resource_rollup_marks_customer_id_day"
                " ON resource_rollup_marks (customer_id, day)"
            ),
            HOURS,
            "GRANT SELECT ON resource_metric_hours TO optiinfra_app, optiinfra_worker",
            "GRANT INSERT ON resource_rollup_marks TO optiinfra_ingest",
        )
    )
    for table in TABLES:
        execute_all(
            (
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                (
                    f"CREATE POLICY tenant ON {table} TO optiinfra_app"
                    f" USING ({TENANT}) WITH CHECK ({TENANT})"
                ),
                (
                    f"CREATE POLICY all_tenants ON {table} TO optiinfra_worker, optiinfra_purge"
                    " USING (true) WITH CHECK (true)"
                ),
                f"GRANT SELECT ON {table} TO optiinfra_app",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO optiinfra_worker",
                f"GRANT SELECT, DELETE ON {table} TO optiinfra_purge",
            )
        )


def downgrade() -> None:
    refuse_losses(LOSSES)
    execute_all(
        (
            "DROP VIEW resource_metric_hours",
            *(f"DROP TABLE {table}" for table in reversed(TABLES)),
        )
    )
