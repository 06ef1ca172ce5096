"""Range queries of a Prometheus, read as its targets would have been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from optiinfra.adapters.collectors.prometheus_import import import_range
from optiinfra.adapters.prometheus_client import Prometheus, make_url
from optiinfra.domain.errors import InputError
from optiinfra.domain.samples import concatenate_batches

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_S = 15.0


def answer_range(request: httpx.Request) -> httpx.Response:
    """A counter that grows by 30 a step, and a level that is missing now and then."""
    asked = request.url.params
    assert request.url.path == "/prom/api/v1/query_range"
    assert 'job="x"' in asked["query"]
    first, last = float(asked["start"]), float(asked["end"])
    steps = [first + i * STEP_S for i in range(int((last - first) / STEP_S) + 1)]
    assert len(steps) <= 120
    number = [round((s - START.timestamp()) / STEP_S) for s in steps]
    labels = {"job": "x", "instance": "h:1", "model_name": "m"}
    series: list[dict[str, Any]] = [
        {
            "metric": labels | {"__name__": "vllm:generation_tokens_total"},
            "values": [[s, str(100 + 30 * n)] for s, n in zip(steps, number, strict=True)],
        },
        {
            "metric": labels | {"__name__": "vllm:num_requests_running"},
            "values": [[s, "NaN" if n % 2 else "4"] for s, n in zip(steps, number, strict=True)],
        },
    ]
    data = {"resultType": "matrix", "result": series}
    return httpx.Response(200, json={"status": "success", "data": data})


def make_prometheus() -> Prometheus:
    client = httpx.Client(transport=httpx.MockTransport(answer_range))
    return Prometheus(make_url("http://prom/prom"), client)


def test_the_past_of_a_target() -> None:
    end = START + timedelta(seconds=STEP_S * 299)
    batches = list(
        import_range(
            make_prometheus(), UUID(int=1), start=START, end=end, step_s=STEP_S, matchers='job="x"'
        )
    )
    assert len(batches) == 3  # of 120, 120 and 60 steps
    whole = concatenate_batches(batches)
    by_metric: dict[str, list[float]] = {}
    for place, value in zip(whole.series_index, whole.value, strict=True):
        by_metric.setdefault(whole.series[place].metric, []).append(float(value))
    assert by_metric["output_tokens_total"] == [100 + 30 * n for n in range(300)]
    assert by_metric["output_tokens_per_s"] == [2.0] * 299  # over the seams of the queries too
    assert by_metric["num_requests_running"] == [4.0] * 150
    assert {series.target for series in whole.series} == {"prometheus/x/h:1"}
    assert int(whole.timestamp_ns.min()) == int(START.timestamp()) * 10**9


def test_a_range_that_ends_before_it_begins() -> None:
    with pytest.raises(InputError):
        list(
            import_range(
                make_prometheus(),
                UUID(int=1),
                start=START,
                end=START - timedelta(hours=1),
                step_s=STEP_S,
            )
        )
