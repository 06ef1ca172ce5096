"""What each column takes, read from its type in the models: nothing here names a column."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from optiinfra.database.column_bounds import Bounds
from optiinfra.database.json_limits import MAX_JSON_BYTES, find_document_fault, has_lone_surrogate
from optiinfra.database.models.base import CHECK_INSTANTS, EARLIEST, END_OF_TIME, FORM, UtcDateTime
from optiinfra.database.refusals import Fault

Find: TypeAlias = Callable[[Any], Fault | None]
# Where the type sets no length. Encrypting makes a value of the largest size a third longer.
MAX_TEXT_BYTES: Final = 2 * MAX_JSON_BYTES
_BITS: Final = ((SmallInteger, 15), (BigInteger, 63), (Integer, 31))
_PLAIN: Final[tuple[tuple[type, type, str], ...]] = (
    (Boolean, bool, "is neither true nor false"),
    (Uuid, UUID, "is no UUID"),
    (LargeBinary, bytes, "is not made of bytes"),
)


def make_rule(column: Column[Any], bounds: list[Bounds]) -> Find | None:  # noqa: PLR0911 - a line a type
    """What finds fault with a value for the column; None where its type is not known here."""
    type_ = column.type
    match type_:
        case Enum():
            return partial(find_enum_fault, words=tuple(type_.enums))
        case String():
            return partial(find_text_fault, length=type_.length, form=column.info.get(FORM))
        case UtcDateTime():
            return find_instant_fault
        case Date():
            return _find_date_fault
        case Float():
            return partial(find_float_fault, bounds=bounds)
        case Numeric(precision=int(precision), scale=int(scale)):
            return partial(find_decimal_fault, precision=precision, scale=scale, bounds=bounds)
        case Integer():
            bits = next(bits for kind, bits in _BITS if isinstance(type_, kind))
            return partial(find_integer_fault, bits=bits, bounds=bounds)
        case JSONB():
            return find_document_fault
        case _:
            plain = (p for p in _PLAIN if isinstance(type_, p[0]))
            return next((partial(_find_kind_fault, kind=k, why=w) for _, k, w in plain), None)


def find_enum_fault(value: object, *, words: tuple[str, ...]) -> Fault | None:
    """A member or its word; others are not stored."""
    if isinstance(value, str) and value in words:
        return None
    return Fault(f"is not one of {', '.join(words)}", value)


def find_text_fault(  # noqa: PLR0911 - a line a fault
    value: object, *, length: int | None, form: tuple[Callable[[str], bool], str] | None
) -> Fault | None:
    """Text that fits, that PostgreSQL can store, and that has the column's form."""
    if not isinstance(value, str):
        return Fault("is no text", value)
    if length is not None and len(value) > length:
        return Fault(f"is longer than {length} characters", value)
    if "\0" in value:
        return Fault("holds a NUL byte", value)
    if not value.isascii() and has_lone_surrogate(value):
        return Fault("holds half a surrogate pair", value)
    if length is None and len(value) * 4 > MAX_TEXT_BYTES < len(value.encode()):
        return Fault(f"is longer than {MAX_TEXT_BYTES} bytes", value)
    if form is not None and not form[0](value):
        return Fault(f"is not {form[1]}", value)
    return None


def find_integer_fault(value: object, *, bits: int, bounds: list[Bounds]) -> Fault | None:
    """A whole number of the column's range."""
    if not isinstance(value, int) or isinstance(value, bool):
        return Fault("is no whole number", value)
    if not -(1 << bits) <= value < 1 << bits:
        return Fault(f"is not within {-(1 << bits)} and {(1 << bits) - 1}", value)
    return _find_bounds_fault(value, bounds)


def find_float_fault(value: object, *, bounds: list[Bounds]) -> Fault | None:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return Fault("is no number", value)
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        is_finite = False
    return _find_bounds_fault(value, bounds) if is_finite else Fault("is not finite", value)


def find_decimal_fault(
    value: object, *, precision: int, scale: int, bounds: list[Bounds]
) -> Fault | None:
    """An exact number that fits once it is rounded, as PostgreSQL rounds it."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return Fault("is no exact number", value)
    number = Decimal(value)
    if not number.is_finite():
        return Fault("is not finite", value)
    limit = Decimal(10) ** (precision - scale)
    unit = Decimal(1).scaleb(-scale)
    if abs(number) >= limit or abs(number).quantize(unit, ROUND_HALF_UP) >= limit:
        return Fault(f"is not within {unit - limit} and {limit - unit}", value)
    return _find_bounds_fault(value, bounds)


def find_instant_fault(value: object) -> Fault | None:
    """An instant that can be stored: in UTC, from 1970 to the end of 9998."""
    fault = find_zone_fault(value)
    if fault is None and isinstance(value, datetime) and not EARLIEST <= value < END_OF_TIME:
        why = "is before 1970" if value < EARLIEST else "is after 9998"
        return Fault(why, value, CHECK_INSTANTS)
    return fault


def find_zone_fault(value: object) -> Fault | None:
    """An instant that says when it was, in UTC too."""
    if not isinstance(value, datetime):
        return Fault("is no instant", value)
    if value.tzinfo is None or value.utcoffset() is None:
        return Fault("has no time zone; pass an aware instant such as datetime.now(UTC)", value)
    try:
        value.astimezone(UTC)
    except OverflowError:
        return Fault("is before the year 1 or after the year 9999 in UTC", value)
    return None


def _find_date_fault(value: object) -> Fault | None:
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return None if is_day else Fault("is no date", value)


def _find_kind_fault(value: object, *, kind: type, why: str) -> Fault | None:
    return None if isinstance(value, kind) else Fault(why, value)


def _find_bounds_fault(value: Any, bounds: list[Bounds]) -> Fault | None:
    return next((fault for b in bounds if (fault := b.find_fault(value)) is not None), None)
