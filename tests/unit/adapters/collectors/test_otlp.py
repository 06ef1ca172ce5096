"""OTLP metrics with the names of OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from optiinfra.adapters.collectors.otlp import MAX_BYTES, OtlpDecoder, OtlpProblem
from optiinfra.adapters.collectors.receivers import make_otlp_receiver
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError

CUSTOMER = UUID(int=9)
NOW_NS = 1_700_000_000 * 10**9
DELTA, CUMULATIVE = 1, 2
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def make_request(*metrics: Any) -> Any:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in (("service.name", "gateway"), ("service.instance.id", "i-1")):
        resource.resource.attributes.add(key=key).value.string_value = value
    for fill in metrics:
        fill(resource.scope_metrics.add().metrics.add())
    return request


def ttft(at_s: int, counts: list[int], total_s: float, *, temporality: int, unit: str = "s") -> Any:
    def fill(metric: Any) -> None:
        metric.name, metric.unit = "gen_ai.server.time_to_first_token", unit
        metric.histogram.aggregation_temporality = temporality
        point = metric.histogram.data_points.add(
            time_unix_nano=NOW_NS + at_s * 10**9, count=sum(counts), sum=total_s
        )
        point.explicit_bounds.extend([0.1, 0.3] if unit == "s" else [100.0, 300.0])
        point.bucket_counts.extend(counts)
        point.attributes.add(key="gen_ai.request.model").value.string_value = "m"

    return fill


def receive_twice(first: Any, second: Any) -> dict[str, float]:
    receiver = make_otlp_receiver(CUSTOMER)
    for request in (first, second):
        batch = receiver.receive(request.SerializeToString(), PROTOBUF, NOW_NS + 60 * 10**9)
    assert {series.target for series in batch.series} == {"otlp/gateway/i-1"}
    return {
        batch.series[place].metric: float(value)
        for place, value in zip(batch.series_index, batch.value, strict=True)
    }


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_a_histogram(temporality: int, unit: str) -> None:
    scale = 1 if unit == "s" else 1000
    before = [1, 1, 0]
    grown = [5, 5, 0]
    after = grown if temporality == DELTA else [b + g for b, g in zip(before, grown, strict=True)]
    total = 1.5 if temporality == DELTA else 1.8
    values = receive_twice(
        make_request(ttft(0, before, 0.3 * scale, temporality=temporality, unit=unit)),
        make_request(ttft(15, after, total * scale, temporality=temporality, unit=unit)),
    )
    assert values["ttft_s_count_total"] == 12
    assert values["ttft_s_sum_total"] == pytest.approx(1.8)
    assert values["ttft_s_mean"] == pytest.approx(0.15)
    assert values["ttft_s_p50"] == pytest.approx(0.1)
    assert values["ttft_s_p95_high"] == pytest.approx(0.3)


def test_labels_are_the_attributes() -> None:
    request = make_request(ttft(0, [1, 0, 0], 0.1, temporality=CUMULATIVE))
    batch = make_otlp_receiver(CUSTOMER).receive(request.SerializeToString(), PROTOBUF, NOW_NS)
    series = next(s for s in batch.series if s.metric == "ttft_s_count_total")
    assert series.labels == (("gen_ai_request_model", "m"),)


def test_levels_and_sums() -> None:
    def fill_level(metric: Any) -> None:
        metric.name, metric.unit = "hw.gpu.utilization", "1"
        metric.gauge.data_points.add(time_unix_nano=NOW_NS, as_double=0.5)

    def fill_sum(metric: Any) -> None:
        metric.name, metric.unit = "hw.gpu.io", "KiBy"
        metric.sum.aggregation_temporality = CUMULATIVE
        metric.sum.data_points.add(time_unix_nano=NOW_NS, as_int=3)

    request = make_request(fill_level, fill_sum)
    values = receive_twice(request, request)
    assert values["gpu_utilization_ratio"] == 0.5
    assert values["gpu_io_bytes_total"] == 3 * 1024


def test_what_is_left_out_is_counted() -> None:
    def fill_exponential(metric: Any) -> None:
        metric.name = "gen_ai.client.operation.duration"
        metric.exponential_histogram.data_points.add(count=1)

    def fill_empty(metric: Any) -> None:
        metric.name = "hw.gpu.utilization"
        metric.gauge.data_points.add(time_unix_nano=NOW_NS, flags=1)

    def fill_crooked(metric: Any) -> None:
        ttft(0, [1, 1, 1], 1.0, temporality=CUMULATIVE)(metric)
        metric.histogram.data_points[0].count = 7

    decoder = OtlpDecoder()
    request = make_request(fill_exponential, fill_empty, fill_crooked)
    series = decoder.decode(request.SerializeToString(), PROTOBUF)
    assert decoder.problems == {
        OtlpProblem.KIND: 1,
        OtlpProblem.NO_VALUE: 1,
        OtlpProblem.BUCKETS: 1,
    }
    assert [one.name.rpartition("_")[2] for one in series] == ["count", "sum"]


def test_json_and_gzip() -> None:
    body = json.dumps(
        {
            "resourceMetrics": [
                {
                    "scopeMetrics": [
                        {
                            "metrics": [
                                {
                                    "name": "hw.gpu.utilization",
                                    "gauge": {
                                        "dataPoints": [
                                            {"timeUnixNano": str(NOW_NS), "asDouble": 0.25}
                                        ]
                                    },
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    ).encode()
    headers = {"content-type": "application/json; charset=utf-8", "content-encoding": "gzip"}
    (series,) = OtlpDecoder().decode(gzip.compress(body, mtime=0), headers)
    assert (series.name, series.value.tolist()) == ("hw_gpu_utilization", [0.25])
    assert series.timestamp_ns.tolist() == [NOW_NS]


@pytest.mark.parametrize(
    ("body", "headers", "refusal"),
    [
        (b"", {"content-type": "text/plain"}, Refusal.UNSUPPORTED_TYPE),
        (b"", {"content-encoding": "br"}, Refusal.UNSUPPORTED_TYPE),
        (b"{", {"content-type": "application/json"}, Refusal.BAD_CONTENT),
        (b"[" * 10_000, {"content-type": "application/json"}, Refusal.BAD_CONTENT),
        (b"\xff" * 9, {}, Refusal.BAD_CONTENT),
        (b"\xff", {"content-encoding": "gzip"}, Refusal.BAD_CONTENT),
        (
            gzip.compress(bytes(100), mtime=0)[:-9],
            {"content-encoding": "gzip"},
            Refusal.BAD_CONTENT,
        ),
        (
            gzip.compress(bytes(2 * MAX_BYTES), mtime=0),
            {"content-encoding": "gzip"},
            Refusal.TOO_LARGE,
        ),
        (bytes(MAX_BYTES + 1), {}, Refusal.TOO_LARGE),
    ],
)
def test_what_is_refused(body: bytes, headers: dict[str, str], refusal: Refusal) -> None:
    with pytest.raises(RefusedError) as caught:
        OtlpDecoder().decode(body, headers)
    assert caught.value.refusal == refusal


def test_changed_bytes_are_decoded_or_refused() -> None:
    rng = random.Random(1)
    body = make_request(ttft(0, [1, 2, 3], 1.0, temporality=DELTA)).SerializeToString()
    for _ in range(500):
        changed = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            make_otlp_receiver(CUSTOMER).receive(bytes(changed), PROTOBUF, NOW_NS)
        except RefusedError as error:
            assert error.refusal in Refusal  # noqa: PT017  any of them will do
