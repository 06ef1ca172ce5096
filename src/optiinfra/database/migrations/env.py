"""Run by Alembic on the engine in `config.attributes["engine"]` (see database/migrate.py).

One transaction a revision. Whoever reads and writes meanwhile goes first: a revision first asks for
locks that only maintenance minds (autovacuum gives way to them), then waits a fifth of a second for
each that stops others, and where one is not free gives up all of them, pauses, and begins again.

A second connection holds the advisory lock in a transaction of its own
for as long as the upgrade takes, so that it holds behind a pooler that hands out connections by
transaction. The revision is read only once the lock is held: who comes second finds the work done.
"""

from __future__ import annotations

import time

from alembic import context
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event

from optiinfra.database import locking
from optiinfra.database.migrations.drift import is_modelled
from optiinfra.database.migrations.losses import refuse_losing
from optiinfra.database.migrations.operations import is_loss_accepted
from optiinfra.database.models import Base
from optiinfra.domain.errors import DatabaseError

LOCK_KEY = 7_263_018_244_115_901  # any constant that nobody else uses
WAIT_S = 120  # another process's whole upgrade
ASKS_PER_S = 20
STATEMENT_TIMEOUT = "600s"
OWN_TABLES = """
    SELECT string_agg(format('%%I.%%I', 'public', relname), ', ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
      AND pg_has_role(relowner, 'USAGE')"""


def set_limits(connection: Connection) -> None:
    """Bound every statement of a revision's transaction, and keep maintenance out of its way."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return  # nothing is LOCAL to a statement: see operations.py
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{locking.MAINTENANCE_TIMEOUT}'")
    tables = connection.exec_driver_sql(OWN_TABLES).scalar_one()
    if tables is not None:
        connection.exec_driver_sql(f"LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{locking.LOCK_TIMEOUT}'")


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


def apply(engine: Engine) -> None:
    """Go from the revision that the database has now to the one that the caller asked for."""
    with engine.connect() as connection:
        event.listen(connection, "begin", set_limits)
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            include_name=is_modelled,
        )
        with context.begin_transaction():
            context.run_migrations()


def ask_first(engine: Engine) -> None:
    """Of a downgrade, ask everything that its steps would ask, before one of them is taken."""
    target = context.config.attributes.get("downgrade_to")
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if target is not None and current is not None:
            refuse_losing(
                connection,
                context.script,
                current=current,
                target=target,
                is_accepted=is_loss_accepted(),
            )


def run(engine: Engine) -> None:
    """Bring the database to the revision that the caller asked for; begin again while it is busy.

    What a revision did by then is undone, or is of use when it runs again.
    """
    with engine.connect() as guard:
        take_turn(guard)
        ask_first(engine)
        locking.insist(lambda: apply(engine))


run(context.config.attributes["engine"])
