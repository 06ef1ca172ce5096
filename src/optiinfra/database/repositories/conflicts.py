"""A unique constraint that says that somebody was first, as a conflict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from optiinfra.domain.errors import ConflictError, ConstraintError


@contextmanager
def conflict_of(session: Session, constraint: str, *, problem: str, remedy: str) -> Iterator[None]:
    """Raise ConflictError where the block breaks that constraint.

    The block has a savepoint of its own: nothing of it is written then, and the transaction goes
    on.
    """
    try:
        with session.begin_nested():
            yield
    except (IntegrityError, ConstraintError) as error:
        if _get_constraint(error) != constraint:
            raise
        raise ConflictError(problem, remedy=remedy) from error


def _get_constraint(error: IntegrityError | ConstraintError) -> str | None:
    if isinstance(error, ConstraintError):
        return error.constraint
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return name
