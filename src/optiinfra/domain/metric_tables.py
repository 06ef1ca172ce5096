"""The tables of series in the metric store: their columns, how long they are kept, rows for them.

A dimension tells series apart and lies in the key of every rollup; a measure is aggregated; a
detail is kept with the raw row only. Names and units of the four `_ts` tables are those of the
specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.errors import InputError

MAX_TEXT_LENGTH = 4096  # characters of a dimension or detail
MAX_MAGNITUDE = 1e15  # of a measure, so that sums of 10^14 rows stay exact
MAX_ROWS = 500_000  # of one batch: one block of an insert


class MetricTable(StrEnum):
    """Where a series lies."""

    COST = "cost_metrics_ts"
    PERFORMANCE = "performance_metrics_ts"
    RESOURCE = "resource_metrics_ts"
    QUALITY = "quality_metrics_ts"
    SAMPLES = "metric_samples_ts"  # every collected sample under its own name; ours


class ColumnKind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    FLAG = "flag"  # 0 or 1
    INDEX = "index"  # a whole number from -1 (none) up
    NUMBER = "number"  # a finite double, NaN where it was not measured
    COUNT = "count"  # a whole number from 0 up, NaN where it was not measured


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Columns of one table after `timestamp` and `customer_id`, by role, in order."""

    table: MetricTable
    kept: timedelta  # of raw rows; hours are kept 400 days and days 1830
    dimensions: Mapping[str, ColumnKind]
    measures: Mapping[str, ColumnKind]
    details: Mapping[str, ColumnKind]
    sketched: frozenset[str]  # measures whose quantiles the rollups hold
    summarized_by: frozenset[str]  # dimensions that the summaries, coarser rollups, still hold

    @property
    def columns(self) -> Mapping[str, ColumnKind]:
        """All of them with their kinds."""
        return {**self.dimensions, **self.details, **self.measures}


_TEXT, _FLAG, _INDEX = ColumnKind.TEXT, ColumnKind.FLAG, ColumnKind.INDEX
_NUMBER, _COUNT = ColumnKind.NUMBER, ColumnKind.COUNT

