"""Collected samples as rows: each under its own name, and some as columns of a wider table.

The wide tables get one row a replica (performance) or GPU or instance (resource) and instant.
Token counts of performance rows are not filled from samples: a counter that grows says nothing of
one instant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.metric_tables import (
    MAX_MAGNITUDE,
    MAX_ROWS,
    MAX_TEXT_LENGTH,
    MetricRows,
    MetricTable,
)
from optiinfra.domain.samples import SampleBatch, SampleKind, Series

T = TypeVar("T")
_NS_PER_MS = 1_000_000
# Canonical name -> column and the factor from base units to the column's.
PERFORMANCE_COLUMNS: Mapping[str, tuple[str, float]] = {
    "e2e_s_mean": ("latency_ms", 1e3),
    "output_tokens_per_s": ("throughput_tokens_per_sec", 1.0),
    "kv_cache_usage_ratio": ("kv_cache_utilization", 1.0),
    "num_requests_running": ("batch_size", 1.0),
}
RESOURCE_COLUMNS: Mapping[str, tuple[str, float]] = {
    "gpu_utilization_ratio": ("gpu_utilization", 100.0),
    "gpu_memory_used_bytes": ("gpu_memory_used_mb", 1e-6),
    "gpu_memory_total_bytes": ("gpu_memory_total_mb", 1e-6),
    "gpu_temperature_celsius": ("gpu_temperature", 1.0),
    "cpu_utilization_ratio": ("cpu_utilization", 100.0),
    "memory_used_bytes": ("memory_used_gb", 1e-9),
    "memory_total_bytes": ("memory_total_gb", 1e-9),
    "network_rx_bytes_per_s": ("network_rx_mbps", 8e-6),
    "network_tx_bytes_per_s": ("network_tx_mbps", 8e-6),
}


@dataclass(frozen=True, slots=True)
class ConvertedSamples:
    """Rows of one batch, and how many samples were left out, by reason."""

    rows: tuple[MetricRows, ...]
    num_buckets: int  # of histograms: their quantiles are samples of their own
    num_too_large: int  # beyond 10^15
    num_too_long: int  # a name, a target or labels longer than a column takes


def convert_samples(batch: SampleBatch) -> ConvertedSamples:
    """Rows for the metric store. Never raises for a sample that cannot be kept: it is counted."""
    is_bucket = np.array([series.kind is SampleKind.BUCKET for series in batch.series], dtype=bool)
    is_long = np.array([_is_too_long(series) for series in batch.series], dtype=bool)
    bucket, long = (flags[batch.series_index] for flags in (is_bucket, is_long))
    large = np.abs(batch.value) > MAX_MAGNITUDE
    kept = ~(bucket | long | large)
    indices = np.flatnonzero(kept)
    rows: list[MetricRows] = []
    for start in range(0, len(indices), MAX_ROWS):
        part = _take(batch, indices[start : start + MAX_ROWS])
        rows.append(_make_sample_rows(part))
        rows += _make_wide_rows(
            MetricTable.PERFORMANCE, part, PERFORMANCE_COLUMNS, _describe_replica
        )
        rows += _make_wide_rows(MetricTable.RESOURCE, part, RESOURCE_COLUMNS, _describe_device)
    return ConvertedSamples(
        rows=tuple(rows),
        num_buckets=int(bucket.sum()),
        num_too_large=int((large & ~bucket).sum()),
        num_too_long=int((long & ~bucket & ~large).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples that can be kept, and the series that they are of."""

    series: list[Series]
    places: NDArray[np.intp]
    milliseconds: NDArray[np.int64]
    value: NDArray[np.float64]


def _take(batch: SampleBatch, indices: NDArray[np.intp]) -> _Part:
    used, places = np.unique(batch.series_index[indices], return_inverse=True)
    return _Part(
        series=[batch.series[place] for place in used],
        places=places.reshape(-1),
        milliseconds=batch.timestamp_ns[indices] // _NS_PER_MS,
        value=batch.value[indices],
    )


@dataclass(frozen=True, slots=True)
class _Thing:
    """What a row of a wide table is about."""

    customer_id: UUID
    source: str  # keeps the replicas of one deployment apart
    texts: tuple[tuple[str, str], ...]
    gpu_index: int = -1


