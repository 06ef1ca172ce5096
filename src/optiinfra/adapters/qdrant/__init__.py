"""The outcome memory in Qdrant: embedded in this process, or a server by its URL."""

from __future__ import annotations

from pathlib import Path

from optiinfra.adapters.qdrant.memory import QdrantMemory


def open_embedded_memory(directory: Path) -> QdrantMemory:
    """The memory in a directory, for this process alone. Raises StoreError where another has it."""
    from optiinfra.adapters.qdrant.embedded import EmbeddedPoints

    return QdrantMemory(EmbeddedPoints(directory))


def open_server_memory(url: str, *, api_key: str | None = None) -> QdrantMemory:
    """The memory in a Qdrant server, or in whoever owns an embedded one and serves it."""
    from optiinfra.adapters.qdrant.server import ServerPoints

    return QdrantMemory(ServerPoints(url, api_key=api_key))
