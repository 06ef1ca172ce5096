"""What a deployment did, from the engines' latency histograms and gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import numpy as np

from optiinfra.adapters.prometheus_names import find_gauge, find_histogram
from optiinfra.adapters.prometheus_series import (
    Quantile,
    find_quantile,
    read_scalar,
    read_vector,
    to_buckets,
)
from optiinfra.adapters.prometheus_window import Filters, Window, open_window
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import Measurement

_SUBQUERY_POINTS = 2000
_SMALLEST_SUBQUERY_STEP_S = 15.0


@dataclass(frozen=True, slots=True)
class LatencySeries:
    """One latency over the range; everything None or empty where the engine has it not."""

    name: str | None = None
    count: float | None = None
    mean_s: float | None = None
    quantiles: dict[int, Quantile] = field(default_factory=dict)  # by percent

    def get_percentile(self, percent: int) -> float | None:
        """The quantile, or None."""
        quantile = self.quantiles.get(percent)
        return None if quantile is None else quantile.value

    def get_edges(self, name: str) -> dict[str, tuple[float, float]]:
        """Edges of the buckets, by the field of a Measurement: `name` and the percentile."""
        return {f"{name}_p{p}": (q.low, q.high) for p, q in self.quantiles.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """How coarse the quantiles are."""
        if self.name is None or not self.quantiles:
            return ()
        buckets = ", ".join(
            f"p{percent} in {quantile.low:g} to {quantile.high:g} s"
            for percent, quantile in self.quantiles.items()
        )
        return (f"quantiles of {self.name} are interpolated in buckets: {buckets}",)


def fetch_measurement(
    url: str,
    start: datetime,
    end: datetime,
    *,
    model_name: str | None = None,
    engine: str | None = None,
    labels: Mapping[str, str] | None = None,
    http: httpx.Client | None = None,
) -> Measurement:
    """What the deployment did between two instants; arguments as of `fetch_traffic`.

    Means are sums over counts; quantiles are interpolated in buckets, whose edges are in the notes.

    Raises:
        InputError: the server cannot be used, or has no latency of any kind for the range.
    """
    filters = Filters(model_name, engine, labels)
    with open_window(url, start, end, filters, http) as window:
        metrics = window.engine
        ttft = _fetch_latency(window, metrics.ttft)
        tpot = _fetch_latency(window, metrics.tpot)
        itl = _fetch_latency(window, metrics.itl) if tpot.mean_s is None else LatencySeries()
        e2e = _fetch_latency(window, metrics.e2e)
        if all(latency.mean_s is None for latency in (ttft, tpot, itl, e2e)):
            raise InputError(
                f"{window.source} has no latencies of {metrics.engine} {window.selector}.",
                remedy="Check the range, and that requests were served in it.",
            )
        counted = ttft if ttft.count else e2e
        rate_per_s = _fetch_rate(window, counted.name)
        kv_mean, kv_note = _fetch_kv_usage(window)
    return Measurement(
        source=window.source,
        ttft_s_mean=ttft.mean_s,
        ttft_s_p50=ttft.get_percentile(50),
        ttft_s_p95=ttft.get_percentile(95),
        ttft_s_p99=ttft.get_percentile(99),
        tpot_s_mean=tpot.mean_s if tpot.mean_s is not None else itl.mean_s,
        tpot_s_p50=tpot.get_percentile(50),
        tpot_s_p95=tpot.get_percentile(95),
        tpot_s_p99=tpot.get_percentile(99),
        e2e_s_mean=e2e.mean_s,
        kv_cache_usage_ratio_mean=kv_mean,
        rate_per_s=rate_per_s,
        num_requests=None if counted.count is None else round(counted.count),
        notes=(
            f"{metrics.engine} {window.selector}, all replicas together",
            *ttft.notes,
            *tpot.notes,
            _describe_tpot(tpot, itl),
            kv_note,
        ),
        is_tpot_per_token=itl.mean_s is not None,
        bucket_edges=ttft.get_edges("ttft_s") | tpot.get_edges("tpot_s"),
    )


def _fetch_latency(window: Window, candidates: tuple[str, ...]) -> LatencySeries:
    name = find_histogram(candidates, window.names)
    if name is None:
        return LatencySeries()
    selector = window.selector
    count = read_scalar(window.query(f"sum(increase({name}_count{selector}[$range]))"))
    total_s = read_scalar(window.query(f"sum(increase({name}_sum{selector}[$range]))"))
    if not count:  # nothing happened, or nobody looked: unknown either way
        return LatencySeries(name)
    buckets = window.query(f"sum by (le) (increase({name}_bucket{selector}[$range]))")
    upper_edges, counts = to_buckets(read_vector(buckets))
    found = {p: find_quantile(upper_edges, counts, p / 100) for p in (50, 95, 99)}
    return LatencySeries(
        name=name,
        count=count,
        mean_s=None if total_s is None else total_s / count,
        quantiles={p: quantile for p, quantile in found.items() if quantile is not None},
    )


def _fetch_rate(window: Window, name: str | None) -> float | None:
    """Requests per second over the part of the range that has samples."""
    if name is None:
        return None
    num_bins = window.choose_num_bins(f"{name}_count")
    series = window.query_bins(f"sum(increase({name}_count{window.selector}[$bin]))", num_bins)
    counts = series[0][1] if series else np.full(num_bins, np.nan)
    is_known = ~np.isnan(counts) & window.find_covered_bins(f"{name}_count", num_bins)
    if not is_known.any():
        return None
    return float(counts[is_known].sum() / (is_known.sum() * window.span_s / num_bins))


def _fetch_kv_usage(window: Window) -> tuple[float | None, str]:
    """Mean over replicas and all the time, as Measurement has it."""
    usage = find_gauge(window.engine.kv_usage, window.names)
    if usage is None:
        return None, "KV-cache usage is unknown: the engine exports none"
    step_s = max(_SMALLEST_SUBQUERY_STEP_S, window.span_s / _SUBQUERY_POINTS)
    samples = f"{usage}{window.selector}[$range:{round(step_s)}s]"
    promql = f"sum(sum_over_time({samples})) / sum(count_over_time({samples}))"
    mean = read_scalar(window.query(promql))
    if mean is None or not 0.0 <= mean <= 1.0:
        return None, f"KV-cache usage is unknown: {usage} gives {mean}"
    return mean, f"{usage} is averaged over all the time, idle time included"


def _describe_tpot(tpot: LatencySeries, itl: LatencySeries) -> str:
    if itl.mean_s is not None:
        return f"TPOT is the mean of {itl.name} over tokens, not requests; quantiles are unknown"
    if tpot.mean_s is not None:
        return f"TPOT is {tpot.name}, a value a request"
    return "TPOT is unknown: the engine exports none without the first token"
