"""Points in a Qdrant server, by its REST interface."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit
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
from optiinfra.domain.errors import PackageMissingError, StoreAwayError, StoreError
from optiinfra.domain.memories import Collection
from optiinfra.domain.situations import DIMENSIONS

TIMEOUT_S: Final = 10
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class ServerPoints:
    """See PointStore."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        try:
            from qdrant_client import QdrantClient, models
        except ImportError as error:
            raise PackageMissingError("qdrant-client", purpose="The outcome memory") from error
        self._models = models
        with warnings.catch_warnings():
            if urlsplit(url).hostname in _LOOPBACK:  # where no TLS is needed for the key
                warnings.simplefilter("ignore", UserWarning)
            self._client = QdrantClient(
                url=url, api_key=api_key, timeout=TIMEOUT_S, check_compatibility=False
            )

    def ensure(self, collection: Collection) -> None:
        """See PointStore."""
        models = self._models
        with _translated():
            if not self._client.collection_exists(collection.value):
                self._client.create_collection(
                    collection.value,
                    vectors_config={
                        DENSE: models.VectorParams(size=DIMENSIONS, distance=models.Distance.DOT)
                    },
                    sparse_vectors_config={SPARSE: models.SparseVectorParams()},
                )
            kinds = models.PayloadSchemaType
            for names, kind in ((KEYWORDS, kinds.KEYWORD), (NUMBERS, kinds.INTEGER)):
                for name in names:
                    self._client.create_payload_index(
                        collection.value, field_name=name, field_schema=kind, wait=True
                    )

    def drop(self, collection: Collection) -> None:
        """See PointStore."""
        with _translated():
            self._client.delete_collection(collection.value)

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        """See PointStore."""
        models = self._models
        made = [
            models.PointStruct(
                id=str(point.id),
                vector={
                    DENSE: list(point.vector),
                    SPARSE: models.SparseVector(
                        indices=list(point.words), values=[1.0] * len(point.words)
                    ),
                },
                payload=dict(point.payload),
            )
            for point in points
        ]
        with _translated():
            self._client.upsert(collection.value, points=made, wait=True)

    def find_near(
        self,
        collection: Collection,
        vector: Sequence[float],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """See PointStore."""
        return self._find(collection, list(vector), DENSE, conditions, limit=limit)

    def find_words(
        self,
        collection: Collection,
        words: Sequence[int],
        conditions: Conditions,
        *,
        limit: int,
    ) -> list[Found]:
        """See PointStore."""
        sparse = self._models.SparseVector(indices=list(words), values=[1.0] * len(words))
        return self._find(collection, sparse, SPARSE, conditions, limit=limit)

    def fetch(self, collection: Collection, ids: Sequence[UUID]) -> list[Found]:
        """See PointStore."""
        with _translated():
            records = self._client.retrieve(
                collection.value, ids=[str(id_) for id_ in ids], with_payload=True
            )
        return [Found(UUID(str(record.id)), record.payload or {}) for record in records]

    def walk(self, collection: Collection, conditions: Conditions) -> Iterator[Found]:
        """See PointStore."""
        offset: Any = None
        while True:
            with _translated():
                records, offset = self._client.scroll(
                    collection.value,
                    scroll_filter=self._make_filter(conditions),
                    limit=MAX_PAGE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=False,
                )
            for record in records:
                yield Found(UUID(str(record.id)), record.payload or {})
            if offset is None:
                return

    def supersede(self, collection: Collection, ends_us: Mapping[UUID, int]) -> None:
        """See PointStore."""
        with _translated():
            for point_id, end_us in ends_us.items():
                self._client.set_payload(
                    collection.value,
                    payload={"superseded_us": end_us},
                    points=[str(point_id)],
                    wait=True,
                )

    def delete(self, collection: Collection, conditions: Conditions) -> None:
        """See PointStore."""
        selector = self._models.FilterSelector(filter=self._make_filter(conditions))
        with _translated():
            self._client.delete(collection.value, points_selector=selector, wait=True)

    def count(self, collection: Collection, conditions: Conditions) -> int:
        """See PointStore."""
        with _translated():
            found = self._client.count(
                collection.value, count_filter=self._make_filter(conditions), exact=True
            )
        return found.count

    def close(self) -> None:
        """See PointStore."""
        self._client.close()

    def _find(
        self, collection: Collection, query: Any, using: str, conditions: Conditions, *, limit: int
    ) -> list[Found]:
        with _translated():
            found = self._client.query_points(
                collection.value,
                query=query,
                using=using,
                query_filter=self._make_filter(conditions),
                search_params=self._models.SearchParams(exact=True),
                limit=limit,
                with_payload=list(NUMBERS),
            )
        return [Found(UUID(str(point.id)), point.payload or {}) for point in found.points]

    def _make_filter(self, conditions: Conditions) -> Any:
        models = self._models
        must: list[Any] = [
            models.FieldCondition(key=key, match=models.MatchValue(value=value))
            for key, value in conditions.equal.items()
        ]
        if conditions.any_of is not None:
            key, values = conditions.any_of
            must.append(models.FieldCondition(key=key, match=models.MatchAny(any=list(values))))
        if conditions.as_of_us is not None:
            at = conditions.as_of_us
            must.append(models.FieldCondition(key="known_us", range=models.Range(lte=at)))
            must.append(models.FieldCondition(key="superseded_us", range=models.Range(gt=at)))
        return models.Filter(must=must)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise StoreError for whatever the library raises in the block."""
    from httpx import HTTPError
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except (ResponseHandlingException, HTTPError) as error:
        raise StoreAwayError(
            f"Qdrant does not answer: {error}.",
            remedy="Check that the server runs and can be reached from here.",
        ) from error
    except UnexpectedResponse as error:
        raise StoreError(
            f"Qdrant refused: {error}.", remedy="Check its version, 1.13 or newer, and the API key."
        ) from error
