"""A value that is refused, as an error: table, column, the value in short, and why.

A column that is marked with SENSITIVE (models/base.py) never shows its value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Column

from optiinfra.database.models.base import SENSITIVE
from optiinfra.domain.errors import ConstraintError

REDACTED: Final = "[sensitive]"
REMEDY: Final = "Nothing was written; correct the value."
MAX_SHOWN: Final = 60  # characters
MAX_BITS: Final = 256  # of an integer that is written out


class Fault(NamedTuple):
    """What is wrong with a value, as the end of a sentence, and the part of it that is to blame."""

    why: str
    value: object
    constraint: str | None = None


def make_refusal(column: Column[Any], fault: Fault) -> ConstraintError:
    """The error for a value that was not sent, or that PostgreSQL did not take."""
    table, name = column.table.name, column.name
    shown = show(column, fault.value)
    quoted = repr(shown) if isinstance(fault.value, str) and shown != REDACTED else shown
    return ConstraintError(
        f"{table}.{name}: {quoted} {fault.why}.",
        remedy=REMEDY,
        table=table,
        column=name,
        constraint=fault.constraint,
        value=shown,
    )


def show(column: Column[Any], value: object) -> str:
    """The value as an error may show it."""
    return REDACTED if column.info.get(SENSITIVE) else shorten(value)


def shorten(value: object) -> str:
    """Few characters, whatever the value is; the repr of a class of somebody else is not asked."""
    for kind, write in _SHORT:
        if isinstance(value, kind):
            return write(value)
    return f"a {type(value).__name__}"


def _shorten_text(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def _shorten_integer(number: int) -> str:
    bits = number.bit_length()
    return str(number) if bits <= MAX_BITS else f"an integer of {bits} bits"


# The first kind that fits.
_SHORT: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (Enum, lambda member: shorten(member.value)),
    (str, _shorten_text),
    ((bool, float, NoneType), str),
    (int, _shorten_integer),
    (Decimal, lambda number: f"{number:.12g}"),
    (date, lambda instant: instant.isoformat()),
    (UUID, str),
    ((bytes, bytearray), lambda data: f"{len(data)} bytes"),
    (dict, lambda document: f"an object of {len(document)} keys"),
    ((list, tuple, set, frozenset), lambda items: f"a {type(items).__name__} of {len(items)}"),
)
