"""Values in the form of PostgreSQL's binary COPY: a length, then the bytes.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_COUNT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_UUID: Final = struct.Struct(">i16s")
_DOUBLE: Final = struct.Struct(">id")
_INTEGER: Final = struct.Struct(">ii")
_BIGINT: Final = struct.Struct(">iq")
_BOOLEAN: Final = (b"\0\0\0\x01\0", b"\0\0\0\x01\x01")
_JSONB_VERSION: Final = b"\x01"
_SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * _SECOND_US


def encode_count(num_fields: int) -> bytes:
    """The beginning of every row."""
    return _COUNT.pack(num_fields)


def encode_uuid(value: UUID) -> bytes:
    """For a uuid."""
    return _UUID.pack(16, value.bytes)


def encode_text(value: str) -> bytes:
    """For text, varchar and enum types."""
    content = value.encode()
    return _LENGTH.pack(len(content)) + content


def encode_double(value: float | None) -> bytes:
    """For double precision."""
    return NULL if value is None else _DOUBLE.pack(8, value)


def encode_integer(value: int | None) -> bytes:
    """For integer, of 32 bits."""
    return NULL if value is None else _INTEGER.pack(4, value)


def encode_bigint(value: int) -> bytes:
    """For bigint, of 64 bits."""
    return _BIGINT.pack(8, value)


def encode_boolean(value: bool) -> bytes:  # noqa: FBT001 - a value to encode
    """For boolean."""
    return _BOOLEAN[value]


def encode_time(value: datetime) -> bytes:
    """For timestamptz; the value is aware."""
    return _BIGINT.pack(8, count_microseconds(value))


def encode_json(value: Mapping[str, Any]) -> bytes:
    """For jsonb."""
    content = json.dumps(value, allow_nan=False).encode()
    return _LENGTH.pack(len(content) + 1) + _JSONB_VERSION + content


def count_microseconds(value: datetime) -> int:
    """Since PostgreSQL's epoch; exact, which a float is not."""
    delta = value - EPOCH
    return delta.days * DAY_US + delta.seconds * _SECOND_US + delta.microseconds
