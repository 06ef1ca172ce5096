"""Start the owner as a process of its own, and stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from optiinfra.domain.errors import StoreAwayError, StoreError
from optiinfra.embedded.owner.process import make_conflict
from optiinfra.embedded.owner_state import (
    OwnerPlaces,
    OwnerState,
    find_owner_pid,
    find_owner_state,
)

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 90.0
_POLL_S = 0.05
_LOG_LINES = 8


def start_owner(
    data_dir: Path, *, postgres_bin_dir: Path | None = None, has_postgres: bool = True
) -> OwnerState:
    """Start the owner of a data directory and wait until it serves.

    Raises ConflictError with the pid where one lives, StoreAwayError where it does not come up.
    """
    data_dir = data_dir.absolute()
    pid = find_owner_pid(data_dir)
    if pid is not None:
        raise make_conflict(data_dir, pid)
    places = OwnerPlaces(data_dir)
    places.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "optiinfra.embedded.owner.process", str(data_dir)]
    if postgres_bin_dir is not None:
        command += ["--postgres-bin-dir", str(postgres_bin_dir.absolute())]
    if not has_postgres:
        command.append("--without-postgres")
    with places.log.open("ab") as log:
        places.log.chmod(0o600)
        start = log.tell()
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the terminal
            cwd=data_dir,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while (state := find_owner_state(data_dir)) is None or state.pid != process.pid:
        if process.poll() is not None:
            other = find_owner_pid(data_dir)
            if other is not None:  # it was quicker
                raise make_conflict(data_dir, other)
            raise StoreAwayError(
                f"The embedded stores in {data_dir} could not be started: {_read(places, start)}",
                remedy="Put right what it names, and start again.",
            )
        if time.monotonic() > deadline:
            process.terminate()
            process.wait()
            raise StoreAwayError(
                f"The embedded stores in {data_dir} were not ready in {START_TIMEOUT_S:.0f} s.",
                remedy=f"See {places.log}.",
            )
        time.sleep(_POLL_S)
    process.returncode = 0  # it stays; nobody waits for it
    return state


def stop_owner(data_dir: Path) -> int | None:
    """End the owner in order and wait for it; its pid, None where there was none."""
    pid = find_owner_pid(data_dir)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while pid == 0 and time.monotonic() < deadline:  # it has just taken the lock
        time.sleep(_POLL_S)
        pid = find_owner_pid(data_dir)
    if not pid:
        return None
    os.kill(pid, signal.SIGTERM)
    while find_owner_pid(data_dir) == pid:
        if time.monotonic() > deadline:
            raise StoreError(
                f"Process {pid}, which runs the embedded stores in {data_dir}, does not end.",
                remedy=f"See {OwnerPlaces(data_dir).log}; end it with `kill -9 {pid}` if you must:"
                " nothing that was acknowledged is lost.",
            )
        time.sleep(_POLL_S)
    return pid


def stop_left_postgres(data_dir: Path, *, bin_dir: Path | None = None) -> None:
    """Stop a PostgreSQL that a killed owner left, where nobody else uses it."""
    from optiinfra.embedded.postgres import running

    if (data_dir / "postgres" / "server.lock").exists():
        with running(data_dir / "postgres", bin_dir=bin_dir):
            pass  # the last one out stops it


def _read(places: OwnerPlaces, start: int) -> str:
    with places.log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LOG_LINES:]) or "it said nothing."
