"""JSON of Qdrant's REST interface to values of Qdrant Edge, and back.

What is not known is refused by name and never left out: a filter that is ignored would show too
much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import qdrant_edge as edge

MAX_LIMIT = 10_000
RRF_K = 2  # Qdrant's own default


class QdrantError(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def make_config(body: Mapping[str, Any]) -> edge.EdgeConfig:
    """The configuration of a collection that is made."""
    check(body, {"vectors", "sparse_vectors"}, "a collection")
    vectors = body.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    sparse = body.get("sparse_vectors") or {}
    return edge.EdgeConfig(
        vectors={name: _make_dense(each) for name, each in named.items()},
        sparse_vectors={name: _make_sparse(each or {}) for name, each in sparse.items()},
    )


def _make_dense(body: Mapping[str, Any]) -> edge.EdgeVectorParams:
    check(body, {"size", "distance", "datatype"}, "a vector")
    return edge.EdgeVectorParams(
        size=int(body["size"]),
        distance=getattr(edge.Distance, str(body["distance"])),
        datatype=_read_datatype(body.get("datatype")),
    )


def _read_datatype(name: str | None) -> edge.VectorStorageDatatype | None:
    if name is None:
        return None
    found: edge.VectorStorageDatatype | None = getattr(
        edge.VectorStorageDatatype, name.capitalize(), None
    )
    if found is None:
        raise QdrantError(f"Datatype {name!r} is not known.")
    return found


def _make_sparse(body: Mapping[str, Any]) -> edge.EdgeSparseVectorParams:
    check(body, {"modifier"}, "a sparse vector")
    modifier = body.get("modifier")
    if modifier not in {None, "idf", "none"}:
        raise QdrantError(f"Modifier {modifier!r} is not known.")
    return edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if modifier == "idf" else None)


def make_index(schema: Any) -> Any:
    """The index of a payload field: a type by name, or with `is_tenant`."""
    if isinstance(schema, str):
        schema = {"type": schema}
    check(schema, {"type", "is_tenant"}, "an index")
    kind = str(schema["type"])
    if kind == "keyword":
        return edge.KeywordIndexParams(is_tenant=schema.get("is_tenant"))
    found = getattr(edge.PayloadSchemaType, kind.capitalize(), None)
    if found is None:
        raise QdrantError(f"Index type {kind!r} is not known.")
    return found


def read_points(body: Mapping[str, Any]) -> list[edge.Point]:
    """The points of an upsert, as a list or as columns."""
    check(body, {"points", "batch"}, "an upsert")
    points = body.get("points")
    if points is None:
        batch = body["batch"]
        payloads = batch.get("payloads") or [None] * len(batch["ids"])
        vectors = batch["vectors"]
        if isinstance(vectors, Mapping):
            names = list(vectors)
            vectors = [
                dict(zip(names, each, strict=True)) for each in zip(*vectors.values(), strict=True)
            ]
        columns = zip(batch["ids"], vectors, payloads, strict=True)
        points = [{"id": i, "vector": v, "payload": p} for i, v, p in columns]
    return [
        edge.Point(read_id(each["id"]), _read_vectors(each["vector"]), each.get("payload") or {})
        for each in points
    ]


def read_id(value: Any) -> int | UUID | str:
    """The id of a point: a whole number or a UUID."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        return UUID(str(value))
    except ValueError:
        raise QdrantError(f"{value!r} is no id of a point: give a UUID or a number.") from None


def _read_vectors(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) != {"indices", "values"}:
        return {name: _read_vector(each) for name, each in value.items()}
    return _read_vector(value)


