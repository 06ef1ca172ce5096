"""Event bus: an outbox, the log in the order of the bus, groups of consumers and their claims.

An event is written to the outbox in the transaction of what it tells of. Numbers given there would
come into sight out of order, since transactions commit in any order; so what has committed is moved
to the log by one session at a time, and numbered there. The statistics of the outbox and the claims
are of no use to anybody, their dead rows are in everybody's way: they are vacuumed early.
"""

from optiinfra.database.migrations.operations import Loss, execute_all, refuse_losses

revision = "036_event_bus"
down_revision = "035_instants"
branch_labels = None
depends_on = None

LOSSES = (
    Loss("SELECT FROM event_outbox UNION ALL SELECT FROM event_log", "the events of the bus"),
)
APP, WORKER = "optiinfra_app", "optiinfra_worker"
TENANT = "customer_id = current_setting('optiinfra.customer_id')::uuid"
OF_TENANTS = ("event_outbox", "event_log")
HOT = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000"
EVENT = """customer_id uuid CONSTRAINT {0}_customer_id_fkey
            REFERENCES customers (id) ON DELETE CASCADE,
        event_type varchar(100) NOT NULL,
        data jsonb NOT NULL,
        occurred_at timestamptz NOT NULL"""
IDENTITY = "bigint GENERATED ALWAYS AS IDENTITY"
FIRST, END = "'1970-01-01 00:00:00+00'::timestamptz", "'9999-01-01 00:00:00+00'::timestamptz"
INSTANTS = {
    "event_outbox": ("occurred_at", "published_at"),
    "event_log": ("occurred_at", "published_at"),
    "event_groups": ("created_at",),
    "event_claims": ("claimed_at", "dead_at"),
}


def check_instants(table: str) -> str:
    terms = " AND ".join(f"{name} >= {FIRST} AND {name} < {END}" for name in INSTANTS[table])
    return f"ALTER TABLE {table} ADD CONSTRAINT check_instants CHECK ({terms})"


STATEMENTS = (
    f"""CREATE TABLE event_outbox (
        id {IDENTITY} CONSTRAINT event_outbox_pkey PRIMARY KEY,
        event_id uuid NOT NULL,
        {EVENT.format("event_outbox")},
        published_at timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH ({HOT})""",
    "CREATE INDEX ix_event_outbox_customer_id ON event_outbox (customer_id)",
    f"""CREATE TABLE event_log (
        position {IDENTITY} CONSTRAINT event_log_pkey PRIMARY KEY,
        event_id uuid NOT NULL CONSTRAINT event_log_event_id_key UNIQUE,
        {EVENT.format("event_log")},
        published_at timestamptz NOT NULL
    )""",
    "CREATE INDEX ix_event_log_customer_id_position ON event_log (customer_id, position)",
    f"""CREATE TABLE event_groups (
        id {IDENTITY} CONSTRAINT event_groups_pkey PRIMARY KEY,
        name varchar(100) NOT NULL CONSTRAINT event_groups_name_key UNIQUE,
        position bigint NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)""",
    f"""CREATE TABLE event_claims (
        group_id bigint NOT NULL CONSTRAINT event_claims_group_id_fkey
            REFERENCES event_groups (id) ON DELETE CASCADE,
        position bigint NOT NULL,
        consumer varchar(100) NOT NULL,
        attempts integer NOT NULL CONSTRAINT check_claim_attempts CHECK (attempts > 0),
        claimed_at timestamptz NOT NULL,
        dead_at timestamptz,
        CONSTRAINT event_claims_pkey PRIMARY KEY (group_id, position)
    ) WITH ({HOT})""",
    """CREATE INDEX ix_event_claims_group_id_claimed_at
        ON event_claims (group_id, claimed_at) WHERE dead_at IS NULL""",
    *map(check_instants, INSTANTS),
    f"GRANT SELECT, INSERT ON event_outbox TO {APP}",
    f"GRANT SELECT ON event_log TO {APP}",
    f"GRANT SELECT, INSERT, DELETE ON event_outbox, event_log TO {WORKER}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON event_groups, event_claims TO {WORKER}",
    *(
        statement
        for table in OF_TENANTS
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant ON {table} TO {APP} USING ({TENANT}) WITH CHECK ({TENANT})",
            f"CREATE POLICY all_tenants ON {table} TO {WORKER} USING (true) WITH CHECK (true)",
        )
    ),
)


def upgrade() -> None:
    execute_all(STATEMENTS)


def downgrade() -> None:
    refuse_losses(LOSSES)
    execute_all(
        tuple(
            f"DROP TABLE {table}"
            for table in ("event_claims", "event_groups", "event_log", "event_outbox")
        )
    )
