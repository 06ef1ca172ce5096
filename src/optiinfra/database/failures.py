"""PostgreSQL's errors as ours: what failed, in which database, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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
        return make_constraint_error(cause, name=name)
    if remedy is None:
        is_gone = error.connection_invalidated or not state or state[:2] in {"08", "57"}
        remedy = UNREACHABLE if is_gone else REFUSED
    return DatabaseError(f"The database {name} failed: {text.rstrip('.')}.", remedy=remedy)


def make_constraint_error(cause: BaseException, *, name: str) -> ConstraintError:
    """Which table, column and constraint refused; the row's values are not repeated."""
    diagnosis = getattr(cause, "diag", None)
    parts = {
        field: getattr(diagnosis, f"{field}_name", None)
        for field in ("table", "column", "constraint")
    }
    text = getattr(diagnosis, "message_primary", None) or " ".join(str(cause).split())
    problem = f"The database {name} failed: {text.rstrip('.')}."
    if NO_PARTITION in text:
        return TimeOutsideError(
            problem,
            remedy="Nothing was written. Correct the time, or create partitions for it.",
            **parts,
        )
    return ConstraintError(
        problem, remedy=getattr(diagnosis, "message_hint", None) or REFUSED, **parts
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
