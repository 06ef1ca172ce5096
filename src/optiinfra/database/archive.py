"""One file that holds a dump and its manifest, and shows by itself whether it is whole.

It is a tar file of `database.dump` (pg_dump's custom format) and `manifest.json`, so that `tar` and
`pg_restore` can open it where this program is not at hand. After the tar's end comes one line, the
SHA-256 of every byte before it: a cut, a changed or an added byte anywhere is seen.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from optiinfra.database.whole_file import writing_whole
from optiinfra.domain.errors import InputError

FORMAT: Final = "optiinfra backup"
VERSION: Final = 1
DUMP: Final = "database.dump"
MANIFEST: Final = "manifest.json"
CHUNK_BYTES: Final = 1 << 20
_SEAL: Final = b"\nsha256:"
_SEAL_BYTES: Final = len(_SEAL) + 64 + 1
_REMEDY: Final = "Use another backup; nothing was changed."


class TableContent(BaseModel):
    """What one table held: `sha256` of its rows as text, in the order of the primary key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_rows: int
    sha256: str


class RoleNeeded(BaseModel):
    """A role that the dump names, and what a new one of that name needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_owner: bool
    is_bypassing_row_security: bool


class Manifest(BaseModel):
    """What the dump holds, all of one snapshot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = FORMAT
    version: int = VERSION
    taken_at: datetime
    revision: str
    server_version_num: int
    dump_bytes: int
    dump_sha256: str
    tables: dict[str, TableContent]
    roles: dict[str, RoleNeeded]

    @property
    def num_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.num_rows for table in self.tables.values())


class DumpFile:
    """Where the dump is written to; counts and hashes what passes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.num_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append a part of the dump."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.num_bytes += len(chunk)

    @property
    def sha256(self) -> str:
        """Of all that was written so far."""
        return self._hash.hexdigest()


@dataclass(slots=True)
class NewArchive:
    """An archive in the making: write the dump, then set the manifest."""

    dump: DumpFile
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose every byte was checked."""

    path: Path
    manifest: Manifest

    def read_dump(self) -> Iterator[bytes]:
        """The dump in parts; raises InputError at its end when it is not what was checked."""
        seen, left = hashlib.sha256(), self.manifest.dump_bytes
        with self.path.open("rb") as file:
            file.seek(tarfile.BLOCKSIZE)
            while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
                seen.update(chunk)
                left -= len(chunk)
                yield chunk
        if left or seen.hexdigest() != self.manifest.dump_sha256:
            raise _make_error(self.path, "was changed while it was read")


@contextmanager
def writing_archive(path: Path) -> Iterator[NewArchive]:
    """An archive that appears under its name only when the block ends without an error."""
    with writing_whole(path) as file:
        file.write(bytes(tarfile.BLOCKSIZE))  # the dump's header, once its size is known
        new = NewArchive(dump=DumpFile(file))
        yield new
        assert new.manifest is not None, "an archive needs its manifest"  # noqa: S101
        _finish(file, new.manifest)


def read_archive(path: Path) -> Archive:
    """The archive, after every byte of it was read and found as it was written.

    Raises InputError for a file that is cut off, changed, of another kind or of another version.
    """
    try:
        with path.open("rb") as file:
            _check_seal(path, file)
            file.seek(0)
            document = _read_manifest(path, file)
    except OSError as error:
        raise InputError(
            f"the backup cannot be read: {error.strerror}.",
            remedy="Check the path and its rights.",
            file=str(path),
        ) from error
    version = document.get("version")
    if document.get("format") != FORMAT or version != VERSION:
        raise InputError(
            f"this backup has format version {version!r}; this program reads {VERSION}.",
            remedy="Restore it with the OptiInfra that made it, or open it with tar and"
            " pg_restore. Nothing was changed.",
            file=str(path),
        )
    try:
        return Archive(path=path, manifest=Manifest.model_validate(document))
    except ValidationError as error:
        raise _make_error(path, "has a manifest that cannot be used") from error


def _finish(file: BinaryIO, manifest: Manifest) -> None:
    file.write(_pad(manifest.dump_bytes))
    content = (manifest.model_dump_json(indent=2) + "\n").encode()
    file.write(_make_header(MANIFEST, len(content), manifest.taken_at))
    file.write(content + _pad(len(content)) + bytes(2 * tarfile.BLOCKSIZE))
    file.seek(0)
    file.write(_make_header(DUMP, manifest.dump_bytes, manifest.taken_at))
    file.flush()
    size = file.seek(0, io.SEEK_END)
    seal = _hash_file(file, size)
    file.seek(size)
    file.write(_SEAL + seal.encode() + b"\n")


def _make_header(name: str, size: int, at: datetime) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(at.timestamp())
    return entry.tobuf(tarfile.GNU_FORMAT)


def _pad(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _hash_file(file: BinaryIO, size: int) -> str:
    """SHA-256 of the first `size` bytes as they lie on the disk."""
    file.seek(0)
    seen, left = hashlib.sha256(), size
    while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
        seen.update(chunk)
        left -= len(chunk)
    return seen.hexdigest()


def _check_seal(path: Path, file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END) - _SEAL_BYTES
    file.seek(max(size, 0))
    seal = file.read()
    if size <= 0 or not seal.startswith(_SEAL) or not seal.endswith(b"\n"):
        raise _make_error(path, "is cut off, or is not a backup of OptiInfra")
    if seal != _SEAL + _hash_file(file, size).encode() + b"\n":
        raise _make_error(path, "was changed since it was written: its SHA-256 is another")


def _read_manifest(path: Path, file: BinaryIO) -> dict[str, object]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            names = tar.getnames()
            member = tar.extractfile(MANIFEST) if names == [DUMP, MANIFEST] else None
            document = json.load(member) if member is not None else None
    except (tarfile.TarError, ValueError) as error:
        raise _make_error(path, "cannot be read as a backup") from error
    if not isinstance(document, dict):
        raise _make_error(path, "holds something else than a backup")
    return document


def _make_error(path: Path, what: str) -> InputError:
    return InputError(f"the backup {what}.", remedy=_REMEDY, file=str(path))
