"""Who owns the embedded stores of a data directory, and how to reach them.

data_dir/owner/
    owner.lock    held by the owner for as long as it lives; holds its pid
    owner.json    how to reach it; only true while the lock is held by that pid
    password      of the owner's HTTP API and of Valkey; stays the same
    owner.log     what the owner says
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from optiinfra.domain.errors import StoreAwayError
from optiinfra.embedded.locks import find_lock

USER = "optiinfra"


@dataclass(frozen=True, slots=True)
class OwnerState:
    """Addresses with passwords in them; None where the owner does not have that store."""

    pid: int
    started_at: str  # UTC, ISO 8601
    port: int
    clickhouse_url: str | None
    qdrant_url: str | None
    qdrant_api_key: str | None
    redis_url: str | None
    reasons: dict[str, str]  # why a store is not there, by its name

    def __repr__(self) -> str:
        return f"OwnerState(pid={self.pid}, port={self.port})"  # without the passwords


@dataclass(frozen=True, slots=True)
class OwnerPlaces:
    """The paths of one owner."""

    data_dir: Path

    @property
    def directory(self) -> Path:
        """Of everything here."""
        return self.data_dir / "owner"

    @property
    def lock(self) -> Path:
        """Held by the owner."""
        return self.directory / "owner.lock"

    @property
    def state(self) -> Path:
        """How to reach it."""
        return self.directory / "owner.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "owner.log"

    def get_password(self) -> str:
        """The password, made where it is missing."""
        path = self.directory / "password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text(encoding="ascii").strip()


def find_owner_pid(data_dir: Path) -> int | None:
    """The pid of the living owner; None where there is none, whatever files lie there."""
    lock = OwnerPlaces(data_dir).lock
    if not lock.exists():
        return None
    descriptor = find_lock(lock, is_shared=True)
    if descriptor is not None:
        os.close(descriptor)
        return None
    text = lock.read_text(encoding="ascii").strip()
    return int(text) if text.isdigit() else 0  # 0: it took the lock just now


def find_owner_state(data_dir: Path) -> OwnerState | None:
    """How to reach the living owner; None where there is none, or it is not ready yet."""
    pid = find_owner_pid(data_dir)
    if pid is None:
        return None
    try:
        text = OwnerPlaces(data_dir).state.read_text(encoding="utf-8")
        state = OwnerState(**json.loads(text))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return state if state.pid == pid else None


def read_owner_state(data_dir: Path) -> OwnerState:
    """How to reach the living owner. Raises StoreAwayError where there is none."""
    state = find_owner_state(data_dir)
    if state is None:
        raise StoreAwayError(
            f"Nobody runs the embedded stores in {data_dir}.",
            remedy="Start them with `optiinfra up`, or name servers in OPTIINFRA_CLICKHOUSE_URL,"
            " OPTIINFRA_QDRANT_URL and OPTIINFRA_REDIS_URL.",
        )
    return state


def write_owner_state(places: OwnerPlaces, state: OwnerState) -> None:
    """Replace the file as a whole."""
    write_private(places.state, json.dumps(asdict(state)))


def write_private(path: Path, text: str) -> None:
    """A file that only we can read, there as a whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
