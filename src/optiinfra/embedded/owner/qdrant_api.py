"""Qdrant's REST interface over Qdrant Edge, as far as `qdrant-client` uses it for the memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import qdrant_edge as edge
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from optiinfra.embedded.owner.qdrant_collections import Collections
from optiinfra.embedded.owner.qdrant_values import (
    QdrantError,
    check,
    make_index,
    read_filter,
    read_id,
    read_limit,
    read_order,
    read_points,
    read_query,
    read_selector,
    write_id,
    write_point,
)

PREFIX = "/qdrant"
REST_VERSION = "1.20.0"  # of the interface that is spoken, which the client compares with its own
MAX_BODY_BYTES = 64 << 20
_DONE = {"operation_id": 0, "status": "completed"}
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
_OPTIMIZER = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "flush_interval_sec": 5,
}
Body = Mapping[str, Any]
Action = Callable[[str, Body], Any]


class QdrantAPI:
    """Answers requests with the collections of one directory."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def list_routes(self) -> list[BaseRoute]:
        """Everything under the prefix."""
        one = "/collections/{name}"
        actions: list[tuple[str, str, Action]] = [
            ("GET", "/collections", self._list),
            ("GET", one, self._describe),
            ("PUT", one, self._create),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/exists", self._exists),
            ("PUT", f"{one}/index", self._index),
            ("PUT", f"{one}/points", self._upsert),
            ("POST", f"{one}/points", self._retrieve),
            ("POST", f"{one}/points/delete", self._delete_points),
            ("POST", f"{one}/points/payload", self._set_payload),
            ("POST", f"{one}/points/query", self._query),
            ("POST", f"{one}/points/query/batch", self._query_batch),
            ("POST", f"{one}/points/scroll", self._scroll),
            ("POST", f"{one}/points/count", self._count),
        ]
        routes: list[BaseRoute] = [
            Route("/", _greet, methods=["GET"]),
            Route("/healthz", _greet, methods=["GET"]),
        ]
        routes += [Route(path, _serve(act), methods=[method]) for method, path, act in actions]
        return [Mount(PREFIX, routes=routes)]

    def _list(self, _name: str, _body: Body) -> Any:
        return {"collections": [{"name": name} for name in self._collections.list_names()]}

    def _exists(self, name: str, _body: Body) -> Any:
        return {"exists": self._collections.has(name)}

    def _create(self, name: str, body: Body) -> Any:
        self._collections.create(name, body)
        return True

    def _delete(self, name: str, _body: Body) -> Any:
        return self._collections.delete(name)

    def _describe(self, name: str, _body: Body) -> Any:
        with self._collections.using(name) as collection:
            info = collection.shard.info()
            given = collection.body
        schema = {
            field: {"data_type": str(about.data_type).rpartition(".")[2].lower(), "points": 0}
            for field, about in info.payload_schema.items()
        }
        params = {
            "vectors": given.get("vectors") or {},
            "sparse_vectors": given.get("sparse_vectors"),
        }
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": info.points_count,
            "indexed_vectors_count": info.indexed_vectors_count,
            "segments_count": info.segments_count,
            "config": {"params": params, "hnsw_config": _HNSW, "optimizer_config": _OPTIMIZER},
            "payload_schema": schema,
        }

    def _index(self, name: str, body: Body) -> Any:
        check(body, {"field_name", "field_schema"}, "an index")
        operation = edge.UpdateOperation.create_field_index(
            str(body["field_name"]), make_index(body["field_schema"])
        )
        with self._collections.using(name) as collection:
            collection.update(operation)
        return _DONE

    def _upsert(self, name: str, body: Body) -> Any:
        points = read_points(body)
        with self._collections.using(name) as collection:
            operation = edge.UpdateOperation.upsert_points(points)
            collection.update(operation, num_points=len(points))
        return _DONE

    def _delete_points(self, name: str, body: Body) -> Any:
        check(body, {"points", "filter"}, "a deletion")
        wanted = read_filter(body.get("filter"))
        if body.get("points") is not None:
            ids = [read_id(each) for each in body["points"]]
            operation = edge.UpdateOperation.delete_points(ids)
        elif wanted is not None:
            operation = edge.UpdateOperation.delete_points_by_filter(wanted)
        else:
            raise QdrantError("A deletion names `points` or has a `filter`.")
        with self._collections.using(name) as collection:
            collection.update(operation)
        return _DONE

    def _set_payload(self, name: str, body: Body) -> Any:
        check(body, {"payload", "points", "filter"}, "a payload")
        wanted = read_filter(body.get("filter"))
        payload = dict(body["payload"])
        if body.get("points") is not None:
            ids = [read_id(each) for each in body["points"]]
            operation = edge.UpdateOperation.set_payload(ids, payload)
        elif wanted is not None:
            operation = edge.UpdateOperation.set_payload_by_filter(wanted, payload)
        else:
            raise QdrantError("A payload names `points` or has a `filter`.")
        with self._collections.using(name) as collection:
            collection.update(operation)
        return _DONE

    def _retrieve(self, name: str, body: Body) -> Any:
        check(body, {"ids", "with_payload", "with_vector"}, "a retrieval")
        ids: list[Any] = [read_id(each) for each in body["ids"]]
        with self._collections.using(name) as collection:
            found = collection.shard.retrieve(
                ids, read_selector(body.get("with_payload")), body.get("with_vector") or False
            )
        return [write_point(each) for each in found]

    def _query(self, name: str, body: Body) -> Any:
        query = read_query(body)
        with self._collections.using(name) as collection:
            found = collection.shard.query(query)
        return {"points": [write_point(each) for each in found]}

    def _query_batch(self, name: str, body: Body) -> Any:
        check(body, {"searches"}, "a batch")
        return [self._query(name, each) for each in body["searches"]]

    def _scroll(self, name: str, body: Body) -> Any:
        known = {"offset", "limit", "filter", "with_payload", "with_vector", "order_by"}
        check(body, known, "a scroll")
        offset = body.get("offset")
        request = edge.ScrollRequest(
            offset=None if offset is None else read_id(offset),
            limit=read_limit(body),
            filter=read_filter(body.get("filter")),
            with_payload=read_selector(body.get("with_payload", True)),
            with_vector=body.get("with_vector") or False,
            order_by=read_order(body.get("order_by")),
        )
        with self._collections.using(name) as collection:
            found, after = collection.shard.scroll(request)
        points = [write_point(each) for each in found]
        return {"points": points, "next_page_offset": write_id(after)}

    def _count(self, name: str, body: Body) -> Any:
        check(body, {"filter", "exact"}, "a count")
        request = edge.CountRequest(
            exact=body.get("exact") is not False, filter=read_filter(body.get("filter"))
        )
        with self._collections.using(name) as collection:
            return {"count": collection.shard.count(request)}


