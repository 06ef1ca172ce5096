"""Partitions: resource_metrics, agent_metrics and events by time, without a long lock.

The old table becomes the first partition: its new key is built beside writers, a CHECK that holds
for all its rows is validated beside them too, and one short transaction swaps key and name and
attaches it, which then needs no scan. A row of a time without end, or more than ten years ahead,
would stretch the first partition as far: it is set aside among the findings. There is no DEFAULT
partition: database/partitions.py creates months ahead. The way back copies all rows into one table
and locks out writers for as long.
"""

import sqlalchemy as sa
from alembic import op

from optiinfra.database.migrations.operations import (
    add_validated,
    autocommit,
    create_index,
    execute_all,
    record_findings,
)

revision = "019_partitions"
down_revision = "018_lean_indexes"
branch_labels = None
depends_on = None

CASCADE = "ON DELETE CASCADE"
AGENT = f"FOREIGN KEY (agent_id) REFERENCES agents (id) {CASCADE}"
CUSTOMER = f"FOREIGN KEY (customer_id) REFERENCES customers (id) {CASCADE}"
TABLES = {
    "resource_metrics": '"timestamp"',
    "agent_metrics": "recorded_at",
    "events": "created_at",
}
KEYS = {
    "resource_metrics": {"agent_id": AGENT, "customer_id": CUSTOMER},
    "agent_metrics": {"agent_id": AGENT},
    "events": {
        "agent_id": "FOREIGN KEY (agent_id) REFERENCES agents (id) ON DELETE SET NULL",
        "customer_id": CUSTOMER,
    },
}
INDEXES = {
    "resource_metrics": {
        "ix_resource_metrics_customer_time": '(customer_id, "timestamp", id)',
        "ix_resource_metrics_name_time": '(agent_id, metric_name, "timestamp")',
    },
    "agent_metrics": {"ix_agent_metrics_name_time": "(agent_id, metric_name, recorded_at)"},
    "events": {
        "ix_events_customer_time": "(customer_id, created_at, id)",
        "idx_event_agent": "(agent_id)",
        "idx_event_created": "(created_at)",
        "idx_event_severity": "(severity)",
        "idx_event_type": "(event_type)",
    },
}
CUT = "check_before_cut"
BEYOND = "NOT isfinite({0}) OR {0} >= now() + interval '10 years'"
IS_DONE = """
    SELECT EXISTS (SELECT FROM pg_class WHERE relname = :table AND relkind = 'p'
                   AND relnamespace = 'public'::regnamespace)"""


def is_done(table: str) -> bool:
    return bool(op.get_bind().execute(sa.text(IS_DONE), {"table": table}).scalar_one())


def set_aside(table: str, time: str) -> None:
    rows = BEYOND.format(time)
    rule = "a time that cannot be is set aside with its row"
    record_findings(revision, table, rows, rule=rule, action="quarantined")
    op.execute(f"DELETE FROM {table} WHERE {rows}")


def get_cut(table: str, time: str) -> str:
    """The first instant of the month after next, counted from now or from the latest row."""
    latest = f"greatest(now(), (SELECT max({time}) FROM {table}))"
    month = f"date_trunc('month', {latest} AT TIME ZONE 'UTC') + interval '2 months'"
    query = sa.text(f"SELECT to_char({month}, 'YYYY-MM-DD\"T00:00:00+00\"')")
    return str(op.get_bind().execute(query).scalar_one())


def add_keys(table: str, time: str) -> None:
    op.execute(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id, {time})"
        if time
        else f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)"
    )
    for column, key in KEYS[table].items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fkey {key}")
    for name, columns in INDEXES[table].items():
        op.execute(f"CREATE INDEX {name} ON {table} {columns}")


def swap(table: str, time: str, cut: str) -> None:
    first = f"{table}_p_first"
    execute_all(
        (
            f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
            (
                f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey,"
                f" ADD CONSTRAINT {first}_pkey PRIMARY KEY USING INDEX {first}_key"
            ),
            f"ALTER TABLE {table} RENAME TO {first}",
            *(f"ALTER INDEX {name} RENAME TO p_first_{name}" for name in INDEXES[table]),
            (
                f"CREATE TABLE {table} (LIKE {first} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
                f" PARTITION BY RANGE ({time})"
            ),
            f"ALTER TABLE {table} DROP CONSTRAINT {CUT}",
        )
    )
    add_keys(table, time)
    execute_all(
        (
            f"ALTER TABLE {table} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{cut}')",
            f"ALTER TABLE {first} DROP CONSTRAINT {CUT}",
        )
    )


def upgrade() -> None:
    cuts = {}
    for table, time in TABLES.items():
        if not is_done(table):
            set_aside(table, time)
    with autocommit():
        for table, time in TABLES.items():
            if not is_done(table):
                cuts[table] = get_cut(table, time)
                add_validated(table, CUT, f"CHECK ({time} < '{cuts[table]}'::timestamptz)")
                create_index(f"{table}_p_first_key", f"{table} (id, {time})", is_unique=True)
    for table, cut in cuts.items():
        swap(table, TABLES[table], cut)


def downgrade() -> None:
    for table in TABLES:
        execute_all(
            (
                f"ALTER TABLE {table} RENAME TO {table}_parts",
                (
                    f"CREATE TABLE {table}"
                    f" (LIKE {table}_parts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
                ),
                f"INSERT INTO {table} SELECT * FROM {table}_parts",
                f"DROP TABLE {table}_parts",
            )
        )
        add_keys(table, "")
