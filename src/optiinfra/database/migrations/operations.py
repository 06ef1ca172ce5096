"""What several revisions do the same way: build indexes beside writers, refuse a loss, find rows.

Frozen like the revisions themselves: what a function here does to a database never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import context, op
from sqlalchemy import text

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
        op.execute("SET lock_timeout = '5s'")
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


def refuse_loss(question: str, *, what: str) -> None:
    """Raise unless `question` selects no row, or the caller accepts the loss of `what`."""
    if is_loss_accepted():
        return
    if op.get_bind().execute(text(f"SELECT EXISTS ({question})")).scalar_one():
        raise DatabaseError(
            f"Going back would lose {what}.",
            remedy="Nothing was changed by this revision. Make a backup, then accept the loss:"
            " `--accept-loss`.",
        )


@contextmanager
def patient() -> Iterator[None]:
    """Wait long for locks that keep no writer waiting: a backup may read for an hour."""
    op.execute("SET lock_timeout = '4h'")
    try:
        yield
    finally:
        op.execute("SET lock_timeout = '5s'")


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
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def add_validated(table: str, name: str, definition: str) -> None:
    """Add a CHECK or a foreign key without a long lock; within `autocommit()`."""
    drop_constraint(table, name)
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")
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