def _read_vector(value: Any) -> Any:
    if isinstance(value, Mapping):
        check(value, {"indices", "values"}, "a sparse vector")
        return edge.SparseVector(
            [int(i) for i in value["indices"]], list(map(float, value["values"]))
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [float(each) for each in value]
    raise QdrantError("A vector is a list of numbers, or has `indices` and `values`.")


def read_filter(body: Mapping[str, Any] | None) -> edge.Filter | None:
    """A filter with all that it says, or None."""
    if not body:
        return None
    check(body, {"must", "should", "must_not", "min_should"}, "a filter")

    def read(name: str) -> list[Any] | None:
        conditions = body.get(name)
        if conditions is None:
            return None
        return [
            _read_condition(each)
            for each in (conditions if isinstance(conditions, list) else [conditions])
        ]

    least = body.get("min_should")
    return edge.Filter(
        must=read("must"),
        should=read("should"),
        must_not=read("must_not"),
        min_should=None
        if least is None
        else edge.MinShould(
            [_read_condition(each) for each in least["conditions"]], int(least["min_count"])
        ),
    )


def _read_condition(body: Mapping[str, Any]) -> Any:
    if "key" in body and "nested" not in body:
        check(body, {"key", "match", "range"}, "a condition on a field")
        match, bounds = body.get("match"), body.get("range")
        if (match is None) == (bounds is None):
            raise QdrantError("A condition on a field has `match` or `range`.")
        return edge.FieldCondition(
            str(body["key"]),
            match=None if match is None else _read_match(match),
            range=None if bounds is None else _read_range(bounds),
        )
    match dict(body):
        case {"has_id": ids, **rest} if not rest:
            return edge.HasIdCondition({read_id(each) for each in ids})
        case {"is_empty": {"key": key}, **rest} if not rest:
            return edge.IsEmptyCondition(str(key))
        case {"is_null": {"key": key}, **rest} if not rest:
            return edge.IsNullCondition(str(key))
        case {"has_vector": name, **rest} if not rest:
            return edge.HasVectorCondition(str(name))
    if {"must", "should", "must_not", "min_should"} & set(body):
        return read_filter(body)
    raise QdrantError(f"Condition {sorted(body)} is not known.")


def _read_match(body: Mapping[str, Any]) -> Any:
    match dict(body):
        case {"value": value, **rest} if not rest:
            return edge.MatchValue(value)
        case {"any": values, **rest} if not rest:
            return edge.MatchAny(list(values))
        case {"except": values, **rest} if not rest:
            return edge.MatchExcept(list(values))
    raise QdrantError(f"Match {sorted(body)} is not known.")


def _read_range(body: Mapping[str, Any]) -> Any:
    check(body, {"gte", "gt", "lte", "lt"}, "a range")
    given = {name: value for name, value in body.items() if value is not None}
    if any(isinstance(value, str) for value in given.values()):
        return edge.RangeDateTime(**{name: str(value) for name, value in given.items()})
    return edge.RangeFloat(**{name: float(value) for name, value in given.items()})


def read_query(body: Mapping[str, Any]) -> edge.QueryRequest:
    """A request of `points/query`."""
    known = {
        "query", "using", "filter", "limit", "offset", "params", "score_threshold",
        "with_payload", "with_vector", "prefetch",
    }  # fmt: skip
    check(body, known, "a query")
    return edge.QueryRequest(
        limit=read_limit(body),
        offset=int(body.get("offset") or 0),
        query=_read_scoring(body.get("query"), body.get("using")),
        prefetches=_read_prefetches(body.get("prefetch")),
        with_vector=body.get("with_vector") or False,
        with_payload=read_selector(body.get("with_payload")),
        filter=read_filter(body.get("filter")),
        score_threshold=body.get("score_threshold"),
        params=_read_params(body.get("params")),
    )


def read_limit(body: Mapping[str, Any]) -> int:
    """How many, 10 where nothing is said."""
    limit = int(body.get("limit") or 10)
    if not 1 <= limit <= MAX_LIMIT:
        raise QdrantError(f"{limit} points cannot be asked for: ask for 1 to {MAX_LIMIT}.")
    return limit


def _read_prefetches(body: Any) -> list[edge.Prefetch] | None:
    if not body:
        return None
    known = {"query", "using", "filter", "limit", "params", "score_threshold", "prefetch"}
    found = []
    for each in body if isinstance(body, list) else [body]:
        check(each, known, "a prefetch")
        found.append(
            edge.Prefetch(
                limit=read_limit(each),
                query=_read_scoring(each.get("query"), each.get("using")),
                prefetches=_read_prefetches(each.get("prefetch")),
                params=_read_params(each.get("params")),
                filter=read_filter(each.get("filter")),
                score_threshold=each.get("score_threshold"),
            )
        )
    return found


def _read_scoring(body: Any, using: str | None) -> Any:
    match body:
        case None:
            return None
        case {"fusion": ("rrf" | "dbsf") as kind, **rest} if not rest:
            return edge.Fusion.Rrf(RRF_K) if kind == "rrf" else edge.Fusion.Dbsf()
        case {"rrf": dict() as options, **rest} if not rest:
            return _read_rrf(options)
        case {"order_by": order, **rest} if not rest:
            return read_order(order)
        case {"nearest": vector, **rest} if not any(rest.values()):
            return edge.Query.Nearest(_read_vector(vector), using)
    return edge.Query.Nearest(_read_vector(body), using)


def _read_rrf(body: Mapping[str, Any]) -> Any:
    check(body, {"k", "weights"}, "rrf")
    return edge.Fusion.Rrf(int(body.get("k") or RRF_K), body.get("weights"))


def read_order(body: Any) -> edge.OrderBy | None:
    """Points in order of a payload field."""
    if body is None:
        return None
    if isinstance(body, str):
        return edge.OrderBy(body)
    check(body, {"key", "direction", "start_from"}, "an order")
    is_down = body.get("direction") == "desc"
    direction = edge.Direction.Desc if is_down else edge.Direction.Asc
    return edge.OrderBy(str(body["key"]), direction, body.get("start_from"))


def _read_params(body: Mapping[str, Any] | None) -> edge.SearchParams | None:
    if not body:
        return None
    check(body, {"hnsw_ef", "exact", "indexed_only"}, "params")
    return edge.SearchParams(
        hnsw_ef=body.get("hnsw_ef"),
        exact=bool(body.get("exact")),
        indexed_only=bool(body.get("indexed_only")),
    )


def read_selector(value: Any) -> Any:
    """Which fields of the payload: all, none, or some."""
    if isinstance(value, Mapping):
        check(value, {"include", "exclude"}, "with_payload")
        if value.get("include") is not None:
            return edge.PayloadSelector.Include(list(value["include"]))
        return edge.PayloadSelector.Exclude(list(value.get("exclude") or []))
    return value if isinstance(value, list) else bool(value)


def write_point(point: Any) -> dict[str, Any]:
    """A point or a record as JSON."""
    found: dict[str, Any] = {"id": write_id(point.id), "payload": point.payload}
    if point.vector is not None:
        found["vector"] = _write_vector(point.vector)
    if hasattr(point, "score"):
        found |= {"score": point.score, "version": point.version}
    if point.order_value is not None:
        found["order_value"] = point.order_value
    return found


def write_id(value: Any) -> int | str | None:
    """A number stays one, a UUID becomes text."""
    return value if value is None or isinstance(value, int) else str(value)


def _write_vector(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _write_vector(each) for name, each in value.items()}
    if isinstance(value, edge.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    return list(value)


def check(body: Mapping[str, Any], known: set[str], what: str) -> None:
    """Refuse what is said and not known. Raises QdrantError."""
    given = {name for name, value in body.items() if value is not None}
    unknown = sorted(given - known)
    if unknown:
        raise QdrantError(f"The embedded Qdrant does not know {', '.join(unknown)} of {what}.")
