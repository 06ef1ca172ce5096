"""The quality of many answers at once into quality_metrics, by binary COPY (see bulk.py)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from optiinfra.database.checked_rows import check_values
from optiinfra.database.copy_encoding import (
    encode_boolean,
    encode_count,
    encode_double,
    encode_integer,
    encode_text,
    encode_time,
    encode_uuid,
)
from optiinfra.database.copy_rows import copy_rows, draw_id_words, make_error
from optiinfra.database.models import QualityMetric

TABLE: Final = "quality_metrics"
COLUMNS: Final = (
    "id", "agent_id", "customer_id", "request_id", "model_name", "model_version", "prompt_tokens",
    "completion_tokens", "latency_ms", "relevance_score", "coherence_score",
    "factuality_score", "toxicity_score", "overall_quality_score", "hallucination_detected",
    "timestamp",
)  # fmt: skip
TEXTS: Final = COLUMNS[3:6]
COUNTS: Final = COLUMNS[6:8]
MEASURES: Final = COLUMNS[8:14]
_ID: Final = struct.Struct(">iQQ")


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


def copy_quality_samples(
    connection: psycopg.Connection,
    samples: Iterable[QualitySample],
    *,
    customers: Collection[UUID],
) -> int:
    """Write the quality of answers; how many. Only of these customers.

    Raises ConstraintError for a row of another, a number that is not finite, a naive time, or a
    text that is too long.
    """
    allowed = frozenset(customers)
    return copy_rows(connection, TABLE, COLUMNS, _encode_all(samples, allowed))


def _encode_all(samples: Iterable[QualitySample], allowed: frozenset[UUID]) -> Iterator[bytes]:
    count = encode_count(len(COLUMNS))
    high, low = draw_id_words()
    for sample in samples:
        yield count + _ID.pack(16, high, low) + _encode(sample, allowed)
        low += 1


def _encode(sample: QualitySample, allowed: frozenset[UUID]) -> bytes:
    if sample.customer_id not in allowed:
        why = "is not the tenant of this writer"
        raise make_error(TABLE, "customer_id", str(sample.customer_id), why)
    latency_s = sample.latency_s
    values: dict[str, Any] = {
        "request_id": sample.request_id,
        "model_name": sample.model_name,
        "model_version": sample.model_version,
        "prompt_tokens": sample.prompt_tokens,
        "completion_tokens": sample.completion_tokens,
        "latency_ms": None if latency_s is None else latency_s * 1_000.0,
        "relevance_score": sample.relevance_score,
        "coherence_score": sample.coherence_score,
        "factuality_score": sample.factuality_score,
        "toxicity_score": sample.toxicity_score,
        "overall_quality_score": sample.overall_quality_score,
        "timestamp": sample.at,
    }
    check_values(QualityMetric, values)
    return b"".join(
        (
            encode_uuid(sample.agent_id),
            encode_uuid(sample.customer_id),
            *(encode_text(values[name]) for name in TEXTS),
            *(encode_integer(values[name]) for name in COUNTS),
            *(encode_double(values[name]) for name in MEASURES),
            encode_boolean(sample.is_hallucination_detected),
            encode_time(sample.at),
        )
    )
