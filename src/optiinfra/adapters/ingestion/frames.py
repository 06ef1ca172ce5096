"""Batches as frames of a file: a torn or altered frame ends what is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"ROW1"
_HEADER = struct.Struct(
    "<4sIIQ16s"
)  # magic, CRC-32 of the rest and the payload, rows, bytes, token
_CHECKED_FROM = 8
NO_TOKEN = bytes(16)
MAX_PAYLOAD_BYTES = 1 << 31


@dataclass(frozen=True, slots=True)
class Frame:
    """One acknowledged batch: an Arrow stream, its rows, and what it is remembered by."""

    payload: memoryview
    num_rows: int
    token: bytes


def make_frame(payload: memoryview, *, num_rows: int, token: bytes) -> tuple[bytes, memoryview]:
    """Header and payload to be written one after the other."""
    assert payload.nbytes <= MAX_PAYLOAD_BYTES  # noqa: S101 - rows and texts are bounded
    header = _HEADER.pack(MAGIC, 0, num_rows, payload.nbytes, token)
    crc = zlib.crc32(payload, zlib.crc32(header[_CHECKED_FROM:]))
    return _HEADER.pack(MAGIC, crc, num_rows, payload.nbytes, token), payload


def read_frames(file: BinaryIO) -> Iterator[Frame]:
    """The whole frames at the beginning of a file."""
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        magic, crc, num_rows, size, token = _HEADER.unpack(header)
        if magic != MAGIC or size > MAX_PAYLOAD_BYTES:
            return
        payload = file.read(size)
        if len(payload) != size or zlib.crc32(payload, zlib.crc32(header[_CHECKED_FROM:])) != crc:
            return
        yield Frame(memoryview(payload), num_rows, token)


def get_size(frame: Frame) -> int:
    """Bytes of a frame in its file."""
    return _HEADER.size + frame.payload.nbytes
