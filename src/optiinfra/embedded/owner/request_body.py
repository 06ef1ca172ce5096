"""The body of a ClickHouse request: a statement, and the data of an insert, put into a file."""

from __future__ import annotations

import re
import tempfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MAX_SQL_BYTES = 8 << 20
MAX_DATA_BYTES = 4 << 30
_INSERT = re.compile(rb"\s*INSERT\s+INTO\b", re.IGNORECASE)
# INSERT INTO [TABLE] name [(columns)] [SETTINGS a = b, ...] FORMAT Name, then one line break.
_HEAD = re.compile(
    rb"(?P<into>\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?:`(?:[^`\\]|\\.)*`|\"[^\"]*\"|[\w.])+"
    rb"\s*(?:\((?:`(?:[^`\\]|\\.)*`|[^()`])*\))?)"
    rb"\s*(?P<settings>SETTINGS\s+[^;()]*?)?\s*FORMAT\s+(?P<format>[A-Za-z0-9]+)"
    rb"(?P<end>[ \t]*\r?\n|\s*;?\s*\Z)",
    re.IGNORECASE,
)


class BodyError(Exception):
    """A body that is too large, or compressed in a way that is not known."""


@dataclass(slots=True)
class RequestBody:
    """`sql` is the statement; `data` the file that an insert reads, None for any other."""

    sql: str
    data: Path | None = None


async def read_body(
    chunks: AsyncIterator[bytes], *, encoding: str, query: str, directory: Path
) -> RequestBody:
    """Read a request; whoever gets the body deletes its file. Raises BodyError."""
    reader = _Reader(query=query, directory=directory)
    decompressor = make_decompressor(encoding)
    try:
        async for chunk in chunks:
            for part in decompressor.feed(chunk):
                reader.feed(part)
        return reader.finish()
    except BaseException:
        reader.discard()
        raise


class _Reader:
    """Tells the statement from the data as they come."""

    def __init__(self, *, query: str, directory: Path) -> None:
        self._buffer = bytearray()
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._size = 0
        self._sql = ""
        self._query = query
        match = _HEAD.fullmatch(query.encode()) if query else None
        if match:
            self._open(match)

    def feed(self, chunk: bytes) -> None:
        """The next part of the body."""
        if self._file is not None:
            self._size += len(chunk)
            if self._size > MAX_DATA_BYTES:
                raise BodyError(f"An insert may have {MAX_DATA_BYTES} bytes, not more.")
            self._file.write(chunk)
            return
        self._buffer += chunk
        if not self._query and _INSERT.match(self._buffer):
            match = _HEAD.match(self._buffer)
            if match and match["end"].endswith(b"\n"):
                rest = bytes(self._buffer[match.end() :])
                self._open(match)
                self.feed(rest)
                return
        if len(self._buffer) > MAX_SQL_BYTES:
            raise BodyError(f"A statement may have {MAX_SQL_BYTES} bytes, not more.")

    def finish(self) -> RequestBody:
        """What was read."""
        if self._file is not None:
            self._file.close()
            return RequestBody(self._sql, Path(self._file.name))
        text = self._buffer.decode("utf-8", errors="surrogateescape")
        return RequestBody(f"{self._query}\n{text}" if self._query and text else self._query + text)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    def _open(self, match: re.Match[bytes]) -> None:
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed in finish or discard
            dir=self._directory, prefix="insert-", delete=False
        )
        settings = match["settings"] or b""
        path = self._file.name.replace("\\", "\\\\").replace("'", "\\'")
        self._sql = (
            f"{match['into'].decode()} FROM INFILE '{path}' {settings.decode()}"
            f" FORMAT {match['format'].decode()}"
        )
        self._buffer.clear()


class _Identity:
    def feed(self, chunk: bytes) -> list[bytes]:
        return [chunk]


class _Zlib:
    """gzip and deflate, a bounded piece at a time."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=47)

    def feed(self, chunk: bytes) -> list[bytes]:
        parts = [self._inner.decompress(chunk, MAX_SQL_BYTES)]
        while self._inner.unconsumed_tail:
            parts.append(self._inner.decompress(self._inner.unconsumed_tail, MAX_SQL_BYTES))
            if sum(map(len, parts)) > MAX_DATA_BYTES:
                raise BodyError("The body is too large when decompressed.")
        return parts


class _LZ4:
    """LZ4 frames, which clickhouse-connect sends, a bounded piece at a time."""

    def __init__(self) -> None:
        import lz4.frame

        self._inner = lz4.frame.LZ4FrameDecompressor()

    def feed(self, chunk: bytes) -> list[bytes]:
        parts, size = [], 0
        while chunk is not None:
            part = self._inner.decompress(chunk, max_length=MAX_SQL_BYTES)
            size += len(part)
            if size > MAX_DATA_BYTES:
                raise BodyError("The body is too large when decompressed.")
            parts.append(part)
            if self._inner.eof or self._inner.needs_input:
                break
            chunk = b""
        return parts


def make_decompressor(encoding: str) -> Any:
    """Something with `feed(bytes) -> list[bytes]`. Raises BodyError."""
    match encoding:
        case "" | "identity":
            return _Identity()
        case "gzip" | "deflate":
            return _Zlib()
        case "lz4":
            return _LZ4()
    raise BodyError(f"Content-Encoding {encoding} is not known; use lz4, gzip, deflate or none.")