def _describe_replica(series: Series) -> _Thing:
    return _Thing(
        series.customer_id,
        series.target,
        (
            ("service_id", series.deployment_id),
            ("service_type", series.find_label("engine_kind") or ""),
            ("model_name", series.find_label("model_name") or ""),
        ),
    )


def _describe_device(series: Series) -> _Thing:
    label = series.find_label("gpu") or ""
    index = int(label) if label.isascii() and label.isdigit() and len(label) < 5 else -1  # noqa: PLR2004 - Int16
    return _Thing(
        series.customer_id,
        "",
        (
            ("instance_id", series.instance_id),
            ("instance_type", series.find_label("instance_type") or ""),
        ),
        index,
    )


def _make_sample_rows(part: _Part) -> MetricRows:
    customers, customer_of = _encode([each.customer_id for each in part.series])
    texts = {
        "metric": [each.metric for each in part.series],
        "kind": [each.kind.value for each in part.series],
        "deployment_id": [each.deployment_id for each in part.series],
        "instance_id": [each.instance_id for each in part.series],
        "target": [each.target for each in part.series],
        "labels": [_write_labels(each.labels) for each in part.series],
    }
    encoded = {name: _encode(values) for name, values in texts.items()}
    return MetricRows(
        table=MetricTable.SAMPLES,
        timestamp=part.milliseconds.astype("datetime64[ms]"),
        customer_ids=customers,
        customers=customer_of[part.places],
        texts={name: (values, of[part.places]) for name, (values, of) in encoded.items()},
        numbers={"value": part.value},
    )


def _make_wide_rows(
    table: MetricTable,
    part: _Part,
    columns: Mapping[str, tuple[str, float]],
    describe: Callable[[Series], _Thing],
) -> list[MetricRows]:
    """One row a thing and instant; of two values of one column the later in the batch holds."""
    used = [place for place, each in enumerate(part.series) if each.metric in columns]
    if not used:
        return []
    things, thing_of_used = _encode([describe(part.series[place]) for place in used])
    thing_of = np.full(len(part.series), -1, dtype=np.int64)
    thing_of[used] = thing_of_used
    taken = thing_of[part.places] >= 0
    places, value = part.places[taken], part.value[taken]
    keys = np.stack([thing_of[places], part.milliseconds[taken]])
    rows, row_of = np.unique(keys, axis=1, return_inverse=True)
    row_of = row_of.reshape(-1)
    numbers: dict[str, NDArray[np.float64]] = {}
    for metric, (column, factor) in columns.items():
        is_metric = np.array([each.metric == metric for each in part.series])[places]
        if is_metric.any():
            numbers[column] = np.full(rows.shape[1], np.nan)
            numbers[column][row_of[is_metric]] = value[is_metric] * factor
    if "batch_size" in numbers:  # a whole number in the specification
        np.round(np.maximum(numbers["batch_size"], 0), out=numbers["batch_size"])
    if table is MetricTable.RESOURCE:
        indices = np.array([thing.gpu_index for thing in things], dtype=np.float64)
        numbers["gpu_index"] = indices[rows[0]]
    customers, customer_of = _encode([thing.customer_id for thing in things])
    texts = {
        name: _encode([dict(thing.texts)[name] for thing in things])
        for name, _text in things[0].texts
    }
    return [
        MetricRows(
            table=table,
            timestamp=rows[1].astype("datetime64[ms]"),
            customer_ids=customers,
            customers=customer_of[rows[0]],
            texts={name: (values, of[rows[0]]) for name, (values, of) in texts.items()},
            numbers=numbers,
        )
    ]


def _encode(values: list[T]) -> tuple[tuple[T, ...], NDArray[np.int32]]:
    """The different values, and the place of each among them."""
    places: dict[T, int] = {}
    found = np.array([places.setdefault(value, len(places)) for value in values], dtype=np.int32)
    return tuple(places), found


def _is_too_long(series: Series) -> bool:
    texts = (series.metric, series.target, series.deployment_id, series.instance_id)
    return any(len(text) > MAX_TEXT_LENGTH or "\0" in text for text in texts) or (
        len(_write_labels(series.labels)) > MAX_TEXT_LENGTH
        or any("\0" in value for _name, value in series.labels)
    )


@lru_cache(maxsize=65_536)
def _write_labels(labels: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(labels), separators=(",", ":"), ensure_ascii=False) if labels else ""
