"""Locks between processes that die with whoever holds them (flock)."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optiinfra.domain.errors import DatabaseError

WAIT_S = 120.0
POLL_S = 0.01


def find_lock(path: Path, *, is_shared: bool = False) -> int | None:
    """The descriptor of a lock taken at once, or None where another holds it; close it to release.

    A child that inherits the descriptor holds the lock too, until it and its children have ended.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock alone; wait for it, with a limit."""
    deadline = time.monotonic() + WAIT_S
    while (descriptor := find_lock(path)) is None:
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"Another process has held {path} for {WAIT_S:.0f} s.",
                remedy="End the OptiInfra process that starts or stops the embedded PostgreSQL.",
            )
        time.sleep(POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)
