"""Chart specifications for plotly, as plain data: load over time and latency histograms.

Colours are names such as "@accent"; the page puts in the values of the light or dark scheme, so
one specification serves both. Every string that came from a user is escaped, because plotly
renders a subset of HTML in its texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from optiinfra.domain.analysis import Histogram, TraceSummary
from optiinfra.report.units import (
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    format_number,
    format_ratio,
    format_seconds,
)

NUM_TICKS_MAX = 8
EMPTY_SHARE = 5e-4  # bins below it at both ends are not drawn


@dataclass(frozen=True, slots=True)
class Chart:
    """A plotly figure and the sentence that stands for it where it cannot be seen."""

    label: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def build_axis(**settings: Any) -> dict[str, Any]:
    """An axis of the house's look; drags stay with the page."""
    return {
        "fixedrange": True,
        "gridcolor": "@line",
        "linecolor": "@line",
        "zeroline": False,
        "ticks": "",
        "automargin": True,
        **settings,
    }


def build_layout(*, height: int, **settings: Any) -> dict[str, Any]:
    """A layout of the house's look: no frame, transparent, legend above."""
    return {
        "height": height,
        "autosize": True,
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "@font", "size": 12, "color": "@muted"},
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8},
        "hoverlabel": {
            "bgcolor": "@panel",
            "bordercolor": "@line",
            "font": {"family": "@font", "size": 12, "color": "@ink"},
            "align": "left",
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
            "font": {"color": "@ink"},
        },
        **settings,
    }


def build_log_axis(
    values: Sequence[float], format_value: Callable[[float], str], **settings: Any
) -> dict[str, Any]:
    """A logarithmic axis over positive `values`, ticks at 1, 2 and 5 times powers of ten."""
    low, high = min(values) / 1.08, max(values) * 1.08
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps: tuple[int, ...] = (1, 2, 5)
    ticks: list[float] = []
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1,)):
        ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(ticks) <= NUM_TICKS_MAX:
            break
    return build_axis(
        type="log",
        tickangle=0,
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[format_value(t) for t in ticks],
        **settings,
    )


def build_load_chart(trace: TraceSummary) -> Chart:
    """Requests and tokens a second over the traced window, one above the other."""
    times, title = _compute_times(trace)
    panels = (
        ("Requests per second", trace.requests_per_s, "y", "@accent", "@accent-soft"),
        ("Tokens per second", trace.tokens_per_s, "y2", "@second", "@second-soft"),
    )
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": times,
            "y": [*values, *values[-1:]],
            "yaxis": axis,
            "line": {"shape": "hv", "width": 1.6, "color": color},
            "fill": "tozeroy",
            "fillcolor": soft,
            "hovertemplate": "%{x}<br>%{y:,.3~g}<extra>" + name + "</extra>",
        }
        for name, values, axis, color, soft in panels
    ]
    headings = [
        {
            "text": f"<b>{name}</b>",
            "xref": "paper",
            "yref": "paper",
            "x": 0,
            "y": y,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"color": "@ink", "size": 12.5},
        }
        for name, y in (("Requests per second", 1.02), ("Tokens per second", 0.45))
    ]
    layout = build_layout(
        height=380,
        showlegend=False,
        annotations=headings,
        xaxis=build_axis(title={"text": title}, anchor="y2", showgrid=False),
        yaxis=build_axis(domain=[0.57, 1], rangemode="tozero", nticks=5),
        yaxis2=build_axis(domain=[0, 0.43], rangemode="tozero", nticks=5, tickformat="~s"),
    )
    peak = max(trace.requests_per_s, default=0.0)
    label = (
        f"Load over time in bins of {format_seconds(trace.bin_s)}: "
        f"{format_number(trace.rate_per_s)} requests per second on average, "
        f"{format_number(peak)} in the busiest bin."
    )
    return Chart(label, data, layout)


