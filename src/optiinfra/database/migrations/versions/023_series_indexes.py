"""Series indexes: one that reads a series alone, and one that finds the rows without a series.

Built partition by partition beside writers, which an index of a partitioned table itself cannot be.
The second holds only rows that nobody has given a series yet; it is empty once all have one.
"""

import sqlalchemy as sa
from alembic import op

from optiinfra.database.migrations.operations import alter, autocommit, create_index

revision = "023_series_indexes"
down_revision = "022_resource_series"
branch_labels = None
depends_on = None

TABLE = "resource_metrics"
INDEXES = {
    "ix_resource_metrics_series_time": '(series_id, "timestamp") WHERE series_id IS NOT NULL',
    "ix_resource_metrics_no_series": '("timestamp", id) WHERE series_id IS NULL',
}
PARTITIONS = sa.text("""
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'resource_metrics'::regclass
      AND NOT EXISTS (
          SELECT FROM pg_index x JOIN pg_inherits y ON y.inhrelid = x.indexrelid
          WHERE x.indrelid = c.oid AND y.inhparent = CAST(:index AS regclass))
    ORDER BY 1""")


def build(name: str, columns: str) -> None:
    """On the parent an index of nothing, then of each partition beside writers, then attached."""
    alter(TABLE, f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {TABLE} {columns}")
    found = op.get_bind().execute(PARTITIONS, {"index": name}).scalars().all()
    for partition in found:
        own = f"{partition}_{name.removeprefix('ix_resource_metrics_')}"
        create_index(own, f"{partition} {columns}")
        alter(TABLE, f"ALTER INDEX {name} ATTACH PARTITION {own}")


def upgrade() -> None:
    with autocommit():
        for name, columns in INDEXES.items():
            build(name, columns)


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
