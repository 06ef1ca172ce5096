import json
from dataclasses import replace
from typing import Any

import pytest
from plotly.graph_objects import Figure
from tests.factories.analysis import make_candidate, make_deployment, make_trace_summary

from optiinfra.domain.analysis import Histogram
from optiinfra.report.charts import Chart, build_latency_chart, build_load_chart
from optiinfra.report.front_chart import build_front_chart

HISTOGRAM = Histogram(edges=(0.0, 0.1, 0.2, 0.4, float("inf")), shares_ratio=(0.2, 0.4, 0.3, 0.1))


def check_plotly_takes(chart: Chart | None) -> Chart:
    """Plotly's own validation, with colours put in as the page does."""
    assert chart is not None

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: resolve(v) for k, v in value.items()}
        if isinstance(value, list):
            return [resolve(v) for v in value]
        return "#123456" if isinstance(value, str) and value.startswith("@") else value

    Figure(data=resolve(chart.data), layout=resolve(chart.layout))
    json.dumps([chart.data, chart.layout], allow_nan=False)
    return chart


@pytest.mark.parametrize("started_at", [None, "2025-03-11T18:15:46+00:00"])
def test_load_chart(started_at: str | None) -> None:
    chart = check_plotly_takes(build_load_chart(make_trace_summary(started_at=started_at)))
    assert len(chart.data) == 2
    assert len(chart.data[0]["x"]) == 59  # 58 bins and the end of the last
    title = chart.layout["xaxis"]["title"]["text"]
    assert title == ("minutes since the first request" if started_at is None else "UTC")


def test_load_chart_of_an_empty_window() -> None:
    trace = replace(make_trace_summary(), requests_per_s=(), tokens_per_s=(), span_s=0.0)
    check_plotly_takes(build_load_chart(trace))


def test_latency_chart_with_open_and_zero_ends() -> None:
    chart = build_latency_chart("TTFT", [("today", HISTOGRAM)], threshold_s=0.2)
    assert "60% within the SLO" in check_plotly_takes(chart).label


def test_latency_chart_without_histograms() -> None:
    assert build_latency_chart("TTFT", [("today", None)], threshold_s=0.2) is None


def test_front_names_every_configuration_once() -> None:
    deployment = make_deployment()
    chart = check_plotly_takes(build_front_chart(deployment))
    points = [t for t in chart.data if t["mode"] == "markers"]
    every = len(deployment.candidates) + len(deployment.needs_quality_test)
    assert sum(len(t["x"]) for t in points) == every
    assert {a["text"] for a in chart.layout["annotations"]} == {
        "<b>today</b>",
        "<b>recommended</b>",
    }


def test_front_without_prices_counts_gpus() -> None:
    chart = check_plotly_takes(build_front_chart(make_deployment(has_price=False)))
    assert "GPUs" in chart.layout["xaxis"]["title"]["text"]


def test_front_escapes_names_in_hover_texts() -> None:
    deployment = make_deployment()
    candidate = make_candidate()
    configuration = replace(candidate.configuration, gpu="<a href='javascript:x'>H</a>")
    evil = replace(candidate, key="evil", configuration=configuration)
    chart = build_front_chart(replace(deployment, candidates=(*deployment.candidates, evil)))
    text = json.dumps(check_plotly_takes(chart).data)
    assert "<a href" not in text
    assert "&lt;a href" in text


def test_what_has_no_price_is_said_to_be_missing() -> None:
    priced, unpriced = make_deployment(), make_deployment(has_price=False)
    mixed = replace(unpriced, candidates=(unpriced.today, *priced.candidates))
    chart = build_front_chart(mixed)
    assert chart is not None
    assert "without a price, today's among them, are not drawn" in str(chart.layout["xaxis"])
