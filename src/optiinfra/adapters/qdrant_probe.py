"""A point written to Qdrant and found again; it is removed, its small collection stays."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING
from uuid import uuid4

from optiinfra.domain.errors import PackageMissingError, StoreAwayError, StoreError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

COLLECTION = "optiinfra_probe"
_TIMEOUT_S = 10


def probe(url: str, *, api_key: str | None) -> str:
    """The server's version, after it wrote and read back. Raises StoreError."""
    try:
        from qdrant_client import QdrantClient
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http import exceptions
    except ImportError as error:
        raise PackageMissingError("qdrant-client", purpose="Qdrant") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a key without TLS, which is all there is on loopback
        client = QdrantClient(
            url=url, api_key=api_key, timeout=_TIMEOUT_S, check_compatibility=False
        )
    try:
        is_found = _write_and_find(client)
        about = client.info()
    except (exceptions.ApiException, QdrantException) as error:
        raise StoreAwayError(
            f"Qdrant does not answer as it should: {' '.join(str(error).split())}",
            remedy="Start it with `optiinfra up`, or look at OPTIINFRA_QDRANT_URL.",
        ) from error
    finally:
        client.close()
    if not is_found:
        raise StoreError(
            "Qdrant did not give back what was written.", remedy="Look at its log and its disk."
        )
    is_embedded = (about.commit or "").startswith("qdrant-edge")
    return f"Edge {str(about.commit).split()[-1]}" if is_embedded else str(about.version)


def _write_and_find(client: QdrantClient) -> bool:
    from qdrant_client import models

    if not client.collection_exists(COLLECTION):
        vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
        client.create_collection(COLLECTION, vectors_config=vectors)
    word = str(uuid4())
    point = models.PointStruct(id=word, vector=[1.0, 0.0], payload={"word": word})
    client.upsert(COLLECTION, [point], wait=True)
    same = models.Filter(must=[models.HasIdCondition(has_id=[word])])
    found = client.query_points(COLLECTION, query=[1.0, 0.0], query_filter=same, limit=1).points
    client.delete(COLLECTION, points_selector=[word], wait=True)
    return [each.payload for each in found] == [{"word": word}]
