"""Traffic and measurements over HTTP, from a server on loopback."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
from tests.unit.adapters.prometheus_server import FakePrometheus, Histogram, serve

from optiinfra.adapters.prometheus import fetch_measurement, fetch_traffic, read_instant
from optiinfra.domain.errors import InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(minutes=10)
PROMPTS = Histogram(["100.0", "1000.0", "+Inf"], [[30, 60, 10]] * 10, 1000 * 400.0)
OUTPUTS = Histogram(["10.0", "500.0", "+Inf"], [[0, 100, 0]] * 10, 1000 * 100.0)
TTFT = Histogram(["0.1", "0.5", "+Inf"], [[80, 19.5, 0.5]] * 10, 1000 * 0.2)
TPOT = Histogram(["0.025", "0.05", "+Inf"], [[50, 50, 0]] * 10, 1000 * 0.03)
E2E = Histogram(["5.0", "+Inf"], [[100, 0]] * 10, 1000 * 3.5)
VLLM = {
    "vllm:request_prompt_tokens": PROMPTS,
    "vllm:request_generation_tokens": OUTPUTS,
    "vllm:time_to_first_token_seconds": TTFT,
    "vllm:request_time_per_output_token_seconds": TPOT,
    "vllm:inter_token_latency_seconds": Histogram(["1.0", "+Inf"], [[1, 0]] * 10, 9.0),
    "vllm:e2e_request_latency_seconds": E2E,
}
GAUGES = {"vllm:kv_cache_usage_perc": 0.42}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> FakePrometheus:
    return FakePrometheus(dict(VLLM), dict(GAUGES))


@pytest.fixture
def url(fake: FakePrometheus) -> Iterator[str]:
    with serve(fake) as address:
        yield address


def test_traffic_follows_counts_and_means(url: str) -> None:
    trace = fetch_traffic(url, START, END, seed=1)
    assert trace.num_requests == 1000
    assert trace.is_synthetic
    assert trace.started_at == START
    assert np.histogram(trace.arrival_s, np.arange(11) * 60.0)[0].min() >= 98
    assert trace.prompt_tokens.mean() == pytest.approx(400, rel=0.02)
    assert trace.output_tokens.mean() == pytest.approx(100, rel=0.02)
    assert (trace.prompt_tokens <= 100).sum() == pytest.approx(300, abs=10)
    assert trace.prompt_tokens.max() <= 2000
    notes = " ".join(trace.notes)
    for words in ("seed 1", "drawn independently", "keep the mean of 400.0", "10.0% lie above"):
        assert words in notes


def test_traffic_is_deterministic(url: str) -> None:
    digests = [fetch_traffic(url, START, END, seed=seed).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_traffic_uses_the_longest_stretch_with_samples(fake: FakePrometheus, url: str) -> None:
    some = [30.0, 60, 10]
    minutes = [None, *([some] * 12), None, *([some] * 20), *([None] * 26)]
    fake.histograms["vllm:request_prompt_tokens"] = Histogram(PROMPTS.edges, minutes, 3200 * 400.0)
    everywhere = Histogram(OUTPUTS.edges, [[0, 100, 0]] * 60, 6000 * 100.0)
    fake.histograms["vllm:request_generation_tokens"] = everywhere
    trace = fetch_traffic(url, START, START + timedelta(hours=1), seed=1)
    assert trace.num_requests == 2000
    assert trace.started_at == START + timedelta(minutes=14)
    assert "of 60 bins only the longest stretch" in " ".join(trace.notes)
    ttft = Histogram(TTFT.edges, [[80, 19.5, 0.5] if m else None for m in minutes], 3200 * 0.2)
    fake.histograms["vllm:time_to_first_token_seconds"] = ttft
    measurement = fetch_measurement(url, START, START + timedelta(hours=1))
    assert measurement.rate_per_s == pytest.approx(100 / 60)  # not diluted by what is unknown


def test_the_model_is_in_every_selector(fake: FakePrometheus, url: str) -> None:
    fake.models = ["m/x", 'm/"y\\']
    with pytest.raises(InputError, match="2 models"):
        fetch_traffic(url, START, END, seed=1)
    with pytest.raises(InputError, match="knows no model 'z'"):
        fetch_traffic(url, START, END, seed=1, model_name="z")
    fake.requests.clear()
    fetch_traffic(url, START, END, seed=1, model_name='m/"y\\', labels={"namespace": "prod"})
    queries = [parameters["query"] for _, parameters in fake.requests if "query" in parameters]
    assert queries
    assert all('{model_name="m/\\"y\\\\",namespace="prod"}' in query for query in queries)


def test_traffic_needs_requests_and_histograms(fake: FakePrometheus, url: str) -> None:
    fake.histograms["vllm:request_prompt_tokens"] = Histogram(PROMPTS.edges, [[0.0, 0, 0]] * 10, 0)
    with pytest.raises(InputError, match="no traffic can be drawn"):
        fetch_traffic(url, START, END, seed=1)
    fake.histograms["vllm:request_prompt_tokens"] = Histogram(PROMPTS.edges, [None] * 10, 0)
    with pytest.raises(InputError, match="no samples of vllm:request_prompt_tokens"):
        fetch_traffic(url, START, END, seed=1)
    del fake.histograms["vllm:request_prompt_tokens"]
    with pytest.raises(InputError, match="no length histograms of vllm"):
        fetch_traffic(url, START, END, seed=1)


def test_measurement(url: str) -> None:
    measurement = fetch_measurement(url, START, END)
    assert measurement.ttft_s_mean == pytest.approx(0.2)
    assert measurement.ttft_s_p50 == pytest.approx(0.1 * 50 / 80)
    assert measurement.ttft_s_p95 == pytest.approx(0.1 + 0.4 * 15 / 19.5)
    assert measurement.tpot_s_mean == pytest.approx(0.03)
    assert measurement.tpot_s_p50 == pytest.approx(0.025)
    assert measurement.e2e_s_mean == pytest.approx(3.5)
    assert measurement.kv_cache_usage_ratio_mean == 0.42
    assert "idle time included" in " ".join(measurement.notes)
    assert measurement.rate_per_s == pytest.approx(1000 / 600)
    assert measurement.num_requests == 1000
    assert not measurement.is_tpot_per_token
    assert "p95 in 0.1 to 0.5 s" in " ".join(measurement.notes)
    assert measurement.bucket_edges["ttft_s_p95"] == (0.1, 0.5)
    assert all(
        low <= getattr(measurement, name) <= high
        for name, (low, high) in measurement.bucket_edges.items()
    )


def test_a_quantile_above_the_last_edge_is_unknown(fake: FakePrometheus, url: str) -> None:
    slow = Histogram(TTFT.edges, [[50.0, 30, 20]] * 10, 1000.0)
    fake.histograms["vllm:time_to_first_token_seconds"] = slow
    measurement = fetch_measurement(url, START, END)
    assert measurement.ttft_s_p50 == pytest.approx(0.1)
    assert measurement.ttft_s_p95 is None


@pytest.mark.parametrize(
    "itl", ["vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"]
)
def test_tpot_over_tokens_is_marked(fake: FakePrometheus, url: str, itl: str) -> None:
    fake.histograms = {
        "vllm:time_to_first_token_seconds": TTFT,
        itl: Histogram(["0.05", "+Inf"], [[1000.0, 0]] * 10, 10_000 * 0.02),
    }
    fake.gauges = {"vllm:gpu_cache_usage_perc": 0.3}
    measurement = fetch_measurement(url, START, END)
    assert measurement.tpot_s_mean == pytest.approx(0.02)
    assert measurement.tpot_s_p95 is None
    assert measurement.is_tpot_per_token
    assert measurement.e2e_s_mean is None
    assert measurement.kv_cache_usage_ratio_mean == 0.3
    assert "idle time included" in " ".join(measurement.notes)


def test_underscore_names(fake: FakePrometheus, url: str) -> None:
    fake.histograms = {name.replace(":", "_"): h for name, h in VLLM.items()}
    fake.gauges = {"vllm_kv_cache_usage_perc": 42.0}  # a percentage would be wrong: unknown
    measurement = fetch_measurement(url, START, END)
    assert measurement.ttft_s_mean == pytest.approx(0.2)
    assert measurement.kv_cache_usage_ratio_mean is None
    assert fetch_traffic(url, START, END, seed=1).num_requests == 1000


def test_tgi_has_no_first_token(fake: FakePrometheus, url: str) -> None:
    fake.histograms = {
        "tgi_request_input_length": PROMPTS,
        "tgi_request_generated_tokens": OUTPUTS,
        "tgi_request_duration": E2E,
    }
    fake.gauges = {}
    measurement = fetch_measurement(url, START, END)
    assert measurement.ttft_s_mean is None
    assert measurement.tpot_s_mean is None
    assert measurement.e2e_s_mean == pytest.approx(3.5)
    assert measurement.kv_cache_usage_ratio_mean is None
    assert "TPOT is unknown" in " ".join(measurement.notes)
    assert fetch_traffic(url, START, END, seed=1).num_requests == 1000


def test_sglang_names(fake: FakePrometheus, url: str) -> None:
    fake.histograms = {
        "sglang:prompt_tokens_histogram": PROMPTS,
        "sglang:generation_tokens_histogram": OUTPUTS,
        "sglang:time_to_first_token_seconds": TTFT,
        "sglang:inter_token_latency_seconds": TPOT,
    }
    fake.gauges = {"sglang:token_usage": 0.5}
    measurement = fetch_measurement(url, START, END)
    assert measurement.is_tpot_per_token
    assert measurement.kv_cache_usage_ratio_mean == 0.5
    assert fetch_traffic(url, START, END, seed=1).num_requests == 1000


def test_several_engines_need_a_name(fake: FakePrometheus, url: str) -> None:
    fake.histograms["tgi_request_duration"] = E2E
    with pytest.raises(InputError, match="metrics of vllm, tgi"):
        fetch_measurement(url, START, END)
    assert fetch_measurement(url, START, END, engine="tgi").e2e_s_mean == pytest.approx(3.5)
    with pytest.raises(InputError, match="no metrics of sglang"):
        fetch_measurement(url, START, END, engine="sglang")


def test_nothing_measured_is_an_error_not_a_zero(fake: FakePrometheus, url: str) -> None:
    fake.histograms = {name: Histogram(h.edges, [None] * 10, 0) for name, h in VLLM.items()}
    with pytest.raises(InputError, match="has no latencies of vllm"):
        fetch_measurement(url, START, END)
    fake.histograms = {}
    fake.gauges = {}
    with pytest.raises(InputError, match="no metrics of vLLM, SGLang or TGI"):
        fetch_measurement(url, START, END)


def test_credentials_are_sent_but_never_shown(fake: FakePrometheus, url: str) -> None:
    secret = url.replace("http://", "http://ann:s3cret@") + "/prom?token=t0ken"
    trace = fetch_traffic(secret, START, END, seed=1)
    assert all(header is not None and header.startswith("Basic ") for header in fake.headers)
    assert fake.requests[0][0] == "/prom/api/v1/label/__name__/values"
    fake.answer_raw = lambda handler: handler.send_error(500)
    with pytest.raises(InputError) as caught:
        fetch_traffic(secret, START, END, seed=1)
    for text in (trace.source, str(caught.value)):
        assert "s3cret" not in text
        assert "t0ken" not in text
        assert "/prom" in text


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


BAD_ANSWERS = {
    "does not answer as Prometheus": (200, b"<html>hello</html>", {}),
    "does not answer as Prometheus does": (404, b"404 page not found", {}),
    r"says: bad_data|says: too many": (422, b'{"status": "error", "error": "too many"}', {}),
    "refuses access": (401, b"who?", {}),
    "redirects to http://elsewhere": (302, b"", {"Location": "http://elsewhere:1/x?y=1"}),
    "cannot be reached": (200, b"not gzip", {"Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize("words", BAD_ANSWERS)
def test_bad_answers(words: str, fake: FakePrometheus, url: str) -> None:
    status, body, headers = BAD_ANSWERS[words]
    fake.answer_raw = lambda handler: _reply(handler, status, body, **headers)
    with pytest.raises(InputError, match=words) as caught:
        fetch_measurement(url, START, END)
    assert url in str(caught.value)
    assert len(fake.requests) == 1


def test_an_endless_answer_is_cut(
    fake: FakePrometheus, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiinfra.adapters.prometheus_client.MAX_RESPONSE_BYTES", 2**20)
    bomb = gzip.compress(b" " * 2**24)
    fake.answer_raw = lambda handler: _reply(handler, 200, bomb, Content_Encoding="gzip")
    with pytest.raises(InputError, match="answers with more than 1 MiB"):
        fetch_measurement(url, START, END)


def test_a_slow_answer_is_cut(
    fake: FakePrometheus, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiinfra.adapters.prometheus_client.DEADLINE_S", -1.0)
    fake.answer_raw = lambda handler: _reply(handler, 200, b"{}")
    with pytest.raises(InputError, match="to answer"):
        fetch_measurement(url, START, END)


def test_a_server_that_is_down(fake: FakePrometheus) -> None:
    with serve(fake) as address:
        pass
    with pytest.raises(InputError, match=f"Prometheus at {address}/? cannot be reached"):
        fetch_measurement(address, START, END)


@pytest.mark.parametrize("bad", ["ftp://h", "file:///etc/passwd", "localhost:9090", "http://", ""])
def test_only_http_addresses(bad: str) -> None:
    with pytest.raises(InputError, match="Prometheus address"):
        fetch_traffic(bad, START, END, seed=1)


def test_ranges_are_bounded(url: str) -> None:
    for end in (START, START - timedelta(hours=1), START + timedelta(days=101)):
        with pytest.raises(InputError, match="the range from"):
            fetch_traffic(url, START, end, seed=1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("now", END),
        ("-1h", END - timedelta(hours=1)),
        ("-90s", END - timedelta(seconds=90)),
        ("-7d", END - timedelta(days=7)),
        ("1767225600", START),
        ("1767225600.5", START + timedelta(seconds=0.5)),
        ("2026-01-01T00:00:00Z", START),
        ("2026-01-01 01:00+01:00", START),
        ("2026-01-01", START),
    ],
)
def test_instants(text: str, wanted: datetime) -> None:
    assert read_instant(text, now=END, field="--start") == wanted


@pytest.mark.parametrize("text", ["", "yesterday", "1h", "+1h", "-1y", "-999999999w", "2026-13-01"])
def test_bad_instants(text: str) -> None:
    with pytest.raises(InputError, match="is not a time") as caught:
        read_instant(text, now=END, field="--start")
    assert caught.value.field == "--start"
