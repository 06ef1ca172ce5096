"""The cost-latency front: every candidate a point, the front a line, today and the choice named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

from optiinfra.domain.analysis import Candidate, DeploymentAnalysis, Verdict
from optiinfra.report.charts import Chart, build_layout, build_log_axis
from optiinfra.report.units import format_number, format_ratio, format_seconds
from optiinfra.report.words import (
    VERDICT_WORDS,
    describe_arguments,
    describe_configuration,
    describe_cost,
)

LATENCY_NAME = "End-to-end latency p95"
EDGE_FACTOR = 3.0  # how far above the slowest that serves the chart ends
CHOICES = ("recommended", "on today's hardware")  # in the order of recommendations
MARKERS: dict[Verdict, dict[str, Any]] = {
    Verdict.BREAKS_SLO: {"color": "@faint", "size": 5, "symbol": "x-thin-open"},
    Verdict.BREAKS_SLO_ONE_LOST: {"color": "@warn", "size": 6, "symbol": "circle-open"},
    Verdict.NEEDS_QUALITY_TEST: {"color": "@second", "size": 8, "symbol": "diamond-open"},
    Verdict.KEEPS_SLO: {"color": "@accent", "size": 6, "symbol": "circle", "opacity": 0.55},
}


def get_latency_s(candidate: Candidate) -> float | None:
    """The latency that the chart and the front are drawn by."""
    return candidate.service.e2e_s.p95


def build_front_chart(deployment: DeploymentAnalysis) -> Chart | None:
    """Cost against latency of all candidates; GPUs stand for cost where no price is known.

    None when no candidate has a latency.
    """
    today = deployment.today
    recommended = [r.after for r in deployment.recommendations]
    every = _list_unique((*deployment.candidates, *deployment.needs_quality_test, *recommended))
    is_priced = any(c.configuration.list_cost_usd_per_h is not None for c in every)
    points = [p for p in (_locate(c, is_priced=is_priced) for c in every) if p is not None]
    if not points:
        return None
    points, num_beyond = _pull_in(points)
    highlighted = {today.key, *(c.key for c in recommended)}
    data = [
        _build_points(verdict, [p for p in points if p[2].verdict is verdict], highlighted)
        for verdict in MARKERS
    ]
    front = sorted((p for p in points if p[2].is_on_front), key=lambda p: p[:2])
    data.append(_build_front(front))
    names = {c.key: name for c, name in zip(recommended, CHOICES, strict=False)}
    named = (
        ("today", [p for p in points if p[2].key == today.key]),
        *((name, [p for p in points if names.get(p[2].key) == name]) for name in CHOICES),
    )
    data += [_build_named(name, group) for name, group in named]
    y_title = LATENCY_NAME
    if num_beyond:
        y_title += f"<br>({num_beyond} drawn at the upper edge lie above)"
    x_title = "List cost per hour" if is_priced else "GPUs in use (no price is known)"
    num_unpriced = sum(c.configuration.list_cost_usd_per_h is None for c in every)
    if is_priced and num_unpriced:
        who = ", today's among them," if today.configuration.list_cost_usd_per_h is None else ""
        x_title += f" ({num_unpriced} without a price{who} are not drawn)"
    layout = build_layout(
        height=440,
        showlegend=True,
        hovermode="closest",
        annotations=[_build_callout(name, point) for name, group in named for point in group],
        xaxis=build_log_axis(
            [p[0] for p in points],
            _format_dollars if is_priced else format_number,
            title={"text": x_title},
        ),
        yaxis=build_log_axis([p[1] for p in points], _format_tick, title={"text": y_title}),
    )
    label = (
        f"{len(points)} candidates by cost and {LATENCY_NAME}; {len(front)} lie on the front. "
        f"The table of all candidates has the same figures."
    )
    return Chart(label, [trace for trace in data if trace["x"]], layout)


def _format_dollars(value: float) -> str:
    return f"${value:g}"


def _format_tick(value_s: float) -> str:
    """Ticks are 1, 2 or 5 times a power of ten, which minutes would spoil."""
    return format_seconds(value_s) if value_s < 1 else f"{value_s:,g} s"


def _list_unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    return list({candidate.key: candidate for candidate in candidates}.values())


def _locate(candidate: Candidate, *, is_priced: bool) -> tuple[float, float, Candidate] | None:
    """Cost, latency and the candidate; None where either is unknown."""
    cost = candidate.configuration.list_cost_usd_per_h
    x = None if cost is None else float(cost)
    if not is_priced:
        x = float(candidate.configuration.num_gpus)
    y = get_latency_s(candidate)
    if x is None or y is None or not (math.isfinite(y) and y > 0):
        return None
    return x, y, candidate


def _pull_in(
    points: list[tuple[float, float, Candidate]],
) -> tuple[list[tuple[float, float, Candidate]], int]:
    """Points whose backlog dwarfs all that can serve, drawn at an edge above those; how many.

    What breaks the SLO may take hours; on one axis with it, nothing else could be told apart.
    """
    serving = [p[1] for p in points if p[2].verdict is not Verdict.BREAKS_SLO or p[2].is_today]
    if not serving:
        return points, 0
    edge = EDGE_FACTOR * max(serving)
    num_beyond = sum(p[1] > edge for p in points)
    return [(x, min(y, edge), candidate) for x, y, candidate in points], num_beyond


def _describe(candidate: Candidate) -> str:
    """The text over a point, escaped."""
    configuration, service = candidate.configuration, candidate.service
    ttft, tpot = format_seconds(service.ttft_s.p95), format_seconds(service.tpot_s.p95)
    attainment = format_ratio(service.slo_attainment_ratio)
    lines = (
        f"<b>{escape(describe_configuration(configuration))}</b>, {describe_cost(configuration)}",
        escape(describe_arguments(configuration)),
        f"TTFT p95 {ttft}, TPOT p95 {tpot}",
        f"SLO attainment {attainment}: {VERDICT_WORDS[candidate.verdict]}",
    )
    return "<br>".join(lines)


def _build_points(
    verdict: Verdict, points: list[tuple[float, float, Candidate]], highlighted: set[str]
) -> dict[str, Any]:
    shown = [p for p in points if p[2].key not in highlighted]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": VERDICT_WORDS[verdict],
        "x": [p[0] for p in shown],
        "y": [p[1] for p in shown],
        "text": [_describe(p[2]) for p in shown],
        "marker": MARKERS[verdict],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _build_front(points: list[tuple[float, float, Candidate]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front",
        "x": [p[0] for p in points],
        "y": [p[1] for p in points],
        "line": {"shape": "hv", "width": 1.5, "color": "@accent"},
        "hoverinfo": "skip",
    }


def _build_named(name: str, points: list[tuple[float, float, Candidate]]) -> dict[str, Any]:
    is_today = name == "today"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": False,
        "x": [p[0] for p in points],
        "y": [p[1] for p in points],
        "text": [_describe(p[2]) for p in points],
        "marker": {
            "color": "@ink" if is_today else "@accent",
            "size": 13 if is_today else 15,
            "symbol": "square" if is_today else "circle",
            "line": {"color": "@page", "width": 2},
        },
        "hovertemplate": f"<b>{name}</b><br>%{{text}}<extra></extra>",
    }


def _build_callout(name: str, point: tuple[float, float, Candidate]) -> dict[str, Any]:
    """The name beside a point, down and left, where a front leaves room."""
    color = "@ink" if name == "today" else "@accent"
    return {
        "text": f"<b>{name}</b>",
        "x": math.log10(point[0]),
        "y": math.log10(point[1]),
        "ax": -34,
        "ay": 40 if name == "today" else 30,
        "xanchor": "right",
        "yanchor": "middle",
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": color,
        "standoff": 9,
        "bgcolor": "@page",
        "borderpad": 2,
        "font": {"color": color, "size": 13},
    }
