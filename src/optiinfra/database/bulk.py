"""Many rows at once into the tables of metrics, by binary COPY and never by the ORM.

COPY refuses row-level security, so the role that does this passes it by, and each row's tenant is
checked here, before it is sent. What a series repeats is encoded once. One call is one transaction
of the caller's: a refused row leaves nothing behind.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import String

from optiinfra.database.copy_encoding import (
    HEADER,
    TRAILER,
    count_microseconds,
    encode_boolean,
    encode_count,
    encode_double,
    encode_integer,
    encode_json,
    encode_text,
    encode_time,
    encode_uuid,
)
from optiinfra.database.models import Base
from optiinfra.domain.enums import MetricType, ResourceType
from optiinfra.domain.errors import ConstraintError

INGEST_ROLE: Final = "optiinfra_ingest"
MAX_SERIES: Final = 100_000  # remembered at once
MAX_JSON_BYTES: Final = 1 << 20
_BATCH_ROWS: Final = 512  # a write to the connection
_SAMPLE: Final = struct.Struct(">idiq")  # length and double, length and time


@dataclass(frozen=True, slots=True)
class Series:
    """What the samples of one instance's metric have in common."""

    agent_id: UUID
    customer_id: UUID
    instance_id: str
    resource_type: ResourceType
    metric_name: str
    unit: str
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class AgentSeries:
    """What the samples of one of an agent's own metrics have in common."""

    agent_id: UUID
    metric_name: str
    metric_type: MetricType = MetricType.GAUGE
    tags: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class QualitySample:
    """The quality of one answer; scores are ratios in 0..1, None where they are not known."""

    agent_id: UUID
    customer_id: UUID
    request_id: str
    model_name: str
    model_version: str
    overall_quality_score: float
    at: datetime
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float | None = None
    relevance_score: float | None = None
    coherence_score: float | None = None
    factuality_score: float | None = None
    toxicity_score: float | None = None
    is_hallucination_detected: bool = False


S = TypeVar("S", Series, AgentSeries)
Sample = tuple[S, datetime, float]


def copy_resource_samples(
    connection: psycopg.Connection,
    samples: Iterable[Sample[Series]],
    *,
    customers: Collection[UUID],
) -> int:
    """Write samples of series to resource_metrics; how many. Only of these customers.

    Raises ConstraintError for a row of another, a value that is not finite, a naive time, or a text
    that is too long.
    """
    table = "resource_metrics"
    allowed = frozenset(customers)

    def encode(series: Series) -> bytes:
        if series.customer_id not in allowed:
            why = "is not the tenant of this writer"
            raise _make_error(table, "customer_id", str(series.customer_id), why)
        return b"".join(
            (
                encode_count(9),
                encode_uuid(series.agent_id),
                encode_uuid(series.customer_id),
                _encode_string(table, "instance_id", series.instance_id),
                encode_text(series.resource_type.value),
                _encode_string(table, "metric_name", series.metric_name),
                _encode_string(table, "unit", series.unit),
                _encode_detail(table, "metadata", series.detail),
            )
        )

    columns = (
        "agent_id", "customer_id", "instance_id", "resource_type", "metric_name", "unit",
        "metadata", "metric_value", "timestamp",
    )  # fmt: skip
    return _copy(connection, table, columns, _Samples(table, "timestamp", encode).rows(samples))


def copy_agent_samples(
    connection: psycopg.Connection, samples: Iterable[Sample[AgentSeries]]
) -> int:
    """Write samples of agents' own metrics to agent_metrics; how many. Agents have no tenant."""
    table = "agent_metrics"

    def encode(series: AgentSeries) -> bytes:
        return b"".join(
            (
                encode_count(6),
                encode_uuid(series.agent_id),
                _encode_string(table, "metric_name", series.metric_name),
                encode_text(series.metric_type.value),
                _encode_detail(table, "tags", series.tags),
            )
        )

    columns = ("agent_id", "metric_name", "metric_type", "tags", "metric_value", "recorded_at")
    return _copy(connection, table, columns, _Samples(table, "recorded_at", encode).rows(samples))


def copy_quality_samples(
    connection: psycopg.Connection,
    samples: Iterable[QualitySample],
    *,
    customers: Collection[UUID],
) -> int:
    """Write the quality of answers to quality_metrics; how many. Only of these customers."""
    columns = (
        "agent_id", "customer_id", "request_id", "model_name", "model_version", "prompt_tokens",
        "completion_tokens", "latency_ms", "relevance_score", "coherence_score",
        "factuality_score", "toxicity_score", "overall_quality_score", "hallucination_detected",
        "timestamp",
    )  # fmt: skip
    allowed = frozenset(customers)
    count = encode_count(len(columns))
    rows = (count + _encode_quality(sample, allowed) for sample in samples)
    return _copy(connection, "quality_metrics", columns, rows)


