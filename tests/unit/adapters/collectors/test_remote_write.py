"""Prometheus' remote write: what it sends, and what else can come."""

from __future__ import annotations

import random
import struct
from uuid import UUID

import cramjam
import numpy as np
import pytest

from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.receivers import Receiver, make_remote_write_receiver
from optiinfra.adapters.collectors.refusals import Refusal, RefusedError
from optiinfra.adapters.collectors.remote_write import (
    MAX_BYTES,
    decode_remote_write,
    get_request_class,
)
from optiinfra.domain.samples import SampleBatch

CUSTOMER = UUID(int=9)
NOW_MS = 1_700_000_000_000
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
Row = tuple[dict[str, str], list[tuple[int, float]]]


def compress(content: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(content))


def encode(*rows: Row) -> bytes:
    request = get_request_class()()
    for labels, points in rows:
        series = request.timeseries.add()
        for name, value in labels.items():
            series.labels.add(name=name, value=value)
        for milliseconds, number in points:
            series.samples.add(timestamp=milliseconds, value=number)
    return compress(request.SerializeToString())


def make_row(name: str, *points: tuple[int, float], **labels: str) -> Row:
    named = {"__name__": name, "job": "vllm", "instance": "h:8000", **labels}
    return named, [(NOW_MS + later_ms, value) for later_ms, value in points]


def receive(receiver: Receiver, *rows: Row) -> SampleBatch:
    return receiver.receive(encode(*rows), HEADERS, (NOW_MS + 60_000) * 10**6)


def list_points(batch: SampleBatch, metric: str) -> list[tuple[int, float]]:
    return [
        (int(at) // 10**6 - NOW_MS, float(value))
        for place, at, value in zip(
            batch.series_index, batch.timestamp_ns, batch.value, strict=True
        )
        if batch.series[place].metric == metric
    ]


def test_the_wire_by_hand() -> None:
    """Bytes put together after remote.proto and types.proto, and not by the class under test."""
    label = b"\x0a\x08__name__\x12\x01a"
    sample = b"\x09" + struct.pack("<d", 2.5) + b"\x10" + b"\xe8\x07"  # 1000 as a varint
    series = b"\x0a" + bytes([len(label)]) + label + b"\x12" + bytes([len(sample)]) + sample
    metadata = b"\x1a\x02\x08\x01"  # field 3 is left out
    body = compress(b"\x0a" + bytes([len(series)]) + series + metadata)
    (found,) = decode_remote_write(body, HEADERS)
    assert (found.name, found.labels) == ("a", ())
    assert found.timestamp_ns.tolist() == [1_000_000_000]
    assert found.value.tolist() == [2.5]


def test_levels_counters_and_rates() -> None:
    batch = receive(
        make_remote_write_receiver(CUSTOMER),
        make_row("vllm:num_requests_running", (0, 3), (15_000, 4), model_name="m"),
        make_row("vllm:generation_tokens_total", (0, 100), (15_000, 400)),
    )
    assert list_points(batch, "num_requests_running") == [(0, 3), (15_000, 4)]
    assert list_points(batch, "output_tokens_per_s") == [(15_000, 20)]
    series = next(s for s in batch.series if s.metric == "num_requests_running")
    assert (series.customer_id, series.target) == (CUSTOMER, "remote-write/vllm/h:8000")
    assert series.labels == (("engine_kind", "vllm"), ("model_name", "m"))


def test_rates_and_quantiles_go_on_over_requests() -> None:
    receiver = make_remote_write_receiver(CUSTOMER)
    name = "vllm:time_to_first_token_seconds"
    for at_ms, count in ((0, 0.0), (15_000, 10.0)):
        batch = receive(
            receiver,
            make_row(f"{name}_bucket", (at_ms, count / 2), le="0.1"),
            make_row(f"{name}_bucket", (at_ms, count), le="0.3"),
            make_row(f"{name}_bucket", (at_ms, count), le="+Inf"),
            make_row(f"{name}_count", (at_ms, count)),
            make_row(f"{name}_sum", (at_ms, count * 0.15)),
        )
    assert list_points(batch, "ttft_s_mean")[0] == pytest.approx((15_000, 0.15))
    assert list_points(batch, "ttft_s_p50")[0] == pytest.approx((15_000, 0.1))
    assert list_points(batch, "ttft_s_p95_high") == [(15_000, 0.3)]


def test_each_instance_is_a_target_of_its_own() -> None:
    row = make_row("tgi_queue_size", (0, 1))
    other = {**row[0], "instance": "h:8001", "deployment_id": "chat", "instance_id": "i-2"}
    batch = receive(make_remote_write_receiver(CUSTOMER), row, (other, row[1]))
    found = {(s.target, s.deployment_id, s.instance_id) for s in batch.series}
    assert found == {
        ("remote-write/vllm/h:8000", "", ""),
        ("remote-write/vllm/h:8001", "chat", "i-2"),
    }


def test_what_is_too_old_to_be_kept_is_left_out_and_counted() -> None:
    receiver = make_remote_write_receiver(CUSTOMER)
    year_ms = 399 * 86_400_000
    batch = receive(receiver, make_row("vllm:num_requests_running", (-year_ms, 1.0), (0, 2.0)))
    assert list_points(batch, "num_requests_running") == [(0, 2.0)]
    assert receiver.series.problems == {ReadingProblem.TIMESTAMP_OLD: 1}


def test_the_end_of_a_series_is_no_value_and_what_is_ahead_is_counted() -> None:
    stale = np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0]
    receiver = make_remote_write_receiver(CUSTOMER)
    year_ms = 365 * 86_400_000
    batch = receive(receiver, make_row("tgi_queue_size", (0, 1), (15_000, stale), (year_ms, 2)))
    assert list_points(batch, "num_requests_waiting") == [(0, 1)]
    assert receiver.series.problems == {ReadingProblem.TIMESTAMP_AHEAD: 1}


