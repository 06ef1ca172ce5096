"""A new file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from optiinfra.domain.errors import InputError


@contextmanager
def writing_whole(path: Path, *, is_replacing: bool = False) -> Iterator[BinaryIO]:
    """A file that gets its name only when the block ends without an error, and is on disk then.

    Only its owner may read it: it holds what a database holds. Raises InputError where there is a
    file of that name already, unless `is_replacing`, or the place cannot be written.
    """
    if path.exists() and not is_replacing:
        raise InputError(
            "there is already a file of that name.",
            remedy="Choose another name; nothing is overwritten.",
            file=str(path),
        )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror}.",
            remedy="Choose another place, or make room.",
            file=str(path),
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
