"""Values that a column must not take, by its type: one list for every way of writing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

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
    String,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from optiinfra.database.column_bounds import read_bounds
from optiinfra.database.column_rules import MAX_TEXT_BYTES
from optiinfra.database.json_limits import MAX_DEPTH, MAX_JSON_BYTES
from optiinfra.database.models import UtcDateTime

NAN, INFINITY = float("nan"), float("inf")
EMPTY_SIZE = len('{"k": ""}')


class Bad(NamedTuple):
    """A value; and whether PostgreSQL or its driver refuse it too, or only we do."""

    kind: str
    value: Any
    is_refused_by_all: bool = True


def make_deep(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"k": document}
    return document


JSON = [
    Bad("no document", "text", False),
    Bad("NaN", {"k": [NAN]}),
    Bad("infinity", {"k": {"k": -INFINITY}}),
    Bad("NUL", {"k": ["x", "a\0b"]}),
    Bad("NUL in a key", {"a\0b": 1}),
    Bad("half a surrogate pair", {"k": "\ud800"}),
    Bad("a set", {"k": {1, 2}}),
    Bad("a key of no text", {1: 2}, False),
    Bad("a Decimal", {"k": Decimal(1)}),
    Bad("one byte too many", {"k": "x" * (MAX_JSON_BYTES - EMPTY_SIZE + 1)}, False),
    Bad("too deep", make_deep(MAX_DEPTH + 1), False),
    Bad("too many digits", {"k": 10**2000}, False),
]


def list_bad(column: Column[Any]) -> list[Bad]:
    for kind, make in MAKERS:
        if isinstance(column.type, kind):
            return make(column)
    return []


def _list_bad_words(_: Column[Any]) -> list[Bad]:
    return [Bad("wrong enum", "bogus"), Bad("no text", 7, False)]


def _list_bad_texts(column: Column[Any]) -> list[Bad]:
    length = getattr(column.type, "length", None)
    size = MAX_TEXT_BYTES + 1 if length is None else length + 1
    return [
        Bad("too long", "x" * size, is_refused_by_all=length is not None),
        Bad("NUL", "a\0b"),
        Bad("half a surrogate pair", "\udfff"),
        Bad("no text", 7, False),
        *([Bad("wrong form", "1.0", False)] if column.info.get("form") else []),
    ]


def _list_bad_instants(_: Column[Any]) -> list[Bad]:
    last = datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))
    return [Bad("no instant", "2026-01-01", False), Bad("beyond the calendar", last, False)]


def _list_bad_floats(column: Column[Any]) -> list[Bad]:
    return [
        Bad("NaN", NAN),
        Bad("infinity", INFINITY),
        Bad("minus infinity", -INFINITY),
        Bad("an integer beyond floats", 10**400),
        Bad("no number", "1", False),
        Bad("a boolean", True, False),
        *_list_outside(column),
    ]


def _list_bad_decimals(_: Column[Any]) -> list[Bad]:
    return [
        Bad("too large", Decimal("99999999.995")),
        Bad("far too small", Decimal("-1E+400")),
        Bad("NaN", Decimal("NaN"), False),
        Bad("infinity", Decimal("-Infinity")),
        Bad("a float", 1.5, False),
    ]


def _list_bad_integers(column: Column[Any]) -> list[Bad]:
    return [
        Bad("too large", 1 << (63 if isinstance(column.type, BigInteger) else 31)),
        Bad("far too small", -(10**30)),
        Bad("no whole number", 1.5, False),
        Bad("a boolean", True, False),
        *_list_outside(column),
    ]


def _list_outside(column: Column[Any]) -> list[Bad]:
    found = []
    for bounds in read_bounds(column.table).get(column.name, []):
        if bounds.lowest is not None:
            found.append(Bad("below the least", int(bounds.lowest) - 1))
        if bounds.highest is not None:
            found.append(Bad("above the most", int(bounds.highest) + 1))
    return found


# The first kind that fits.
MAKERS: tuple[tuple[type, Callable[[Column[Any]], list[Bad]]], ...] = (
    (Enum, _list_bad_words),
    (String, _list_bad_texts),
    (UtcDateTime, _list_bad_instants),
    (Date, lambda _: [Bad("no date", datetime(2026, 1, 1, tzinfo=UTC), False)]),
    (Float, _list_bad_floats),
    (Numeric, _list_bad_decimals),
    (Integer, _list_bad_integers),
    (JSONB, lambda _: JSON),
    (Uuid, lambda _: [Bad("no UUID", "abc")]),
    (Boolean, lambda _: [Bad("no boolean", "yes", False)]),
    (LargeBinary, lambda _: [Bad("no bytes", "text", False)]),
)
