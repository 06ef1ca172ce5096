"""Run by Alembic on the engine in `config.attributes["engine"]` (see database/migrate.py).

One transaction a revision. A second connection holds the advisory lock in a transaction of its own
for as long as the upgrade takes, so that it holds behind a pooler that hands out connections by
transaction. The revision is read only once the lock is held: who comes second finds the work done.
"""

from __future__ import annotations

import time

from alembic import context
from sqlalchemy import Connection, Engine, event

from optiinfra.database.migrations.drift import is_modelled
from optiinfra.database.models import Base
from optiinfra.domain.errors import DatabaseError

LOCK_KEY = 7_263_018_244_115_901  # any constant that nobody else uses
WAIT_S = 120  # another process's whole upgrade
ASKS_PER_S = 20
LOCK_TIMEOUT = "5s"  # a table somebody else uses: give up rather than queue everybody behind us
STATEMENT_TIMEOUT = "600s"


def set_limits(connection: Connection) -> None:
    """Bound every statement of a revision's transaction."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")


def take_turn(guard: Connection) -> None:
    """Wait until no other process upgrades.

    By asking again and again, each time in a transaction of its own: a statement that waits has a
    snapshot, and an index that the other process builds concurrently would wait for that in turn.
    """
    for _ in range(WAIT_S * ASKS_PER_S):
        guard.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        query = f"SELECT pg_try_advisory_xact_lock({LOCK_KEY})"
        if guard.exec_driver_sql(query).scalar_one():
            return
        guard.rollback()
        time.sleep(1 / ASKS_PER_S)
    raise DatabaseError(
        f"Another process has been changing the schema for {WAIT_S} s.",
        remedy="Try again once that is done.",
    )


def run(engine: Engine) -> None:
    """Bring the database to the revision that the caller asked for."""
    with engine.connect() as guard, engine.connect() as connection:
        take_turn(guard)
        event.listen(connection, "begin", set_limits)
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            include_name=is_modelled,
        )
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["engine"])