SCHEMAS: Mapping[MetricTable, TableSchema] = {
    schema.table: schema
    for schema in (
        TableSchema(
            table=MetricTable.COST,
            kept=timedelta(days=90),
            dimensions={
                "cloud_provider": _TEXT,
                "service_name": _TEXT,
                "instance_id": _TEXT,
                "instance_type": _TEXT,
                "region": _TEXT,
                "is_spot": _FLAG,
                "is_reserved": _FLAG,
            },
            measures={"cost_per_hour": _NUMBER, "utilization_percent": _NUMBER},
            details={},
            sketched=frozenset({"utilization_percent"}),
            summarized_by=frozenset(
                {
                    "cloud_provider",
                    "service_name",
                    "instance_type",
                    "region",
                    "is_spot",
                    "is_reserved",
                }
            ),
        ),
        TableSchema(
            table=MetricTable.PERFORMANCE,
            kept=timedelta(days=30),
            dimensions={"service_id": _TEXT, "service_type": _TEXT, "model_name": _TEXT},
            measures={
                "latency_ms": _NUMBER,
                "throughput_tokens_per_sec": _NUMBER,
                "gpu_utilization": _NUMBER,
                "kv_cache_utilization": _NUMBER,
                "batch_size": _COUNT,
                "prompt_tokens": _COUNT,
                "completion_tokens": _COUNT,
                "total_tokens": _COUNT,
            },
            details={"request_id": _TEXT},
            sketched=frozenset({"latency_ms", "throughput_tokens_per_sec"}),
            summarized_by=frozenset({"model_name"}),
        ),
        TableSchema(
            table=MetricTable.RESOURCE,
            kept=timedelta(days=90),
            dimensions={"instance_id": _TEXT, "instance_type": _TEXT, "gpu_index": _INDEX},
            measures={
                "gpu_utilization": _NUMBER,
                "gpu_memory_used_mb": _NUMBER,
                "gpu_memory_total_mb": _NUMBER,
                "gpu_temperature": _NUMBER,
                "cpu_utilization": _NUMBER,
                "memory_used_gb": _NUMBER,
                "memory_total_gb": _NUMBER,
                "network_rx_mbps": _NUMBER,
                "network_tx_mbps": _NUMBER,
            },
            details={},
            sketched=frozenset({"gpu_utilization"}),
            summarized_by=frozenset({"instance_type"}),
        ),
        TableSchema(
            table=MetricTable.QUALITY,
            kept=timedelta(days=30),
            dimensions={"service_id": _TEXT, "model_name": _TEXT},
            measures={
                "relevance": _NUMBER,
                "coherence": _NUMBER,
                "factuality": _NUMBER,
                "hallucination_detected": _COUNT,
                "toxicity": _NUMBER,
                "overall_quality_score": _NUMBER,
                "latency_ms": _NUMBER,
            },
            details={"request_id": _TEXT, "prompt_hash": _TEXT},
            sketched=frozenset({"overall_quality_score", "latency_ms"}),
            summarized_by=frozenset({"model_name"}),
        ),
        TableSchema(
            table=MetricTable.SAMPLES,
            kept=timedelta(days=30),
            dimensions={
                "metric": _TEXT,
                "kind": _TEXT,
                "deployment_id": _TEXT,
                "instance_id": _TEXT,
                "target": _TEXT,
                "labels": _TEXT,
            },
            measures={"value": _NUMBER},
            details={},
            sketched=frozenset({"value"}),
            summarized_by=frozenset({"metric", "kind", "deployment_id"}),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class MetricRows:
    """Rows of one table: columns of one length, checked.

    `timestamp` (n,) is of unit ms, UTC; `customers` (n,) points into `customer_ids`. A
    text column is a pair of its different values and (n,) places in them; any other is (n,)
    numbers. A column left out is "" or -1 or 0 for a dimension or detail and not measured for a
    measure.
    """

    table: MetricTable
    timestamp: NDArray[np.datetime64]
    customer_ids: tuple[UUID, ...]
    customers: NDArray[np.int32]
    texts: Mapping[str, tuple[Sequence[str], NDArray[np.int32]]]
    numbers: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        schema = SCHEMAS[self.table]
        size = len(self.timestamp)
        if size > MAX_ROWS:
            raise _refuse(
                self.table, f"{size} rows are more than {MAX_ROWS}", "Send fewer at once."
            )
        _check_places(self.table, "customer_id", self.customers, len(self.customer_ids), size)
        for name, (values, places) in self.texts.items():
            if schema.columns.get(name) is not ColumnKind.TEXT:
                raise _refuse(self.table, f"`{name}` is no column of text", "Leave it out.")
            _check_places(self.table, name, places, len(values), size)
            if any(len(value) > MAX_TEXT_LENGTH or "\0" in value for value in values):
                raise _refuse(
                    self.table,
                    f"a text in `{name}` is longer than {MAX_TEXT_LENGTH} or holds a NUL",
                    "Shorten it.",
                )
        for name, numbers in self.numbers.items():
            kind = schema.columns.get(name)
            if kind is None or kind is ColumnKind.TEXT:
                raise _refuse(self.table, f"`{name}` is no column of numbers", "Leave it out.")
            if len(numbers) != size:
                raise _refuse(self.table, f"`{name}` has {len(numbers)} rows of {size}", "Fill it.")
            _check_numbers(self.table, name, kind, numbers)

    def __len__(self) -> int:
        return len(self.timestamp)


def make_rows(
    table: MetricTable,
    *,
    timestamp: Sequence[int] | NDArray[np.int64] | NDArray[np.datetime64],
    customer_id: UUID | Sequence[UUID],
    columns: Mapping[str, Any],
) -> MetricRows:
    """Rows from plain columns: texts, flags and numbers, None where a measure was not measured.

    `timestamp` is Unix milliseconds, or datetime64, in UTC.
    """
    size = len(timestamp)
    customers = [customer_id] * size if isinstance(customer_id, UUID) else list(customer_id)
    different = tuple(dict.fromkeys(customers))
    places = {customer: place for place, customer in enumerate(different)}
    texts: dict[str, tuple[Sequence[str], NDArray[np.int32]]] = {}
    numbers: dict[str, NDArray[np.float64]] = {}
    for name, column in columns.items():
        if SCHEMAS[table].columns.get(name) is ColumnKind.TEXT:
            values = [column] * size if isinstance(column, str) else list(column)
            texts[name] = _encode(values)
        else:
            plain = np.asarray(column, dtype=np.float64)  # None becomes NaN
            numbers[name] = np.broadcast_to(plain, size) if plain.ndim == 0 else plain
    return MetricRows(
        table=table,
        timestamp=np.asarray(timestamp).astype("datetime64[ms]"),
        customer_ids=different,
        customers=np.array([places[customer] for customer in customers], dtype=np.int32),
        texts=texts,
        numbers=numbers,
    )


def _encode(values: Sequence[str]) -> tuple[Sequence[str], NDArray[np.int32]]:
    different = list(dict.fromkeys(values))
    places = {value: place for place, value in enumerate(different)}
    return different, np.array([places[value] for value in values], dtype=np.int32)


def _check_places(
    table: MetricTable, name: str, places: NDArray[np.int32], num_values: int, size: int
) -> None:
    if len(places) != size:
        raise _refuse(table, f"`{name}` has {len(places)} rows of {size}", "Fill it.")
    if size and not 0 <= places.min() <= places.max() < num_values:
        raise _refuse(table, f"`{name}` points outside its values", "Point inside.")


def _check_numbers(
    table: MetricTable, name: str, kind: ColumnKind, numbers: NDArray[np.float64]
) -> None:
    is_known = ~np.isnan(numbers)
    known = numbers if is_known.all() else numbers[is_known]
    if kind in {ColumnKind.FLAG, ColumnKind.INDEX} and len(known) != len(numbers):
        raise _refuse(table, f"`{name}` is part of the key and lacks a value", "Fill it.")
    if not len(known):
        return
    least, most = float(known.min()), float(known.max())
    bounds = {
        ColumnKind.FLAG: (0.0, 1.0),
        ColumnKind.INDEX: (-1.0, 32767.0),
        ColumnKind.COUNT: (0.0, MAX_MAGNITUDE),
        ColumnKind.NUMBER: (-MAX_MAGNITUDE, MAX_MAGNITUDE),
    }[kind]
    if least < bounds[0] or most > bounds[1]:
        raise _refuse(
            table,
            f"`{name}` holds {least:g} to {most:g}, outside {bounds[0]:g} to {bounds[1]:g}",
            "Leave the value out, or convert its unit.",
        )
    if kind is not ColumnKind.NUMBER and bool((known != np.floor(known)).any()):
        raise _refuse(table, f"`{name}` holds a fraction", "Give whole numbers.")


def _refuse(table: MetricTable, problem: str, remedy: str) -> InputError:
    return InputError(f"Rows of {table.value} cannot be kept: {problem}.", remedy=remedy)
