"""The file that a customer travels in: a line of JSON a row.

First what it is, last the SHA-256 of all lines before, in between `[table, value, ...]` with values
in PostgreSQL's text form or null, the tables in the order of the header. The hash has no key: it
shows damage, and says nothing of who wrote the file. Whatever stands in it is checked.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from optiinfra.domain.errors import InputError

FORMAT: Final = "optiinfra customer"
VERSION: Final = 1
MAX_LINE_BYTES: Final = 64 << 20  # a row; the header is far from it
CHUNK_BYTES: Final = 1 << 20
_SEAL: Final = '{{"sha256": "{}"}}\n'
_SEAL_BYTES: Final = len(_SEAL.format("0" * 64))
_AGAIN: Final = "Export the customer again; nothing was written."


class Header(BaseModel):
    """The first line: whose rows, of which revision, and the columns of each table in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    version: int
    revision: str
    customer_id: UUID
    tables: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A row, and the number of its line in the file."""

    number: int
    table: str
    values: list[str | None]


class Writer:
    """Writes lines and hashes them."""

    def __init__(self, file: BinaryIO, header: Header, *, path: Path) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._path = path
        self._write(header.model_dump(mode="json"))

    def write(self, table: str, values: tuple[str | None, ...]) -> None:
        """A row; raises InputError for one that no import would take."""
        self._write([table, *values])

    def close(self) -> None:
        """The last line."""
        self._file.write(_SEAL.format(self._hash.hexdigest()).encode())

    def _write(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise InputError(
                f"a row would take {len(line):,} bytes; {MAX_LINE_BYTES:,} are the most.",
                remedy="Make its documents smaller, or move the database with a backup.",
                file=str(self._path),
            )
        self._hash.update(line)
        self._file.write(line)


def read_header(path: Path) -> Header:
    """The first line of a file, after its last line was found to agree with all before it.

    Raises InputError for a file that is cut off, changed, of another kind or version.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END) - _SEAL_BYTES
            file.seek(0)
            seen = _hash(file, size)
            seal = file.read() if size > 0 else b""
            file.seek(0)
            first = file.readline(min(max(size, 0), MAX_LINE_BYTES))
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}.",
            remedy="Check the path and its rights.",
            file=str(path),
        ) from error
    document = _load(first)
    is_whole = seal == _SEAL.format(seen).encode()
    if not isinstance(document, dict) or document.get("format") != FORMAT or not is_whole:
        raise InputError(
            "the file is no customer's export, or is cut off or changed.",
            remedy=_AGAIN,
            file=str(path),
        )
    if document.get("version") != VERSION:
        raise InputError(
            f"the file has format version {document.get('version')!r}; this program reads"
            f" {VERSION}.",
            remedy="Export the customer again with this program.",
            file=str(path),
        )
    try:
        return Header.model_validate(document)
    except ValidationError as error:
        place = error.errors()[0]
        raise InputError(
            f"the header cannot be used: {place['msg']}.",
            remedy=_AGAIN,
            file=str(path),
            line=1,
            field=".".join(map(str, place["loc"])),
        ) from error


def read_lines(path: Path, header: Header) -> Iterator[Line]:
    """The rows between the header and the last line, each of the form that the header says.

    Raises InputError, with the number of the line, for one that is not; and at the end for a file
    that is not the one that `read_header` saw.
    """
    seen = hashlib.sha256()
    order = {table: place for place, table in enumerate(header.tables)}
    last = 0
    with path.open("rb") as file:
        left = file.seek(0, io.SEEK_END) - _SEAL_BYTES
        file.seek(0)
        number = 0
        while left > 0 and (raw := file.readline(min(left, MAX_LINE_BYTES))):
            number, left = number + 1, left - len(raw)
            seen.update(raw)
            if number == 1:
                continue
            line = _parse(raw, number, header, path)
            if order[line.table] < last:
                raise _make_error(path, number, f"{line.table} stands behind a later table")
            last = order[line.table]
            yield line
        seal = file.read()
    if seal != _SEAL.format(seen.hexdigest()).encode():
        raise InputError(
            "the file was changed while it was read.", remedy="Nothing was written.", file=str(path)
        )


def _parse(raw: bytes, number: int, header: Header, path: Path) -> Line:
    if not raw.endswith(b"\n"):
        raise _make_error(path, number, f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    document = _load(raw)
    if not isinstance(document, list) or not document:
        raise _make_error(path, number, "the line is no row: a list of a table and its values")
    table, values = document[0], document[1:]
    if not isinstance(table, str) or table not in header.tables:
        raise _make_error(path, number, f"{str(table)[:80]!r} is no table of a customer")
    columns = header.tables[table]
    if len(values) != len(columns):
        problem = f"{table} has {len(columns)} columns, and the line {len(values)} values"
        raise _make_error(path, number, problem)
    for column, value in zip(columns, values, strict=True):
        if value is not None and (not isinstance(value, str) or not _is_text(value)):
            problem = "the value is neither null nor a text that PostgreSQL can hold"
            raise _make_error(path, number, problem, field=f"{table}.{column}")
    return Line(number, table, values)


def _is_text(value: str) -> bool:
    """Whether it has no NUL and no half of a surrogate pair, both of which JSON can write."""
    is_whole = value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)
    return is_whole and "\0" not in value


def _load(raw: bytes) -> object:
    """What the JSON says, or None where it says nothing."""
    try:
        document: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return document


def _hash(file: BinaryIO, size: int) -> str:
    seen, left = hashlib.sha256(), size
    while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
        seen.update(chunk)
        left -= len(chunk)
    return seen.hexdigest()


def _make_error(path: Path, number: int, problem: str, *, field: str | None = None) -> InputError:
    return InputError(f"{problem}.", remedy=_AGAIN, file=str(path), line=number, field=field)
