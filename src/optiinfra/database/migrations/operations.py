"""What several revisions do the same way: build indexes beside writers, refuse a loss, find rows.

Frozen like the revisions themselves: what a function here does to a database never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from alembic import context, op
from sqlalchemy import Connection, text

from optiinfra.database import locking
from optiinfra.domain.errors import DatabaseError

ACCEPT_LOSS = "accept_loss"
X_ACCEPT_LOSS = "accept-loss"
FINITE = "{0} > '-Infinity'::float8 AND {0} < 'Infinity'::float8"


@contextmanager
def autocommit() -> Iterator[None]:
    """Each statement in a transaction of its own: what came before is committed.

    A revision that fails in here is not marked as applied; run again, it goes on from there.
    """
    with op.get_context().autocommit_block():
        # SET LOCAL holds for one transaction, and each statement is one.
        op.execute(f"SET lock_timeout = '{locking.LOCK_TIMEOUT}'")
        op.execute("SET statement_timeout = 0")
        try:
            yield
        finally:
            op.execute("RESET lock_timeout")
            op.execute("RESET statement_timeout")


def is_loss_accepted() -> bool:
    """Whether the caller said that data may be lost."""
    named = X_ACCEPT_LOSS in context.get_x_argument(as_dictionary=True)
    return named or bool(context.config.attributes.get(ACCEPT_LOSS))


class Loss(NamedTuple):
    """What going back would lose, when the question selects a row.

    A revision lists its own as LOSSES, and as OBSTACLES what makes going back impossible; they are
    asked before the first step of a downgrade (losses.py) and again by the step itself, so each
    must be a question at every later revision too.
    """

    question: str
    what: str


def find_losses(connection: Connection, asked: Sequence[Loss]) -> list[str]:
    """What would be lost, of all that is asked."""
    return [
        loss.what
        for loss in asked
        if connection.execute(text(f"SELECT EXISTS ({loss.question})")).scalar_one()
    ]


def refuse_losses(losses: Sequence[Loss]) -> None:
    """Raise when something would be lost, unless the caller accepts that."""
    found = [] if is_loss_accepted() else find_losses(op.get_bind(), losses)
    if found:
        raise DatabaseError(
            f"Going back would lose {'; '.join(found)}.",
            remedy="Nothing was changed by this revision. Make a backup, then accept the loss:"
            " `--accept-loss`.",
        )


def refuse_obstacles(obstacles: Sequence[Loss]) -> None:
    """Raise when something is in the way that nobody can accept."""
    found = find_losses(op.get_bind(), obstacles)
    if found:
        raise DatabaseError(
            f"Going back is not possible with {'; '.join(found)}.",
            remedy="Nothing was changed by this revision. Remove them first.",
        )


@contextmanager
def patient() -> Iterator[None]:
    """Wait long for locks that keep no writer waiting: a backup may read for an hour."""
    op.execute("SET lock_timeout = '4h'")
    try:
        yield
    finally:
        op.execute(f"SET lock_timeout = '{locking.LOCK_TIMEOUT}'")


def is_autocommit() -> bool:
    """Whether each statement is a transaction of its own, as within `autocommit()`."""
    return op.get_bind().get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def alter(tables: str, statement: str) -> None:
    """Change `tables` by a statement that locks them; within `autocommit()`, ask until it can.

    Autovacuum is asked to give way first, by a lock that stops no writer. In a transaction the
    revision as a whole is tried again (env.py), since what it has locked by then is given up too.
    """
    if not is_autocommit():
        op.execute(statement)
        return
    quoted = f"""
        DO $do$ BEGIN
            SET LOCAL lock_timeout = '{locking.MAINTENANCE_TIMEOUT}';
            LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE;
            SET LOCAL lock_timeout = '{locking.LOCK_TIMEOUT}';
            EXECUTE $change${statement}$change$;
        END $do$"""
    locking.insist(lambda: op.execute(quoted))


def create_index(name: str, on: str, *, is_unique: bool = False) -> None:
    """Build an index while others write; within `autocommit()`. A broken attempt is replaced."""
    broken = """
        SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relname = '{}' AND c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid"""
    if op.get_bind().execute(text(f"SELECT EXISTS ({broken.format(name)})")).scalar_one():
        drop_index(name)
    unique = "UNIQUE " if is_unique else ""
    with patient():
        op.execute(f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}")


def drop_index(name: str) -> None:
    """Drop an index while others write; within `autocommit()`."""
    with patient():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def drop_constraint(table: str, name: str) -> None:
    """Drop a constraint where it is there."""
    alter(table, f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def has_constraint(table: str, name: str) -> bool:
    """Whether the table has a constraint of this name."""
    query = f"SELECT FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname = '{name}'"
    return bool(op.get_bind().execute(text(f"SELECT EXISTS ({query})")).scalar_one())


def add_validated(table: str, name: str, definition: str) -> None:
    """Add a CHECK or a foreign key without a long lock; within `autocommit()`."""
    drop_constraint(table, name)
    alter(table, f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")
    with patient():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def record_findings(revision: str, table: str, rows: str, *, rule: str, action: str) -> None:
    """Copy the rows of `table` for which `rows` holds to the findings, before they are changed."""
    op.get_bind().execute(
        text(f"""
            INSERT INTO migration_findings (revision, table_name, row_id, rule, action, row_before)
            SELECT :revision, :table, t.id, :rule, :action, to_jsonb(t) FROM {table} t
            WHERE {rows}"""),
        {"revision": revision, "table": table, "rule": rule, "action": action},
    )


def execute_all(statements: Sequence[str]) -> None:
    """One statement after another."""
    for statement in statements:
        op.execute(statement)
