"""Reports of load tools, written here as the tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optiinfra.adapters.bench_reports import read_measurement
from optiinfra.domain.errors import InputError

VLLM: dict[str, Any] = {
    "date": "20260131-080000",
    "endpoint_type": "openai",
    "model_id": "m/x",
    "num_prompts": 500,
    "request_rate": 4.0,
    "burstiness": 1.0,
    "max_concurrency": None,
    "duration": 130.0,
    "completed": 498,
    "failed": 2,
    "request_throughput": 3.83,
    "mean_ttft_ms": 150.0,
    "median_ttft_ms": 120.0,
    "std_ttft_ms": 40.0,
    "p99_ttft_ms": 400.0,
    "mean_tpot_ms": 20.0,
    "median_tpot_ms": 19.0,
    "p95_tpot_ms": 30.0,
    "p99_tpot_ms": 35.0,
    "mean_itl_ms": 20.5,
    "mean_e2el_ms": 4000.0,
}
AIPERF: dict[str, Any] = {
    "schema_version": "1.5",
    "aiperf_version": "0.12.0",
    "was_cancelled": False,
    "request_throughput": {"unit": "requests/sec", "avg": 1.45},
    "request_count": {"unit": "requests", "avg": 20.0},
    "error_request_count": {"unit": "requests", "avg": 1.0},
    "request_latency": {"unit": "ms", "avg": 2620.0, "p50": 2568.0, "p99": 3371.0},
    "time_to_first_token": {"unit": "ms", "avg": 195.0, "p50": 175.0, "p95": 252.0, "p99": 253.0},
    "inter_token_latency": {"unit": "us", "avg": 35_200.0, "p50": 34_730.0, "p95": 35_955.0},
}


def guidellm(*benchmarks: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"version": 1}, "args": {}, "benchmarks": list(benchmarks)}


def benchmark(**changes: Any) -> dict[str, Any]:
    def summary(mean: float) -> dict[str, Any]:
        percentiles = {"p50": mean, "p95": mean * 2, "p99": mean * 3}
        every = {"mean": mean, "median": mean * 0.9, "count": 2, "percentiles": percentiles}
        return {"successful": every, "incomplete": every, "errored": every, "total": every}

    made = {
        "config": {"strategy": {"type_": "poisson", "rate": 2.0}},
        "metrics": {
            "request_totals": {"successful": 3, "incomplete": 1, "errored": 0, "total": 4},
            "requests_per_second": summary(1.9),
            "request_latency": summary(3.5),
            "time_to_first_token_ms": summary(200.0),
            "time_per_output_token_ms": summary(99.0),
            "inter_token_latency_ms": summary(25.0),
        },
        "requests": {
            "successful": [
                {"inter_token_latency_ms": 10.0},
                {"inter_token_latency_ms": 30.0},
                {"inter_token_latency_ms": None},
            ],
        },
    }
    return made | changes


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def test_vllm(path: Path) -> None:
    measurement = read_measurement(write(path, VLLM))
    assert measurement.ttft_s_mean == 0.15
    assert measurement.ttft_s_p50 == 0.12
    assert measurement.ttft_s_p95 is None
    assert measurement.ttft_s_p99 == 0.4
    assert measurement.tpot_s_mean == 0.02
    assert measurement.tpot_s_p95 == 0.03
    assert measurement.e2e_s_mean == 4.0
    assert measurement.rate_per_s == 4.0
    assert measurement.num_requests == 498
    assert not measurement.is_tpot_per_token
    assert "2 requests failed" in " ".join(measurement.notes)
    assert measurement.source == "report.json (vllm bench serve)"


def test_vllm_rates(path: Path) -> None:
    closed = VLLM | {"request_rate": "inf", "max_concurrency": 16}
    assert read_measurement(write(path, closed)).rate_per_s == 3.83
    assert read_measurement(write(path, VLLM | {"request_rate": "inf"})).rate_per_s is None


def test_a_zero_latency_is_unknown(path: Path) -> None:
    measurement = read_measurement(write(path, VLLM | {"mean_tpot_ms": 0, "median_tpot_ms": 0.0}))
    assert measurement.tpot_s_mean is None
    assert measurement.tpot_s_p50 is None


def test_sglang_names(path: Path) -> None:
    document = {key: value for key, value in VLLM.items() if key != "mean_e2el_ms"}
    assert read_measurement(write(path, document | {"mean_e2e_latency_ms": 5e3})).e2e_s_mean == 5.0


def test_several_vllm_results_in_one_file(path: Path) -> None:
    path.write_text(json.dumps(VLLM) + "\n" + json.dumps(VLLM | {"request_rate": 8.0}) + "\n")
    with pytest.raises(InputError, match=r"2 benchmarks.*0: rate 4\.0, 498 completed.*1: rate 8"):
        read_measurement(path)
    assert read_measurement(path, index=1).rate_per_s == 8.0


def test_guidellm_from_the_requests(path: Path) -> None:
    measurement = read_measurement(write(path, guidellm(benchmark())))
    assert measurement.ttft_s_mean == 0.2
    assert measurement.ttft_s_p50 == pytest.approx(0.18)
    assert measurement.ttft_s_p99 == pytest.approx(0.6)
    assert measurement.tpot_s_mean == pytest.approx(0.02)
    assert measurement.tpot_s_p50 == pytest.approx(0.02)
    assert not measurement.is_tpot_per_token
    assert measurement.e2e_s_mean == 3.5
    assert measurement.rate_per_s == 2.0
    assert measurement.num_requests == 3
    assert "1 requests failed or did not end" in " ".join(measurement.notes)


@pytest.mark.parametrize("requests", [{}, {"successful": []}, {"successful": [{}]}, None])
def test_guidellm_from_the_summary(path: Path, requests: object) -> None:
    measurement = read_measurement(write(path, guidellm(benchmark(requests=requests))))
    assert measurement.tpot_s_mean == 0.025
    assert measurement.tpot_s_p95 is None
    assert measurement.is_tpot_per_token


def test_guidellm_rates(path: Path) -> None:
    closed = benchmark(config={"strategy": {"type_": "concurrent", "streams": 8}})
    measurement = read_measurement(write(path, guidellm(closed)))
    assert measurement.rate_per_s == 1.9
    assert "concurrent 8 streams" in measurement.source
    older = benchmark(config=None, args={"strategy": {"type_": "constant", "rate": 7}})
    assert read_measurement(write(path, guidellm(older))).rate_per_s == 7.0


def test_guidellm_with_several_benchmarks(path: Path) -> None:
    other = benchmark(config={"strategy": {"type_": "throughput"}})
    write(path, guidellm(benchmark(), other))
    with pytest.raises(InputError, match="0: poisson 2/s; 1: throughput"):
        read_measurement(path)
    with pytest.raises(InputError, match="none of them number 2"):
        read_measurement(path, index=2)
    assert "poisson" in read_measurement(path, index=0).source
    with pytest.raises(InputError, match="no benchmark"):
        read_measurement(write(path, guidellm()))


def test_aiperf(path: Path) -> None:
    measurement = read_measurement(write(path, AIPERF))
    assert measurement.ttft_s_mean == 0.195
    assert measurement.ttft_s_p95 == 0.252
    assert measurement.tpot_s_mean == pytest.approx(0.0352)
    assert measurement.tpot_s_p99 is None
    assert measurement.e2e_s_mean == 2.62
    assert measurement.rate_per_s == 1.45
    assert measurement.num_requests == 20
    assert measurement.source == "report.json (AIPerf 0.12.0)"
    assert "1 requests failed and are in no figure" in measurement.notes
    asked = AIPERF | {"input_config": {"loadgen": {"request_rate": 3.0}}, "was_cancelled": True}
    measurement = read_measurement(write(path, asked))
    assert measurement.rate_per_s == 3.0
    assert "the run was cancelled before its end" in measurement.notes


def test_aiperf_without_streaming(path: Path) -> None:
    document = {key: AIPERF[key] for key in ("request_latency", "request_count")}
    measurement = read_measurement(write(path, document))
    assert measurement.ttft_s_mean is None
    assert measurement.tpot_s_mean is None


def test_a_measured_run_of_vllm(tmp_path: Path) -> None:
    row = (
        '{"input_toks": 5, "output_toks": 3, "queued_ts": 1, "scheduled_ts": 1, '
        '"first_token_ts": 2, "last_token_ts": 4}\n'
    )
    (tmp_path / "requests.jsonl").write_text(row)
    for path in (tmp_path, tmp_path / "requests.jsonl"):
        assert read_measurement(path).tpot_s_mean == 1.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "no known report"),
        ('{"a": 1, "b": 2}', "fields a, b"),
        ("[1, 2]", "not a JSON object"),
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        (json.dumps(VLLM)[:-9], "not a JSON object"),
        (json.dumps(VLLM | {"mean_ttft_ms": -1}), "negative"),
        ('{"completed": 0, "request_throughput": 0.0, "mean_ttft_ms": 0.0}', "no latency"),
        ('{"completed": 1, "mean_ttft_ms": NaN, "mean_e2el_ms": "12"}', "no latency"),
        (json.dumps(AIPERF | {"time_to_first_token": {"unit": "weeks", "avg": 1}}), "'weeks'"),
        ('{"aiperf_version": "0.12.0", "metrics": {}}', "AIPerf file without"),
        ("", "empty"),
        ("\x00" * 100, "not text"),
    ],
)
def test_bad_reports(content: str, words: str, path: Path) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_measurement(path)


def test_a_report_that_is_too_big(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optiinfra.adapters.bench_reports.MAX_REPORT_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        read_measurement(write(path, VLLM))


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_measurement(tmp_path / "none.json")
    with pytest.raises(InputError, match="requests"):
        read_measurement(tmp_path)
