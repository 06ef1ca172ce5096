"""Collected samples become rows of three tables; what cannot be kept is counted."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table
from optiinfra.adapters.ingestion.sample_rows import convert_samples
from optiinfra.domain.metric_tables import MetricTable
from optiinfra.domain.samples import EMPTY_BATCH, SampleBatch, SampleKind, Series

OURS, THEIRS = UUID(int=1), UUID(int=2)
AT_NS = 1_790_000_000_123_456_789


def make_series(metric: str, **changes: object) -> Series:
    fields: dict[str, object] = {
        "customer_id": OURS,
        "target": "http://a/metrics",
        "deployment_id": "chat",
        "instance_id": "i-1",
        "metric": metric,
        "kind": SampleKind.GAUGE,
        "labels": (("engine_kind", "vllm"), ("model_name", "m")),
    }
    return Series(**fields | changes)  # type: ignore[arg-type]


def make_batch(samples: list[tuple[Series, float]]) -> SampleBatch:
    return SampleBatch(
        tuple(series for series, _value in samples),
        np.arange(len(samples), dtype=np.int32),
        np.full(len(samples), AT_NS, dtype=np.int64),
        np.array([value for _series, value in samples]),
    )


def convert(samples: list[tuple[Series, float]]) -> dict[MetricTable, list[dict[str, object]]]:
    rows = convert_samples(make_batch(samples)).rows
    return {each.table: make_arrow_table(each).to_pylist() for each in rows}


def test_a_replica_is_one_row_and_each_sample_keeps_its_name() -> None:
    found = convert(
        [
            (make_series("e2e_s_mean", kind=SampleKind.DERIVED), 1.5),
            (make_series("kv_cache_usage_ratio"), 0.25),
            (make_series("kv_cache_usage_ratio", target="http://b/metrics"), 0.5),
            (make_series("kv_cache_usage_ratio", customer_id=THEIRS), 0.75),
        ]
    )
    performance = found[MetricTable.PERFORMANCE]
    assert [(row["latency_ms"], row["kv_cache_utilization"]) for row in performance] == [
        (1500.0, 0.25),
        (None, 0.5),
        (None, 0.75),
    ]
    assert [row["customer_id"] for row in performance] == [str(OURS), str(OURS), str(THEIRS)]
    assert {(r["service_id"], r["service_type"], r["model_name"]) for r in performance} == {
        ("chat", "vllm", "m")
    }
    samples = found[MetricTable.SAMPLES]
    assert [row["value"] for row in samples] == [1.5, 0.25, 0.5, 0.75]
    assert samples[0]["kind"] == "derived"
    assert samples[0]["labels"] == '{"engine_kind":"vllm","model_name":"m"}'
    assert MetricTable.RESOURCE not in found


def test_a_device_is_one_row_with_units_of_the_specification() -> None:
    gpu = (("gpu", "1"),)
    found = convert(
        [
            (make_series("gpu_utilization_ratio", labels=gpu), 0.5),
            (make_series("gpu_memory_used_bytes", labels=gpu), 8e10),
            (make_series("network_rx_bytes_per_s", labels=()), 1e6),
        ]
    )
    rows = {row["gpu_index"]: row for row in found[MetricTable.RESOURCE]}
    assert rows[1]["gpu_utilization"] == 50.0
    assert rows[1]["gpu_memory_used_mb"] == 80_000.0
    assert rows[1]["network_rx_mbps"] is None
    assert rows[-1]["network_rx_mbps"] == 8.0
    assert rows[-1]["gpu_utilization"] is None


def test_what_cannot_be_kept_is_counted_and_the_rest_is_kept() -> None:
    converted = convert_samples(
        make_batch(
            [
                (make_series("up"), 1.0),
                (make_series("ttft_s", kind=SampleKind.BUCKET), 1.0),
                (make_series("energy"), 1e16),
                (make_series("m", labels=(("a", "b" * 5000),)), 1.0),
            ]
        )
    )
    assert (converted.num_buckets, converted.num_too_large, converted.num_too_long) == (1, 1, 1)
    [rows] = converted.rows
    assert len(rows) == 1
    assert convert_samples(EMPTY_BATCH).rows == ()
