"""Rows to a table by binary COPY: sent in batches, refused by name before they are sent."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import String

from optiinfra.database.copy_encoding import HEADER, TRAILER, encode_json, encode_text
from optiinfra.database.models import Base
from optiinfra.domain.errors import ConstraintError

MAX_JSON_BYTES: Final = 1 << 20
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
    """A text; ConstraintError where it is too long for its column or holds a NUL byte."""
    type_ = Base.metadata.tables[table].columns[column].type
    if isinstance(type_, String) and type_.length is not None and len(value) > type_.length:
        shown = f"{value[:40]}…"
        raise make_error(table, column, shown, f"is longer than {type_.length} characters")
    if "\0" in value:
        raise make_error(table, column, value, "holds a NUL byte")
    return encode_text(value)


def encode_detail(table: str, column: str, value: Mapping[str, Any]) -> bytes:
    """A JSON object; ConstraintError where it is too large or holds a NUL byte."""
    encoded = encode_json(value)
    if len(encoded) > MAX_JSON_BYTES:
        raise make_error(table, column, "JSON", f"is larger than {MAX_JSON_BYTES} bytes")
    if b"\\u0000" in encoded:
        raise make_error(table, column, "JSON", "holds a NUL byte")
    return encoded


def make_error(table: str, column: str, value: object, why: str) -> ConstraintError:
    """Of a row that was refused before it was sent."""
    shown = str(value)
    return ConstraintError(
        f"{table}.{column} {shown!r} {why}.",
        remedy="Nothing was written; correct the row and send all of them again.",
        table=table,
        column=column,
        value=shown,
    )
