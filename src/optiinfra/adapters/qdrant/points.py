"""Points of Qdrant as the memory uses them: what both forms of it have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from optiinfra.domain.memories import Collection

DENSE: Final = "situation"  # names of the two vectors of a point
SPARSE: Final = "text"
KEYWORDS: Final = ("customer_id", "memory_id", "action", "model_family")  # indexed
NUMBERS: Final = ("known_us", "superseded_us")
NEVER_US: Final = (1 << 53) - 1  # the last whole number that JSON carries for certain
MAX_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Point:
    """A point to be kept; of the words, their numbers."""

    id: UUID
    vector: Sequence[float]
    words: Sequence[int]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A point that was found."""

    id: UUID
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a point must be: equal in each key, one of several, the latest known by an instant."""

    equal: Mapping[str, str]
    any_of: tuple[str, Sequence[str]] | None = None
    as_of_us: int | None = None


class PointStore(Protocol):
    """Three collections of points. Raises StoreError."""

    def ensure(self, collection: Collection) -> None:
        """Make the collection and its indexes where they are missing."""

    def drop(self, collection: Collection) -> None:
        """Remove it with all points, if it is there."""

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        """Keep points, in place of those of the same id; on disk when it returns."""

    def find_near(
        self,
        collection: Collection,
        vector: Sequence[float],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """Exactly those with the largest dot product, largest first; of payloads, NUMBERS alone."""

    def find_words(
        self,
        collection: Collection,
        words: Sequence[int],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """Those that share the most words, most first; none that shares none; NUMBERS alone."""

    def fetch(self, collection: Collection, ids: Sequence[UUID]) -> list[Found]:
        """Points whole, in no order; without those that are not there."""

    def walk(self, collection: Collection, conditions: Conditions) -> Iterator[Found]:
        """All of them, in no order."""

    def supersede(self, collection: Collection, ends_us: Mapping[UUID, int]) -> None:
        """Set until when points are the latest of their memory."""

    def delete(self, collection: Collection, conditions: Conditions) -> None:
        """Remove them."""

    def count(self, collection: Collection, conditions: Conditions) -> int:
        """Exactly how many there are."""

    def close(self) -> None:
        """Give back what is held."""
