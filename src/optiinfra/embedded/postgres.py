"""PostgreSQL on this machine for as long as somebody uses it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.locks import find_lock, held
from optiinfra.embedded.places import find_places
from optiinfra.embedded.server import Server


@contextmanager
def running(
    data_dir: Path, *, bin_dir: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The SQLAlchemy URL of a server on `data_dir`, for as long as the block lasts.

    The directory and its database are made on first use. Any number of processes may be inside at
    once: the first starts the server, the last one out stops it, and one that is killed neither
    stops it for the others nor keeps it from being found by the next. A server that was killed is
    started again by the next to enter. `settings` are for tests. Raises DatabaseError.
    """
    data_dir = data_dir.absolute()
    with translated(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        with held(data_dir / "control.lock"):
            server = Server(find_places(data_dir), bin_dir=bin_dir, settings=settings or {})
            # Shared, and taken alone only by one who holds the control lock: it is free for us.
            user = find_lock(server.places.users_lock, is_shared=True)
            assert user is not None, "users.lock was taken without the control lock"  # noqa: S101
            try:
                url = server.ensure()
            except BaseException:
                _leave(server, user)
                raise
    try:
        yield url
    finally:
        with translated(data_dir), held(server.places.control_lock):
            _leave(server, user)


def _leave(server: Server, user: int) -> None:
    os.close(user)
    alone = find_lock(server.places.users_lock)
    if alone is None:
        return
    try:
        server.stop()
    finally:
        os.close(alone)


@contextmanager
def translated(data_dir: Path) -> Iterator[None]:
    """Raise our DatabaseError for what the operating system refuses."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"The embedded PostgreSQL in {data_dir} cannot be used: {error}.",
            remedy="Check that the directory can be written and its disk has room, choose another"
            " with XDG_DATA_HOME, or name a server in OPTIINFRA_DATABASE_URL.",
        ) from error
