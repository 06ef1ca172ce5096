"""Instants: from 1970 to the end of 9998, so that every program can read what is stored.

PostgreSQL takes `infinity`, years before our era and after 9999, which most languages have no value
for: one such row makes every page that holds it unreadable. What breaks the check becomes the
nearest instant that can be, and is in migration_findings as it was. Tables whose instants are the
server's own clock need no check.
"""

from alembic import op

from optiinfra.database.migrations.operations import (
    add_validated,
    autocommit,
    drop_constraint,
    record_findings,
)

revision = "035_instants"
down_revision = "034_findings_of_customers"
branch_labels = None
depends_on = None

NAME = "check_instants"
EARLIEST = "'1970-01-01 00:00:00+00'::timestamptz"
END = "'9999-01-01 00:00:00+00'::timestamptz"
LATEST = "'9998-12-31 23:59:59.999999+00'::timestamptz"
COLUMNS = {
    "agent_capabilities": "created_at updated_at",
    "agent_configs": "created_at updated_at",
    "agent_metrics": "recorded_at",
    "agent_states": "created_at last_activity last_heartbeat updated_at",
    "agents": "created_at last_heartbeat updated_at",
    "approvals": "created_at updated_at",
    "customers": "created_at updated_at",
    "events": "created_at",
    "optimizations": "completed_at created_at rolled_back_at started_at updated_at",
    "quality_baselines": "created_at established_at valid_until",
    "quality_metrics": "created_at timestamp",
    "quality_regressions": "created_at detected_at resolved_at updated_at",
    "recommendations": "approved_at created_at executed_at updated_at",
    "resource_metrics": "created_at timestamp",
    "scaling_events": "completed_at created_at executed_at updated_at",
    "workflow_artifacts": "created_at updated_at",
    "workflow_executions": "completed_at created_at lease_expires_at started_at updated_at",
    "workflow_steps": "completed_at created_at started_at updated_at",
}


def list_columns(table: str) -> list[str]:
    return [f'"{column}"' for column in COLUMNS[table].split()]


def get_condition(table: str) -> str:
    return " AND ".join(
        f"{column} >= {EARLIEST} AND {column} < {END}" for column in list_columns(table)
    )


def upgrade() -> None:
    for table in COLUMNS:
        breaking = f"NOT ({get_condition(table)})"
        rule = "an instant that cannot be becomes the nearest that can"
        record_findings(revision, table, breaking, rule=rule, action="mended")
        nearest = ", ".join(
            f"{column} = CASE WHEN {column} < {EARLIEST} THEN {EARLIEST}"
            f" WHEN {column} >= {END} THEN {LATEST} ELSE {column} END"
            for column in list_columns(table)
        )
        op.execute(f"UPDATE {table} t SET {nearest} WHERE {breaking}")
    with autocommit():
        for table in COLUMNS:
            add_validated(table, NAME, f"CHECK ({get_condition(table)})")


def downgrade() -> None:
    for table in COLUMNS:
        drop_constraint(table, NAME)
