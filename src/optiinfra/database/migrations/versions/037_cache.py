"""Cache and rate limiter: what processes share and may forget, in unlogged tables."""

from optiinfra.database.migrations.operations import execute_all

revision = "037_cache"
down_revision = "036_event_bus"
branch_labels = None
depends_on = None

WORKER = "optiinfra_worker"
STATEMENTS = (
    """CREATE UNLOGGED TABLE cache_entries (
        key varchar(240) CONSTRAINT cache_entries_pkey PRIMARY KEY,
        customer_id uuid CONSTRAINT cache_entries_customer_id_fkey
            REFERENCES customers (id) ON DELETE CASCADE,
        value bytea NOT NULL,
        expires_at timestamptz NOT NULL
            CONSTRAINT check_instants CHECK (expires_at >= '1970-01-01 00:00:00+00'::timestamptz
                AND expires_at < '9999-01-01 00:00:00+00'::timestamptz)
    )""",
    "CREATE INDEX ix_cache_entries_customer_id ON cache_entries (customer_id)",
    "CREATE INDEX ix_cache_entries_expires_at ON cache_entries (expires_at)",
    """CREATE UNLOGGED TABLE rate_buckets (
        key varchar(200) CONSTRAINT rate_buckets_pkey PRIMARY KEY,
        full_at_us bigint NOT NULL
    )""",
    "CREATE INDEX ix_rate_buckets_full_at_us ON rate_buckets (full_at_us)",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON cache_entries, rate_buckets TO {WORKER}",
)


def upgrade() -> None:
    execute_all(STATEMENTS)


def downgrade() -> None:
    execute_all(("DROP TABLE rate_buckets", "DROP TABLE cache_entries"))
