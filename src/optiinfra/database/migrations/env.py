"""Run by Alembic on the engine in `config.attributes["engine"]` (see database/migrate.py).

One transaction a revision. A second connection holds the advisory lock in a transaction of its own
for as long as the upgrade takes, so that it holds behind a pooler that hands out connections by
transaction. The revision is read only once the lock is held: who comes second finds the work done.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, event

from optiinfra.database.models import Base

LOCK_KEY = 7_263_018_244_115_901  # any constant that nobody else uses
WAIT_FOR_OTHERS = "120s"  # another process's whole upgrade
LOCK_TIMEOUT = "5s"  # a table somebody else uses: give up rather than queue everybody behind us
STATEMENT_TIMEOUT = "600s"


def set_limits(connection: Connection) -> None:
    """Bound every statement of a revision's transaction."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")


def run(engine: Engine) -> None:
    """Bring the database to the revision that the caller asked for."""
    with engine.begin() as guard, engine.connect() as connection:
        guard.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_FOR_OTHERS}'")
        guard.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        guard.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
        event.listen(connection, "begin", set_limits)
        context.configure(
            connection=connection, target_metadata=Base.metadata, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["engine"])
