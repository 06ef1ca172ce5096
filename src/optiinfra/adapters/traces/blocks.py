"""Bounded reading of text files: whole lines, a few megabytes at a time, plain or gzip.

Nothing is read before the first block has been looked at, so that a disk image, a sparse file or a
compression bomb costs milliseconds, not memory.
"""

from __future__ import annotations

import codecs
import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from optiinfra.domain.errors import InputError

MAX_FILE_BYTES = 4 * 2**30  # on the disk, and unpacked
MAX_LINE_BYTES = 4 * 2**20
BLOCK_BYTES = 8 * 2**20
HEAD_BYTES = 64 * 2**10

_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_PACKERS = {
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\xfd7zXZ\x00": "packed by xz",
    b"BZh": "packed by bzip2",
}
_CONTROL_BYTES = bytes(range(0x09)) + bytes(range(0x0E, 0x20))  # all but tab and line ends
_TEXT_REMEDY = "Give a trace as UTF-8 text (CSV or JSON lines, plain or .gz) or as Parquet."


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file; `first_line` is the number, from 1, of the first of them."""

    data: bytes
    first_line: int

    def iter_lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and content, without its end, of every line that is not blank."""
        for number, line in enumerate(self.data.split(b"\n"), self.first_line):
            content = line.removesuffix(b"\r")
            if content.strip():
                yield number, content

    @property
    def num_lines(self) -> int:
        """How many lines are not blank; cheap where none is."""
        if b"\n\n" in self.data or b"\n\r" in self.data or b"\n " in self.data:
            return sum(1 for _ in self.iter_lines())
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))

    def find_line(self, row: int) -> int | None:
        """Number of the line that holds data row `row`, counted from 0."""
        return next((n for i, (n, _) in enumerate(self.iter_lines()) if i == row), None)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A regular file whose beginning has been looked at; `head` is unpacked and free of a BOM."""

    path: Path
    head: bytes
    is_gzip: bool

    def iter_blocks(self, *, num_bytes_skipped: int = 0, first_line: int = 1) -> Iterator[Block]:
        """Whole lines after `num_bytes_skipped` bytes; `first_line` is the first one's number."""
        carry, line, num_bytes = b"", first_line, 0
        is_start = True
        with _open(self.path, is_gzip=self.is_gzip) as stream:
            while chunk := stream.read(BLOCK_BYTES):
                num_bytes += len(chunk)
                if num_bytes > MAX_FILE_BYTES:
                    raise _too_big(self.path)
                if is_start:
                    chunk = chunk.removeprefix(codecs.BOM_UTF8)[num_bytes_skipped:]
                    is_start = False
                data = carry + chunk
                cut = data.rfind(b"\n") + 1
                _check_text(self.path, data, line)
                if len(data) - cut > MAX_LINE_BYTES:
                    raise InputError(
                        f"a line is longer than {MAX_LINE_BYTES // 2**20} MiB.",
                        remedy="One request a line; check that the file is what it should be.",
                        file=str(self.path),
                        line=line + data.count(b"\n"),
                    )
                if cut:
                    yield Block(data[:cut], line)
                    line += data.count(b"\n", 0, cut)
                carry = data[cut:]
        if carry:
            yield Block(carry, line)


def open_text(path: Path) -> TextFile:
    """The file, its first 64 KiB looked at; binary content is refused, Parquet is let through.

    Raises:
        InputError: not there, not a regular file, unreadable, empty, binary, or too big.
    """
    size_bytes = _get_size_bytes(path)
    with _open(path, is_gzip=False) as stream:
        magic = stream.read(8)
    for prefix, packer in _OTHER_PACKERS.items():
        if magic.startswith(prefix):
            raise InputError(
                f"the file is {packer}.", remedy="Unpack it first, or pack by gzip.", file=str(path)
            )
    is_gzip = magic.startswith(_GZIP_MAGIC)
    with _open(path, is_gzip=is_gzip) as stream:
        head = stream.read(HEAD_BYTES)
    if not head.strip():
        raise InputError("the file is empty.", remedy="Give a trace with requests.", file=str(path))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError("the file is UTF-16.", remedy="Save it as UTF-8.", file=str(path))
    head = head.removeprefix(codecs.BOM_UTF8)
    if not head.startswith(b"PAR1"):
        _check_text(path, head, 1)
    if size_bytes > MAX_FILE_BYTES:
        raise _too_big(path)
    return TextFile(path, head, is_gzip)


def _get_size_bytes(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(
            f"the file cannot be read ({error.strerror or error}).",
            remedy="Check the path.",
            file=str(path),
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError("this is a directory.", remedy="Name a file in it.", file=str(path))
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            "this is a pipe or a device.", remedy="Write it to a file first.", file=str(path)
        )
    return status.st_size


@contextmanager
def _open(path: Path, *, is_gzip: bool) -> Iterator[BinaryIO]:
    """A stream whose faults, when opened or read, are InputErrors."""
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip file is damaged ({error}).", remedy="Pack or copy it again.", file=str(path)
        ) from error
    except OSError as error:
        raise InputError(
            f"the file cannot be read ({error.strerror or error}).",
            remedy="Check the file and its permissions.",
            file=str(path),
        ) from error


def _check_text(path: Path, data: bytes, first_line: int) -> None:
    if len(data.translate(None, _CONTROL_BYTES)) != len(data):
        at = next(i for i, byte in enumerate(data) if byte in _CONTROL_BYTES)
        problem = f"this is not text: there is a byte {data[at]:#04x} in it."
    else:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(data)
        except UnicodeDecodeError as error:
            at, problem = error.start, f"this is not UTF-8 text: byte {data[error.start]:#04x}."
        else:
            return
    raise InputError(
        problem,
        remedy=_TEXT_REMEDY,
        file=str(path),
        line=first_line + data.count(b"\n", 0, at),
    )


def _too_big(path: Path) -> InputError:
    return InputError(
        f"the file holds more than {MAX_FILE_BYTES // 2**30} GiB.",
        remedy="Cut it to the hours that matter, or convert it to Parquet.",
        file=str(path),
    )
