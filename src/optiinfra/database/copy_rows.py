"""Rows to a table by binary COPY: sent in batches, refused by name before they are sent."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg import sql

from optiinfra.database.checked_rows import check_value, make_rules
from optiinfra.database.copy_encoding import HEADER, TRAILER, encode_json, encode_text
from optiinfra.database.models import Base
from optiinfra.database.refusals import Fault, make_refusal
from optiinfra.domain.errors import ConstraintError

_BATCH_ROWS: Final = 512  # a write to the connection
_VERSION: Final = 0x7000
_VARIANT: Final = 1 << 63
_COUNTER_BITS: Final = 61  # of the 62 that may be chosen: a count upwards never runs over


def copy_rows(
    connection: psycopg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[bytes]
) -> int:
    """Write encoded rows, in the caller's transaction; how many."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    num_rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        while batch := list(islice(rows, _BATCH_ROWS)):
            copy.write(b"".join(batch))
            num_rows += len(batch)
        copy.write(TRAILER)
    return num_rows


def draw_id_words() -> tuple[int, int]:
    """The two halves of a UUID of version 7; the next row's second half is greater by one.

    Ids in order of time keep the insertions into an index beside each other, which random ones do
    not (RFC 9562, sections 5.7 and 6.2).
    """
    high = (time.time_ns() // 1_000_000) << 16 | _VERSION | secrets.randbits(12)
    return high, _VARIANT | secrets.randbits(_COUNTER_BITS)


def encode_string(table: str, column: str, value: str) -> bytes:
    """A text; ConstraintError where its column does not take it."""
    check(table, column, value)
    return encode_text(value)


def encode_word(table: str, column: str, value: StrEnum | str) -> bytes:
    """A member of an enum or its word; ConstraintError where it is none of the column's."""
    check(table, column, value)
    return encode_text(str(value))


def encode_detail(table: str, column: str, value: Mapping[str, Any]) -> bytes:
    """A JSON object; ConstraintError where it is too large or none, before it is encoded."""
    check(table, column, dict(value))
    return encode_json(value)


def check(table: str, column: str, value: object) -> None:
    """Raise ConstraintError where the column does not take the value, as for any other row."""
    check_value(make_rules(Base.metadata.tables[table])[column], value)


def make_error(table: str, column: str, value: object, why: str) -> ConstraintError:
    """Of a row that was refused before it was sent, for a reason that no column knows."""
    return make_refusal(Base.metadata.tables[table].columns[column], Fault(why, value))
