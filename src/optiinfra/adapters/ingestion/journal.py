"""The rows of one table that wait on disk.

directory/
    id                      of this journal, part of every token that the store sees
    000000000003.open       the frames that are appended now
    000000000002.sealed     a block to send; it never changes, so sending it again is the same
    000000000001.tokens     of the batches in a block that was sent; and that its number was used
    000000000000.refused    a block that the store would not take
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from optiinfra.adapters.ingestion.frames import (
    NO_TOKEN,
    Frame,
    get_size,
    make_frame,
    read_frames,
)
from optiinfra.domain.errors import StoreFullError

KEPT_TOKEN_FILES = 64


class Journal:
    """Appended to and sealed by one process; call it with the writer's lock held."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.id = self._read_id()
        self.open_rows = 0
        self.open_bytes = 0
        self._descriptor: int | None = None
        self._sealed: list[int] = sorted(_get_number(path) for path in self._list(".sealed"))
        self._sizes = {n: self._get_path(n, ".sealed").stat().st_size for n in self._sealed}
        for path in self._list(".open"):
            self._recover(path)
        used = [_get_number(path) for path in directory.glob("*.*") if path.stem.isdigit()]
        self._next = max(used, default=-1) + 1

    @property
    def waiting_bytes(self) -> int:
        """Of all that was acknowledged and not sent."""
        return self.open_bytes + sum(self._sizes.values())

    @property
    def num_sealed(self) -> int:
        """Blocks that are to be sent."""
        return len(self._sealed)

    def append(self, payload: memoryview, *, num_rows: int, token: bytes) -> None:
        """Have a frame on disk; nothing is appended when it fails. Raises StoreFullError."""
        if self._descriptor is None:
            path = self._get_path(self._next, ".open")
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            _sync_directory(self.directory)
        try:
            for part in make_frame(payload, num_rows=num_rows, token=token):
                _write_all(self._descriptor, part)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self.open_bytes)
            os.lseek(self._descriptor, self.open_bytes, os.SEEK_SET)
            raise StoreFullError(
                f"Rows cannot be kept in {self.directory}: {error.strerror}.",
                remedy="Free some space; nothing of this batch was kept.",
            ) from error
        self.open_bytes = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        self.open_rows += num_rows

    def seal(self) -> None:
        """Close the block that is appended to, if any; the next append starts another."""
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        number, self._next = self._next, self._next + 1
        self._get_path(number, ".open").rename(self._get_path(number, ".sealed"))
        self._sealed.append(number)
        self._sizes[number] = self.open_bytes
        self.open_rows = self.open_bytes = 0

    def find_sealed(self) -> int | None:
        """The number of the oldest block that is to be sent."""
        return self._sealed[0] if self._sealed else None

    def read_block(self, number: int) -> tuple[list[Frame], bool]:
        """The frames of a sealed block, and whether they are all of it."""
        with self._get_path(number, ".sealed").open("rb") as file:
            frames = list(read_frames(file))
        return frames, sum(map(get_size, frames)) == self._sizes[number]

    def mark_sent(self, number: int, tokens: list[bytes]) -> None:
        """Forget a block that the store has, but for the tokens of its batches."""
        partial = self._get_path(number, ".partial")
        partial.write_bytes(b"".join(token for token in tokens if token != NO_TOKEN))
        partial.rename(self._get_path(number, ".tokens"))
        _sync_directory(self.directory)  # or the number might be given a second time
        self._get_path(number, ".sealed").unlink()
        self._drop(number)
        for path in self._list(".tokens")[:-KEPT_TOKEN_FILES]:
            path.unlink(missing_ok=True)

    def set_aside(self, number: int) -> Path:
        """Keep a block that the store refuses where it is no longer sent; its path."""
        path = self._get_path(number, ".refused")
        self._get_path(number, ".sealed").rename(path)
        self._drop(number)
        return path

    def list_tokens(self) -> Iterator[bytes]:
        """Of sent and waiting batches, the oldest first."""
        for path in self._list(".tokens"):
            data = path.read_bytes()
            yield from (data[place : place + 16] for place in range(0, len(data) - 15, 16))
        for number in self._sealed:
            frames, _is_whole = self.read_block(number)
            yield from (frame.token for frame in frames if frame.token != NO_TOKEN)

    def close(self) -> None:
        """Leave what waits on disk for the next to open it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _drop(self, number: int) -> None:
        self._sealed.remove(number)
        del self._sizes[number]

    def _recover(self, path: Path) -> None:
        """Seal what a process left open, without a frame that it did not finish."""
        with path.open("rb") as file:
            size = sum(get_size(frame) for frame in read_frames(file))
        if not size:
            path.unlink()
            return
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
        number = _get_number(path)
        path.rename(self._get_path(number, ".sealed"))
        self._sealed.append(number)
        self._sealed.sort()
        self._sizes[number] = size

    def _read_id(self) -> str:
        path = self.directory / "id"
        if not path.exists():
            partial = self.directory / "id.partial"
            partial.write_text(uuid4().hex, encoding="ascii")
            partial.rename(path)
            _sync_directory(self.directory)
        return path.read_text(encoding="ascii")

    def _list(self, suffix: str) -> list[Path]:
        return sorted(self.directory.glob(f"*{suffix}"))

    def _get_path(self, number: int, suffix: str) -> Path:
        return self.directory / f"{number:012d}{suffix}"


def _get_number(path: Path) -> int:
    return int(path.stem)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
