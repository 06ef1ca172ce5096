"""Collections of Qdrant Edge in this process: a shard each, in a directory of its name."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from optiinfra.domain.errors import ConflictError
from optiinfra.embedded.locks import find_lock
from optiinfra.embedded.owner.qdrant_values import QdrantError, make_config
from optiinfra.embedded.owner_state import write_private

OPTIMIZE_EVERY = 20_000  # points that were written
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(slots=True)
class Collection:
    """A shard, with what it was made of; used with its lock held."""

    directory: Path
    body: Mapping[str, Any]
    shard: edge.EdgeShard
    lock: threading.Lock = field(default_factory=threading.Lock)
    num_written: int = 0

    def update(self, operation: edge.UpdateOperation, *, num_points: int = 0) -> None:
        """Apply a change; it is in the shard's log, and on disk when this returns."""
        self.shard.update(operation)
        self.num_written += num_points
        if self.num_written >= OPTIMIZE_EVERY:
            self.shard.optimize()
            self.num_written = 0
        self.shard.flush()


class Collections:
    """All of one directory. Methods may be called from any thread. Raises QdrantError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._open: dict[str, Collection] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = find_lock(directory / "lock")
        if lock is None:
            raise ConflictError(
                f"Another process has Qdrant Edge open in {directory}.", remedy="End it first."
            )
        self._lock_descriptor = lock
        for left in directory.glob("*.partial"):
            shutil.rmtree(left)
        for note in sorted(directory.glob("*/collection.json")):
            shard = edge.EdgeShard.load(str(note.parent / "shard"))
            body = json.loads(note.read_text(encoding="utf-8"))
            self._open[note.parent.name] = Collection(note.parent, body, shard)

    def list_names(self) -> list[str]:
        """In order."""
        with self._lock:
            return sorted(self._open)

    def has(self, name: str) -> bool:
        """Whether there is one of that name."""
        with self._lock:
            return name in self._open

    @contextmanager
    def using(self, name: str) -> Iterator[Collection]:
        """A collection, for as long as the block lasts."""
        with self._lock:
            found = self._open.get(name)
        if found is None:
            raise QdrantError(f"Not found: Collection `{name}` doesn't exist!", status=404)
        with found.lock:
            yield found

    def create(self, name: str, body: Mapping[str, Any]) -> None:
        """Make a collection; it is there as a whole or not at all."""
        if not _NAME.fullmatch(name):
            raise QdrantError(f"{name!r} is no name of a collection.")
        config = make_config(body)
        with self._lock:
            if name in self._open:
                raise QdrantError(f"Collection `{name}` already exists!", status=409)
            partial = self._directory / f"{name}.partial"
            (partial / "shard").mkdir(parents=True)
            edge.EdgeShard.create(str(partial / "shard"), config).close()
            write_private(partial / "collection.json", json.dumps(body))
            target = self._directory / name
            partial.rename(target)
            shard = edge.EdgeShard.load(str(target / "shard"))
            self._open[name] = Collection(target, body, shard)

    def delete(self, name: str) -> bool:
        """Remove a collection; whether there was one."""
        with self._lock:
            found = self._open.pop(name, None)
        if found is None:
            return False
        with found.lock:
            found.shard.close()
            gone = found.directory.with_name(f"{name}.partial")
            found.directory.rename(gone)
            shutil.rmtree(gone)
        return True

    def close(self) -> None:
        """Write everything and let go."""
        with self._lock:
            for each in self._open.values():
                with each.lock:
                    each.shard.flush()
                    each.shard.close()
            self._open.clear()
        os.close(self._lock_descriptor)