def act_as_ingest(connection: psycopg.Connection) -> bool:
    """For this transaction only what the ingest role may; whether the schema has that role."""
    row = connection.execute(
        "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (INGEST_ROLE,)
    ).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(INGEST_ROLE)))
    return True


class _Samples:
    """Encodes samples; what a series repeats comes from a memory of bounded size.

    By identity, and the series is held so that its id stays its own: hashing it for each row would
    take longer than the row itself. A series made anew for each row is right, only slower.
    """

    def __init__(self, table: str, time_column: str, encode: Any) -> None:
        self._table = table
        self._time_column = time_column
        self._encode = encode

    def rows(self, samples: Iterable[Sample[S]]) -> Iterator[bytes]:
        known: dict[int, tuple[S, bytes]] = {}
        pack, is_finite = _SAMPLE.pack, math.isfinite
        for series, at, value in samples:
            found = known.get(id(series))
            if found is None:
                if len(known) >= MAX_SERIES:
                    known.clear()
                found = known[id(series)] = series, self._encode(series)
            if not is_finite(value):
                raise _make_error(self._table, "metric_value", value, "is not finite")
            if at.tzinfo is None:
                raise _make_error(self._table, self._time_column, at, "has no time zone")
            yield found[1] + pack(8, value, 8, count_microseconds(at))


def _copy(
    connection: psycopg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[bytes]
) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    num_rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        while batch := list(islice(rows, _BATCH_ROWS)):
            copy.write(b"".join(batch))
            num_rows += len(batch)
        copy.write(TRAILER)
    return num_rows


def _encode_quality(sample: QualitySample, allowed: frozenset[UUID]) -> bytes:
    table = "quality_metrics"
    if sample.customer_id not in allowed:
        why = "is not the tenant of this writer"
        raise _make_error(table, "customer_id", str(sample.customer_id), why)
    if sample.at.tzinfo is None:
        raise _make_error(table, "timestamp", sample.at, "has no time zone")
    measures = {
        "latency_ms": None if sample.latency_s is None else sample.latency_s * 1_000.0,
        "relevance_score": sample.relevance_score,
        "coherence_score": sample.coherence_score,
        "factuality_score": sample.factuality_score,
        "toxicity_score": sample.toxicity_score,
        "overall_quality_score": sample.overall_quality_score,
    }
    for column, value in measures.items():
        if value is not None and not math.isfinite(value):
            raise _make_error(table, column, value, "is not finite")
    return b"".join(
        (
            encode_uuid(sample.agent_id),
            encode_uuid(sample.customer_id),
            _encode_string(table, "request_id", sample.request_id),
            _encode_string(table, "model_name", sample.model_name),
            _encode_string(table, "model_version", sample.model_version),
            encode_integer(sample.prompt_tokens),
            encode_integer(sample.completion_tokens),
            *map(encode_double, measures.values()),
            encode_boolean(sample.is_hallucination_detected),
            encode_time(sample.at),
        )
    )


def _encode_string(table: str, column: str, value: str) -> bytes:
    type_ = Base.metadata.tables[table].columns[column].type
    if isinstance(type_, String) and type_.length is not None and len(value) > type_.length:
        shown = f"{value[:40]}…"
        raise _make_error(table, column, shown, f"is longer than {type_.length} characters")
    if "\0" in value:
        raise _make_error(table, column, value, "holds a NUL byte")
    return encode_text(value)


def _encode_detail(table: str, column: str, value: Mapping[str, Any]) -> bytes:
    encoded = encode_json(value)
    if len(encoded) > MAX_JSON_BYTES:
        raise _make_error(table, column, "JSON", f"is larger than {MAX_JSON_BYTES} bytes")
    if b"\\u0000" in encoded:
        raise _make_error(table, column, "JSON", "holds a NUL byte")
    return encoded


def _make_error(table: str, column: str, value: object, why: str) -> ConstraintError:
    shown = str(value)
    return ConstraintError(
        f"{table}.{column} {shown!r} {why}.",
        remedy="Nothing was written; correct the row and send all of them again.",
        table=table,
        column=column,
        value=shown,
    )