def _compute_times(trace: TraceSummary) -> tuple[list[Any], str]:
    """Left edges of the bins and the end of the last, as instants where the trace has them."""
    offsets_s = [i * trace.bin_s for i in range(len(trace.requests_per_s) + 1)]
    if trace.started_at is not None:
        start = datetime.fromisoformat(trace.started_at)
        instants = [(start + timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S") for s in offsets_s]
        return instants, "UTC"
    in_hours = trace.span_s > 3 * SECONDS_PER_HOUR
    unit_s = SECONDS_PER_HOUR if in_hours else SECONDS_PER_MINUTE
    title = f"{'hours' if in_hours else 'minutes'} since the first request"
    return [s / unit_s for s in offsets_s], title


def build_latency_chart(
    name: str, series: Sequence[tuple[str, Histogram | None]], *, threshold_s: float
) -> Chart | None:
    """Shares of requests by latency, the first series as today, with the SLO's threshold.

    None when no series has a histogram.
    """
    styles = (("@today", "@today-soft"), ("@accent", "@accent-soft"))
    known = [
        (title, histogram, style)
        for (title, histogram), style in zip(series, styles, strict=False)
        if histogram is not None and any(histogram.shares_ratio)
    ]
    if not known:
        return None
    data = [_build_steps(title, histogram, style) for title, histogram, style in known]
    shown = [e for _, histogram, _ in known for e in _list_shown_edges(histogram)]
    positive = [e for e in (*shown, threshold_s * 1.2) if e > 0]
    slo_line = {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": threshold_s,
        "x1": threshold_s,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@bad", "width": 1.5, "dash": "4px 3px"},
    }
    slo_text = {
        "text": f"SLO {format_seconds(threshold_s)}",
        "x": math.log10(threshold_s),
        "y": 1,
        "yref": "paper",
        "xanchor": "right",
        "yanchor": "top",
        "xshift": -4,
        "showarrow": False,
        "font": {"color": "@bad"},
    }
    layout = build_layout(
        height=270,
        shapes=[slo_line],
        annotations=[slo_text],
        showlegend=True,
        xaxis=build_log_axis(positive, format_seconds, title={"text": name}, showgrid=False),
        yaxis=build_axis(
            tickformat=".0%", rangemode="tozero", nticks=5, title={"text": "share of requests"}
        ),
    )
    beyond = "; ".join(
        f"{title}: {format_ratio(_compute_share_within(histogram, threshold_s))} within the SLO"
        for title, histogram, _ in known
    )
    label = f"Distribution of {name} against the SLO of {format_seconds(threshold_s)}. {beyond}."
    return Chart(label, data, layout)


def _build_steps(title: str, histogram: Histogram, style: tuple[str, str]) -> dict[str, Any]:
    color, soft = style
    edges, shares = _close(histogram)
    text = [
        f"{format_seconds(low)} to {format_seconds(high)}"
        for low, high in zip(edges, [*edges[1:], edges[-1]], strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": title,
        "x": edges,
        "y": [*shares, 0.0],
        "text": text,
        "line": {"shape": "hv", "width": 1.6, "color": color},
        "fill": "tozeroy",
        "fillcolor": soft,
        "hovertemplate": "%{text}<br>%{y:.2%} of requests<extra>%{fullData.name}</extra>",
    }


def _close(histogram: Histogram) -> tuple[list[float], list[float]]:
    """Edges that a logarithmic axis can show: an open or zero end is drawn one step out."""
    edges = list(histogram.edges)
    if not math.isfinite(edges[-1]):
        edges[-1] = edges[-2] * 1.5
    if edges[0] <= 0:
        edges[0] = edges[1] / 1.5
    return edges, list(histogram.shares_ratio)


def _list_shown_edges(histogram: Histogram) -> list[float]:
    """First and last edge between which nearly all requests lie."""
    edges, shares = _close(histogram)
    filled = [i for i, share in enumerate(shares) if share >= EMPTY_SHARE]
    return [edges[filled[0]], edges[filled[-1] + 1]] if filled else edges


def _compute_share_within(histogram: Histogram, threshold_s: float) -> float:
    """Share of requests in bins that end at or before the threshold (a lower bound)."""
    pairs = zip(histogram.edges[1:], histogram.shares_ratio, strict=True)
    return sum(share for edge, share in pairs if edge <= threshold_s)
