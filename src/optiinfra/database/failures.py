"""PostgreSQL's errors as ours: what failed, in which database, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from optiinfra.database.diagnosis import (
    find_culprit,
    find_unknown_word,
    find_written,
    locate,
)
from optiinfra.database.refusals import REMEDY, make_refusal
from optiinfra.domain.errors import ConstraintError, DatabaseError, TimeOutsideError

# By SQLSTATE or its class: https://www.postgresql.org/docs/current/errcodes-appendix.html
REMEDIES = {
    "28": "Check the user and the password in OPTIINFRA_DATABASE_URL.",
    "3D000": "Create that database, or name another one in OPTIINFRA_DATABASE_URL.",
    "42501": "Grant the user of OPTIINFRA_DATABASE_URL the right it lacks.",
    "42P01": "Its schema is older than this program, or not ours: let OptiInfra upgrade it first.",
    "42P07": "It holds tables that OptiInfra did not make; name an empty database instead.",
    "42710": "It holds types that OptiInfra did not make; name an empty database instead.",
    "53300": "Close some of its connections, or raise max_connections.",
    "55P03": "Another process holds a lock on it; try again once that is done.",
    "57P03": "It is starting or stopping; try again in a moment.",
    "57014": "The server cancelled the statement; try again when it is less busy.",
    "40": "Other sessions were in the way; try again.",
    "53": "The server is out of disk, memory or connections; free some.",
    "25006": "It accepts no writes; name the primary server in OPTIINFRA_DATABASE_URL.",
}
UNREACHABLE = (
    "Check that the server runs and can be reached from here, or unset OPTIINFRA_DATABASE_URL to"
    " use the embedded PostgreSQL."
)
REFUSALS = ("22", "23")  # values that do not fit, constraints that do not hold
# What a type of SQLAlchemy or the driver raises for a value that it cannot send.
BINDING_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
NO_PARTITION = "no partition of relation"
REFUSED = "Nothing was written. If it happens again, report it with this message."


# libpq does not pass on the code of what failed before a session began, only its text.
CONNECTION_FAILURES = {
    r"password authentication failed|no password supplied|role .* does not exist": "28000",
    r"database .* does not exist": "3D000",
    r"too many (clients|connections)|remaining connection slots": "53300",
    r"the database system is (starting up|shutting down|in recovery|not yet accepting)": "57P03",
}


def get_sqlstate(error: BaseException) -> str:
    """The five characters by which PostgreSQL names an error, or '' when it never answered."""
    state: str | None = getattr(error, "sqlstate", None)
    if state:
        return state
    text = str(error)
    matching = (code for shape, code in CONNECTION_FAILURES.items() if re.search(shape, text))
    return next(matching, "")


def make_database_error(error: DBAPIError, *, name: str) -> DatabaseError:
    """Ours for theirs; neither the statement nor its values are repeated."""
    cause = error.orig if error.orig is not None else error
    state = get_sqlstate(cause)
    # libpq writes a line for each address it tried and a password in none of them.
    text = " ".join(str(cause).split())
    text = text.split(" Is the server running")[0]  # libpq's own advice; ours follows
    remedy = REMEDIES.get(state) or REMEDIES.get(state[:2])
    if state[:2] in REFUSALS:
        return make_constraint_error(
            cause, name=name, statement=error.statement, parameters=error.params
        )
    if remedy is None:
        is_gone = error.connection_invalidated or not state or state[:2] in {"08", "57"}
        remedy = UNREACHABLE if is_gone else REFUSED
    return DatabaseError(f"The database {name} failed: {text.rstrip('.')}.", remedy=remedy)


def make_constraint_error(
    cause: BaseException, *, name: str, statement: str | None = None, parameters: object = None
) -> ConstraintError:
    """Which table, column and constraint refused which value; no other value is repeated."""
    diagnosis = getattr(cause, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", None)
    place = locate(diagnosis, parameters)
    text = getattr(diagnosis, "message_primary", None) or " ".join(str(cause).split())
    culprit = find_culprit(statement, parameters) or find_unknown_word(text)
    if culprit is not None and culprit[1].constraint == constraint:
        return make_refusal(*culprit)
    what = "" if place.column is None else f" {place.table}.{place.column}"
    shown = "" if place.value is None else f" ({place.value})"
    kind, remedy = ConstraintError, getattr(diagnosis, "message_hint", None) or REFUSED
    if NO_PARTITION in text:
        kind = TimeOutsideError
        remedy = "Nothing was written. Correct the time, or create partitions for it."
    return kind(
        f"The database {name} refused{what}{shown}: {text.rstrip('.')}.",
        remedy=remedy,
        constraint=constraint,
        **place._asdict(),
    )


def make_refusal_of(context: ExceptionContext, *, name: str) -> ConstraintError | None:
    """Ours for a value that a statement cannot carry or a constraint refuses; None for the rest."""
    cause, sent = context.original_exception, context.parameters
    if isinstance(cause, psycopg.Error):
        # What the driver itself finds has no code: a NUL byte, a number too large to send.
        is_value = cause.sqlstate is None and isinstance(cause, psycopg.DataError)
        if is_value or get_sqlstate(cause)[:2] in REFUSALS:
            return make_constraint_error(
                cause, name=name, statement=context.statement, parameters=sent
            )
        return None
    if not isinstance(cause, BINDING_ERRORS):
        return None
    culprit = find_culprit(context.statement, sent) or find_unknown_word(str(cause))
    if culprit is not None:
        return make_refusal(*culprit)
    table = find_written(context.statement)
    if table is None:
        return None  # no value is to blame: a programmer's error
    return ConstraintError(
        f"A value for {table.name} is not of its column's type.", remedy=REMEDY, table=table.name
    )


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise our DatabaseError for whatever the driver raises in the block."""
    try:
        yield
    except DBAPIError as error:
        raise make_database_error(error, name=name) from error
    except PoolTimeoutError as error:
        raise DatabaseError(
            f"The database {name} failed: all connections of this process stayed in use.",
            remedy="Run fewer things at once in one process.",
        ) from error
