"""Every error that a user can cause or meet, one branch a subsystem.

    OptiInfraError
    ├── InputError            a file, flag or field that cannot be used (exit 2)
    │   └── SLOInfeasibleError    no candidate keeps the promise (exit 3)
    ├── DatabaseError         the database is down, of another schema, or refused a change (exit 2)
    │   ├── NotFoundError
    │   ├── ConflictError     a status that does not allow the change, or somebody was first
    │   │   └── StaleFenceError   another worker holds the lease now
    │   ├── ConstraintError   a value that a column or a constraint refuses
    │   │   └── TimeOutsideError  a time for which there is no partition
    │   └── KeyMissingError   a value is encrypted with a key that is not there
    ├── StoreError            a store beside PostgreSQL is away, full, or lacks its package (exit 2)
    │   ├── StoreAwayError    it does not answer; what was acknowledged is kept on disk
    │   ├── StoreFullError    no more is taken until what is waiting was written
    │   └── PackageMissingError
    └── DisagreementError     prediction and measurement disagree (exit 4)

An error carries what failed, where, and what to do, as fields; `str()` makes one paragraph of them.
"""

from __future__ import annotations


class OptiInfraError(Exception):
    """What failed (`problem`), on which object, and what to do about it (`remedy`)."""

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".strip()


class InputError(OptiInfraError):
    """A file, line and field that cannot be used; each of the three is None where unknown."""

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: str | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.file = file
        self.line = line
        self.field = field

    def __str__(self) -> str:
        places = [
            self.file,
            f"line {self.line}" if self.line is not None else None,
            f"field `{self.field}`" if self.field else None,
        ]
        place = ", ".join(part for part in places if part)
        return f"{place}: {super().__str__()}" if place else super().__str__()


class SLOInfeasibleError(InputError):
    """No candidate within the limits keeps the SLO."""

    exit_code = 3


class DatabaseError(OptiInfraError):
    """The database cannot be reached, has another schema, or refused a change."""

    exit_code = 2


class NotFoundError(DatabaseError):
    """No row of that id for this customer."""


class ConflictError(DatabaseError):
    """The row's present status does not allow the change, or somebody else was first."""


class StaleFenceError(ConflictError):
    """A worker's lease was taken over, or given back: what it writes with the old fence is late."""


class ConstraintError(DatabaseError):
    """A column or a constraint refuses a value; table, column and constraint where they are known.

    `value` is what was refused, None where it is not known or not to be shown.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
        value: str | None = None,
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.table = table
        self.column = column
        self.constraint = constraint
        self.value = value


class TimeOutsideError(ConstraintError):
    """A time for which the table has no partition."""


class KeyMissingError(DatabaseError):
    """A value is encrypted with a key that is not there, or was changed where it lies."""


class StoreError(OptiInfraError):
    """A store beside PostgreSQL refused something, is away or is full."""

    exit_code = 2


class StoreAwayError(StoreError):
    """The store does not answer."""


class StoreFullError(StoreError):
    """What waits to be written has reached its limit, so no more is taken."""


class PackageMissingError(StoreError):
    """An optional package that the store needs is not installed."""

    def __init__(self, package: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package `{package}`, which is not installed.",
            remedy="Install it with `pip install 'optiinfra[stores]'`.",
        )
        self.package = package


class DisagreementError(OptiInfraError):
    """Prediction and measurement differ by more than the prediction interval."""

    exit_code = 4
