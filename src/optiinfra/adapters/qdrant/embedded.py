"""Points in this process, by Qdrant Edge: a shard a collection, in one directory that is locked."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from optiinfra.adapters.qdrant.points import (
    DENSE,
    KEYWORDS,
    MAX_PAGE,
    NUMBERS,
    SPARSE,
    Conditions,
    Found,
    Point,
)
from optiinfra.domain.errors import PackageMissingError, StoreError
from optiinfra.domain.memories import Collection
from optiinfra.domain.situations import DIMENSIONS

if TYPE_CHECKING:
    from qdrant_edge import EdgeConfig, EdgeShard, Filter, Query

_NEVER_INDEXED: Final = 1_000_000_000  # every search is exact: a graph would only take time
_REMEDY: Final = "Make the memory again: `optiinfra memory rebuild`."


class EmbeddedPoints:
    """See PointStore."""

    def __init__(self, directory: Path) -> None:
        try:
            import qdrant_edge
        except ImportError as error:
            raise PackageMissingError("qdrant-edge-py", purpose="The outcome memory") from error
        self._edge = qdrant_edge
        self._directory = directory
        self._shards: dict[Collection, EdgeShard] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(
                f"Another process has the memory in {directory} open.",
                remedy="Let that process answer (OPTIINFRA_QDRANT_URL), or stop it.",
            ) from error

    def ensure(self, collection: Collection) -> None:
        """See PointStore."""
        path = self._directory / collection.value
        config = self._make_config()
        with _translated():
            if path.exists() and any(path.iterdir()):
                self._shards[collection] = self._edge.EdgeShard.load(str(path), config)
            else:
                self._shards[collection] = self._edge.EdgeShard.create(str(path), config)
            kinds = self._edge.PayloadSchemaType
            for names, kind in ((KEYWORDS, kinds.Keyword), (NUMBERS, kinds.Integer)):
                for name in names:
                    operation = self._edge.UpdateOperation.create_field_index(name, kind)
                    self._shards[collection].update(operation)

    def drop(self, collection: Collection) -> None:
        """See PointStore."""
        shard = self._shards.pop(collection, None)
        with _translated():
            if shard is not None:
                shard.close()
            shutil.rmtree(self._directory / collection.value, ignore_errors=True)

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        """See PointStore."""
        edge = self._edge
        made = [
            edge.Point(
                point.id,
                {
                    DENSE: list(point.vector),
                    SPARSE: edge.SparseVector(list(point.words), [1.0] * len(point.words)),
                },
                dict(point.payload),
            )
            for point in points
        ]
        self._update(collection, edge.UpdateOperation.upsert_points(made))

    def find_near(
        self,
        collection: Collection,
        vector: Sequence[float],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """See PointStore."""
        query = self._edge.Query.Nearest(list(vector), using=DENSE)
        return self._find(collection, query, conditions, limit=limit)

    def find_words(
        self,
        collection: Collection,
        words: Sequence[int],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """See PointStore."""
        sparse = self._edge.SparseVector(list(words), [1.0] * len(words))
        query = self._edge.Query.Nearest(sparse, using=SPARSE)
        return self._find(collection, query, conditions, limit=limit)

    def fetch(self, collection: Collection, ids: Sequence[UUID]) -> list[Found]:
        """See PointStore."""
        with _translated():
            records = self._shards[collection].retrieve(list(ids), True, False)
        return [Found(_read_id(record.id), record.payload or {}) for record in records]

    def walk(self, collection: Collection, conditions: Conditions) -> Iterator[Found]:
        """See PointStore."""
        offset: Any = None
        while True:
            request = self._edge.ScrollRequest(
                limit=MAX_PAGE,
                offset=offset,
                filter=self._make_filter(conditions),
                with_payload=True,
            )
            with _translated():
                records, offset = self._shards[collection].scroll(request)
            for record in records:
                yield Found(_read_id(record.id), record.payload or {})
            if offset is None:
                return

    def supersede(self, collection: Collection, ends_us: Mapping[UUID, int]) -> None:
        """See PointStore."""
        for point_id, end_us in ends_us.items():
            values = {"superseded_us": end_us}
            operation = self._edge.UpdateOperation.set_payload([point_id], values)
            self._update(collection, operation)

    def delete(self, collection: Collection, conditions: Conditions) -> None:
        """See PointStore."""
        chosen = self._make_filter(conditions)
        self._update(collection, self._edge.UpdateOperation.delete_points_by_filter(chosen))

    def count(self, collection: Collection, conditions: Conditions) -> int:
        """See PointStore."""
        request = self._edge.CountRequest(exact=True, filter=self._make_filter(conditions))
        with _translated():
            return int(self._shards[collection].count(request))

    def close(self) -> None:
        """See PointStore."""
        for shard in self._shards.values():
            with _translated():
                shard.flush()
                shard.close()
        self._shards.clear()
        os.close(self._lock)

    def _update(self, collection: Collection, operation: Any) -> None:
        with _translated():
            self._shards[collection].update(operation)

    def _find(
        self, collection: Collection, query: Query, conditions: Conditions, *, limit: int
    ) -> list[Found]:
        request = self._edge.QueryRequest(
            limit=limit,
            query=query,
            filter=self._make_filter(conditions),
            with_payload=self._edge.PayloadSelector.Include(list(NUMBERS)),
            params=self._edge.SearchParams(exact=True),
        )
        with _translated():
            found = self._shards[collection].query(request)
        return [Found(_read_id(point.id), point.payload or {}) for point in found]

    def _make_config(self) -> EdgeConfig:
        edge = self._edge
        config: EdgeConfig = edge.EdgeConfig(
            vectors={
                DENSE: edge.EdgeVectorParams(
                    size=DIMENSIONS,
                    distance=edge.Distance.Dot,
                    datatype=edge.VectorStorageDatatype.Float16,
                )
            },
            sparse_vectors={SPARSE: edge.EdgeSparseVectorParams()},
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_NEVER_INDEXED),
        )
        return config

    def _make_filter(self, conditions: Conditions) -> Filter:
        edge = self._edge
        must: list[Any] = [
            edge.FieldCondition(key, match=edge.MatchValue(value))
            for key, value in conditions.equal.items()
        ]
        if conditions.any_of is not None:
            key, values = conditions.any_of
            must.append(edge.FieldCondition(key, match=edge.MatchAny(list(values))))
        if conditions.as_of_us is not None:
            at = float(conditions.as_of_us)
            must.append(edge.FieldCondition("known_us", range=edge.RangeFloat(lte=at)))
            must.append(edge.FieldCondition("superseded_us", range=edge.RangeFloat(gt=at)))
        made: Filter = edge.Filter(must=must)
        return made


def _read_id(given: object) -> UUID:
    return given if isinstance(given, UUID) else UUID(str(given))


@contextmanager
def _translated() -> Iterator[None]:
    """Raise StoreError for what the library raises, which has no errors of its own."""
    try:
        yield
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(f"The embedded Qdrant refused: {error}.", remedy=_REMEDY) from error
