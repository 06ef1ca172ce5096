"""Measured runs of vLLM, request by request."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.traces import read_measured_requests
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import MeasuredRequests, compute_measurement

ROW = {
    "request_id": "bench-0",
    "input_toks": 100,
    "output_toks": 5,
    "arrival_time": 1777142838.3,
    "queued_ts": 10.0,
    "scheduled_ts": 10.5,
    "first_token_ts": 11.0,
    "last_token_ts": 13.0,
}
OTHER = ROW | {"queued_ts": 9.0, "output_toks": 1, "last_token_ts": 11.0}


def write(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_times_follow_the_sorted_trace(tmp_path: Path) -> None:
    measured = read_measured_requests(write(tmp_path, ROW, OTHER))
    assert measured.trace.output_tokens.tolist() == [1, 5]
    assert measured.trace.arrival_s.tolist() == [0.0, 1.0]
    assert measured.queue_s.tolist() == [1.5, 0.5]
    assert measured.ttft_s.tolist() == [2.0, 1.0]
    assert measured.e2e_s.tolist() == [2.0, 3.0]
    assert np.isnan(measured.tpot_s[0])
    assert measured.tpot_s[1] == 0.5


def test_measurement_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, ROW, OTHER)
    (tmp_path / "meta.json").write_text('{"vllm_version": "0.19.0", "model": "m/x"}')
    measurement = compute_measurement(read_measured_requests(tmp_path))
    assert measurement.ttft_s_mean == 1.5
    assert measurement.ttft_s_p50 == 1.5
    assert measurement.tpot_s_mean == measurement.tpot_s_p99 == 0.5
    assert measurement.e2e_s_mean == 2.5
    assert measurement.num_requests == 2
    assert measurement.rate_per_s == 1.0
    assert measurement.source == f"{tmp_path.name}/requests.jsonl"
    assert "measured on vLLM 0.19.0, m/x" in measurement.notes


def test_one_token_answers_alone_have_no_tpot(tmp_path: Path) -> None:
    measurement = compute_measurement(read_measured_requests(write(tmp_path, OTHER)))
    assert measurement.tpot_s_mean is None
    assert measurement.tpot_s_p95 is None
    assert measurement.rate_per_s is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scheduled_ts": 9.0}, "scheduled_ts"),
        ({"last_token_ts": 10.9}, "last_token_ts"),
        ({"output_toks": 0}, "output_toks"),
        ({"input_toks": -1}, "input_toks"),
        ({"first_token_ts": None}, "first_token_ts"),
    ],
)
def test_bad_requests_are_named(change: dict[str, object], field: str, tmp_path: Path) -> None:
    path = write(tmp_path, ROW, ROW | change)
    with pytest.raises(InputError) as caught:
        read_measured_requests(path)
    assert (caught.value.line, caught.value.field) == (2, field)


def test_a_damaged_meta_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(InputError, match=r"meta\.json"):
        read_measured_requests(tmp_path)


def test_every_request_has_its_times(tmp_path: Path) -> None:
    measured = read_measured_requests(write(tmp_path, ROW))
    two = np.zeros(2)
    with pytest.raises(ValueError, match="four times"):
        MeasuredRequests(measured.trace, two, two, two, two)
