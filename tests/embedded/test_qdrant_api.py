"""The owner speaks Qdrant's REST interface: `qdrant-client` works as against a server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from optiinfra.embedded.owner.starting import start_owner, stop_owner
from optiinfra.embedded.owner_state import OwnerState

NAME = "outcomes"
OURS, THEIRS = "customer-a", "customer-b"
pytestmark = pytest.mark.timeout(300)  # the first test starts the owner


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("owner")


@pytest.fixture(scope="module")
def owner(home: Path) -> Iterator[OwnerState]:
    yield start_owner(home, has_postgres=False)
    stop_owner(home)


def connect(state: OwnerState) -> QdrantClient:
    return QdrantClient(
        url=state.qdrant_url,
        api_key=state.qdrant_api_key,
        timeout=30,
        check_compatibility=False,  # it would warn that the key travels without TLS, on loopback
    )


def make_collection(client: QdrantClient) -> None:
    client.delete_collection(NAME)
    client.create_collection(
        NAME,
        vectors_config={
            "features": models.VectorParams(
                size=4, distance=models.Distance.DOT, datatype=models.Datatype.FLOAT16
            )
        },
        sparse_vectors_config={"text": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )


@pytest.fixture
def client(owner: OwnerState) -> Iterator[QdrantClient]:
    with pytest.warns(UserWarning, match="insecure connection"):
        made = connect(owner)
    make_collection(made)
    yield made
    made.close()


def make_points() -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=str(UUID(int=number + 1)),
            vector={
                "features": np.eye(4)[number % 4].tolist(),
                "text": models.SparseVector(indices=[number, 99], values=[1.0, 0.5]),
            },
            payload={
                "customer_id": OURS if number % 2 else THEIRS,
                "saved": number * 1.5,
                "decided_at": f"2026-11-{number + 1:02d}T00:00:00Z",
                "tags": ["gpu", f"t{number}"],
            },
        )
        for number in range(8)
    ]


def of(customer: str, *others: Any) -> models.Filter:
    return models.Filter(
        must=[
            models.FieldCondition(key="customer_id", match=models.MatchValue(value=customer)),
            *others,
        ]
    )


def find(client: QdrantClient, wanted: models.Filter) -> list[int]:
    points, _after = client.scroll(NAME, scroll_filter=wanted, limit=100)
    return sorted(UUID(str(point.id)).int - 1 for point in points)


def test_collections_are_made_described_and_removed(client: QdrantClient) -> None:
    assert client.collection_exists(NAME)
    assert [each.name for each in client.get_collections().collections] == [NAME]
    client.create_payload_index(
        NAME,
        "customer_id",
        models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    )
    client.create_payload_index(NAME, "saved", models.PayloadSchemaType.FLOAT)
    client.create_payload_index(NAME, "decided_at", models.PayloadSchemaType.DATETIME)
    info = client.get_collection(NAME)
    assert set(info.payload_schema) == {"customer_id", "saved", "decided_at"}
    assert info.points_count == 0
    with pytest.raises(UnexpectedResponse, match="already exists"):
        client.create_collection(
            NAME, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT)
        )
    assert client.delete_collection(NAME)
    assert not client.collection_exists(NAME)
    with pytest.raises(UnexpectedResponse, match="404"):
        client.count(NAME)


def test_points_in_and_out(client: QdrantClient) -> None:
    client.upsert(NAME, make_points(), wait=True)
    client.upsert(NAME, make_points()[:2], wait=True)  # the same again is the same
    assert client.count(NAME, exact=True).count == 8
    [point] = client.retrieve(NAME, [str(UUID(int=3))], with_vectors=True)
    assert point.payload == make_points()[2].payload
    assert isinstance(point.vector, dict)
    assert point.vector["features"] == [0, 0, 1, 0]
    assert point.vector["text"] == models.SparseVector(indices=[2, 99], values=[1.0, 0.5])
    client.delete(NAME, points_selector=[str(UUID(int=1))], wait=True)
    client.delete(NAME, points_selector=models.FilterSelector(filter=of(OURS)), wait=True)
    assert find(client, models.Filter()) == [2, 4, 6]
    client.set_payload(NAME, {"saved": 99.0}, points=[str(UUID(int=3))])
    [changed] = client.retrieve(NAME, [str(UUID(int=3))])
    assert changed.payload == make_points()[2].payload | {"saved": 99.0}  # type: ignore[operator]


def test_filters(client: QdrantClient) -> None:
    client.upsert(NAME, make_points(), wait=True)
    key = models.FieldCondition
    assert find(client, of(OURS)) == [1, 3, 5, 7]
    assert find(client, of(OURS, key(key="saved", range=models.Range(gt=1.5, lte=7.5)))) == [3, 5]
    before = models.DatetimeRange(lt="2026-11-05T00:00:00Z")
    assert find(client, of(THEIRS, key(key="decided_at", range=before))) == [0, 2]
    assert find(client, of(OURS, key(key="tags", match=models.MatchAny(any=["t3", "t4"])))) == [3]
    other = models.Filter(
        must_not=[key(key="tags", match=models.MatchAny(any=["t1", "t2", "t3"]))],
        should=[
            models.HasIdCondition(has_id=[str(UUID(int=2)), str(UUID(int=8))]),
            models.Filter(must=[key(key="saved", range=models.Range(lt=1.0))]),
        ],
    )
    assert find(client, other) == [0, 7]
    assert find(
        client,
        models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="none"))]),
    ) == list(range(8))


def test_nearest_by_features_by_text_and_fused(client: QdrantClient) -> None:
    client.upsert(NAME, make_points(), wait=True)
    near = client.query_points(
        NAME, query=[0.0, 1.0, 0.1, 0.0], using="features", query_filter=of(OURS), limit=2
    ).points
    assert [UUID(str(point.id)).int - 1 for point in near] == [1, 5] or [
        UUID(str(point.id)).int - 1 for point in near
    ] == [5, 1]
    assert all(point.payload["customer_id"] == OURS for point in near if point.payload)
    word = models.SparseVector(indices=[3], values=[1.0])
    [text] = client.query_points(NAME, query=word, using="text", limit=5).points
    assert UUID(str(text.id)).int - 1 == 3
    fused = client.query_points(
        NAME,
        prefetch=[
            models.Prefetch(query=[0.0, 0, 0, 1.0], using="features", limit=4, filter=of(OURS)),
            models.Prefetch(query=word, using="text", limit=4, filter=of(OURS)),
        ],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=3,
    ).points
    assert UUID(str(fused[0].id)).int - 1 == 3


def test_pages(client: QdrantClient) -> None:
    client.upsert(NAME, make_points(), wait=True)
    seen: list[Any] = []
    offset: Any = None
    while True:
        points, offset = client.scroll(NAME, limit=3, offset=offset)
        seen += [point.id for point in points]
        if offset is None:
            break
    assert len(seen) == len(set(seen)) == 8


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "points/query",
            {"query": [1.0, 0, 0, 0], "using": "features", "lookup_from": {}},
            "lookup_from",
        ),
        ("points/scroll", {"filter": {"must": [{"key": "a", "geo_radius": {}}]}}, "geo_radius"),
        ("points/scroll", {"filter": {"must": [{"key": "a", "match": {"text": "x"}}]}}, "text"),
        ("points/scroll", {"filter": {"musst": []}}, "musst"),
        ("points/scroll", {"limit": 1_000_000}, "1000000"),
        ("points/delete", {}, "filter"),
        ("points", {"ids": ["no uuid"]}, "no uuid"),
        ("points/count", {"filter": "x"}, ""),
    ],
)
def test_what_is_not_known_is_refused_and_not_left_out(
    owner: OwnerState, client: QdrantClient, path: str, body: dict[str, Any], said: str
) -> None:
    del client
    done = httpx.post(
        f"{owner.qdrant_url}/collections/{NAME}/{path}",
        json=body,
        headers={"api-key": str(owner.qdrant_api_key)},
    )
    assert done.status_code == 400, done.text
    assert said in done.json()["status"]["error"]


def test_nobody_enters_without_the_key(owner: OwnerState) -> None:
    for headers in ({}, {"api-key": "wrong"}):
        assert httpx.get(f"{owner.qdrant_url}/collections", headers=headers).status_code == 403


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    state = start_owner(tmp_path, has_postgres=False)
    with pytest.warns(UserWarning, match="insecure connection"):
        client = connect(state)
    make_collection(client)
    client.upsert(NAME, make_points(), wait=True)
    os.kill(state.pid, signal.SIGKILL)
    os.waitpid(state.pid, 0)
    state = start_owner(tmp_path, has_postgres=False)
    try:
        assert client.count(NAME).count == 8  # the same client: address and key are as before
        client.upsert(NAME, make_points()[:1], wait=True)
        assert find(client, of(OURS)) == [1, 3, 5, 7]
    finally:
        client.close()
        stop_owner(tmp_path)