def test_the_same_request_again_gives_the_same_samples() -> None:
    receiver = make_remote_write_receiver(CUSTOMER)
    row = make_row("vllm:generation_tokens_total", (0, 100), (15_000, 400))
    assert list_points(receive(receiver, row), "output_tokens_total") == [(0, 100), (15_000, 400)]
    again = receive(receiver, row)
    assert list_points(again, "output_tokens_total") == [(0, 100), (15_000, 400)]
    assert list_points(again, "output_tokens_per_s") == []


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"Content-Type": "application/json"}, Refusal.UNSUPPORTED_TYPE),
        (
            {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            Refusal.UNSUPPORTED_TYPE,
        ),
        ({"Content-Encoding": "gzip"}, Refusal.UNSUPPORTED_TYPE),
        ({"X-Prometheus-Remote-Write-Version": "2.0.0"}, Refusal.UNSUPPORTED_TYPE),
    ],
)
def test_what_is_not_of_this_kind(changed: dict[str, str], refusal: Refusal) -> None:
    with pytest.raises(RefusedError) as caught:
        decode_remote_write(encode(), HEADERS | changed)
    assert caught.value.refusal == refusal


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", Refusal.BAD_CONTENT),
        (b"not snappy", Refusal.BAD_CONTENT),
        (compress(b"\x0a\xff\xff\xff\xff\x0f"), Refusal.BAD_CONTENT),
        (compress(bytes(MAX_BYTES + 1)), Refusal.TOO_LARGE),
        (b"\xff\xff\xff\xff\x0f" + b"\0", Refusal.TOO_LARGE),
        (encode(({"job": "x"}, [(0, 1.0)])), Refusal.BAD_CONTENT),
        (encode(({"__name__": "a"}, [(2**62, 1.0)])), Refusal.BAD_CONTENT),
    ],
)
def test_what_is_not_what_it_says(body: bytes, refusal: Refusal) -> None:
    with pytest.raises(RefusedError) as caught:
        decode_remote_write(body, HEADERS)
    assert caught.value.refusal == refusal


def test_changed_bytes_are_decoded_or_refused() -> None:
    rng = random.Random(1)
    body = encode(make_row("tgi_queue_size", (0, 1), (1, 2), model="m"))
    for _ in range(500):
        changed = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            decode_remote_write(bytes(changed), HEADERS)
        except RefusedError as error:
            assert error.refusal in Refusal  # noqa: PT017  any of them will do