async def _greet(_request: Request) -> JSONResponse:
    engine = f"qdrant-edge-py {metadata.version('qdrant-edge-py')}"
    title = "qdrant - vector search engine"
    return JSONResponse({"title": title, "version": REST_VERSION, "commit": engine})


def _serve(action: Action) -> Callable[[Request], Any]:
    """A handler that reads the body, acts in a thread, and answers as Qdrant does."""

    async def serve(request: Request) -> JSONResponse:
        started = time.perf_counter()
        try:
            body = await _read_body(request)
            result = await run_in_threadpool(action, request.path_params.get("name", ""), body)
        except QdrantError as error:
            return _refuse(str(error), error.status, started)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            # Of a body in another form, or what the engine itself refuses.
            return _refuse(f"{type(error).__name__}: {error}", 400, started)
        elapsed_s = time.perf_counter() - started
        return JSONResponse({"result": result, "status": "ok", "time": elapsed_s})

    return serve


async def _read_body(request: Request) -> Body:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise QdrantError(f"A request may have {MAX_BODY_BYTES} bytes, not more.", status=413)
    body = json.loads(data) if data else {}
    if not isinstance(body, dict):
        raise QdrantError("The body is no JSON object.")
    return body


def _refuse(message: str, status: int, started: float) -> JSONResponse:
    elapsed_s = time.perf_counter() - started
    return JSONResponse(
        {"status": {"error": message}, "time": elapsed_s, "result": None}, status_code=status
    )
