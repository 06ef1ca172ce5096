"""Reports of GuideLLM: benchmarks[].metrics.*.successful.{mean, median, percentiles}.

GuideLLM's inter_token_latency_ms is, request by request, our TPOT, but its summary weighs requests
by their tokens; so TPOT is taken from the requests themselves where all of them are in the report.
Its time_per_output_token_ms has the first token in it and is not used. Requests without a time are
zeros in its summaries. (guidellm schemas: metrics, request_stats, statistics.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.bench_reports_fields import (
    find_count,
    find_number,
    find_seconds,
    require_any_latency,
)
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import Measurement

_MS_PER_S = 1e3


def is_guidellm(document: dict[str, Any]) -> bool:
    """Whether this is such a report."""
    benchmarks = document.get("benchmarks")
    return isinstance(benchmarks, list) and all(
        isinstance(b, dict) and isinstance(b.get("metrics"), dict) for b in benchmarks
    )


def list_guidellm(path: Path, document: dict[str, Any]) -> list[str]:
    """The benchmarks of a report, for people.

    Raises:
        InputError: there is none.
    """
    if not document["benchmarks"]:
        raise InputError(
            "the report has no benchmark.", remedy="Let GuideLLM finish one.", file=str(path)
        )
    return [_describe(benchmark) for benchmark in document["benchmarks"]]


def make_guidellm(path: Path, source: str, benchmark: dict[str, Any]) -> Measurement:
    """The figures of one benchmark."""
    metrics = benchmark["metrics"]
    num_requests = find_count(metrics, "request_totals", "successful")
    ttft = metrics.get("time_to_first_token_ms")
    ttft_s_mean = find_seconds(ttft, "successful", "mean", units_per_s=_MS_PER_S)
    e2e_s_mean = find_seconds(metrics, "request_latency", "successful", "mean", units_per_s=1.0)
    tpots = _find_tpots(benchmark, num_requests)
    if tpots is not None:
        tpot_s_mean: float | None = float(tpots.mean())
        tpot_note = "TPOT is computed from the requests in the report"
    else:
        itl = metrics.get("inter_token_latency_ms")
        tpot_s_mean = find_seconds(itl, "successful", "mean", units_per_s=_MS_PER_S)
        tpot_note = "TPOT is GuideLLM's inter-token latency, a mean over tokens: no quantiles"
    require_any_latency(path, ttft_s_mean, tpot_s_mean, e2e_s_mean)
    rate_per_s, rate_note = _find_rate(benchmark)
    notes = ["GuideLLM: timed at the client, successful requests only", tpot_note, rate_note]
    if left_out := sum(
        find_count(metrics, "request_totals", status) or 0 for status in ("errored", "incomplete")
    ):
        notes.append(f"{left_out} requests failed or did not end and are in no figure")
    return Measurement(
        source=f"{source} (GuideLLM, {_describe(benchmark)})",
        ttft_s_mean=ttft_s_mean,
        ttft_s_p50=find_seconds(ttft, "successful", "median", units_per_s=_MS_PER_S),
        ttft_s_p95=find_seconds(ttft, "successful", "percentiles", "p95", units_per_s=_MS_PER_S),
        ttft_s_p99=find_seconds(ttft, "successful", "percentiles", "p99", units_per_s=_MS_PER_S),
        tpot_s_mean=tpot_s_mean,
        tpot_s_p50=None if tpots is None else float(np.percentile(tpots, 50)),
        tpot_s_p95=None if tpots is None else float(np.percentile(tpots, 95)),
        tpot_s_p99=None if tpots is None else float(np.percentile(tpots, 99)),
        e2e_s_mean=e2e_s_mean,
        rate_per_s=rate_per_s,
        num_requests=num_requests,
        notes=tuple(notes),
        is_tpot_per_token=tpots is None and tpot_s_mean is not None,
    )


def _find_tpots(benchmark: dict[str, Any], num_requests: int | None) -> NDArray[np.float64] | None:
    """TPOT of every request in seconds; None unless all successful requests are in the report."""
    requests = benchmark.get("requests")
    successful = requests.get("successful") if isinstance(requests, dict) else None
    if not isinstance(successful, list) or not successful or len(successful) != num_requests:
        return None
    found = [
        find_seconds(request, "inter_token_latency_ms", units_per_s=_MS_PER_S)
        for request in successful
    ]
    tpots = [tpot for tpot in found if tpot is not None]  # a one-token answer has none
    return np.array(tpots) if tpots else None


def _find_strategy(benchmark: dict[str, Any]) -> dict[str, Any]:
    """How requests were sent: under `config` in newer reports, `args` in older ones."""
    for holder in (benchmark.get("config"), benchmark.get("args")):
        strategy = holder.get("strategy") if isinstance(holder, dict) else None
        if isinstance(strategy, dict):
            return strategy
    return {}


def _find_rate(benchmark: dict[str, Any]) -> tuple[float | None, str]:
    strategy = _find_strategy(benchmark)
    kind = strategy.get("type_")
    asked = find_number(strategy, "rate")
    if kind in {"constant", "poisson"} and asked:
        return asked, "the rate is the one asked for"
    achieved = find_number(benchmark["metrics"], "requests_per_second", "successful", "mean")
    return achieved or None, f"the rate is the one achieved (strategy {kind or 'unknown'})"


def _describe(benchmark: dict[str, Any]) -> str:
    strategy = _find_strategy(benchmark)
    parts = [str(strategy.get("type_", "unknown strategy"))]
    if rate := find_number(strategy, "rate"):
        parts.append(f"{rate:g}/s")
    if streams := find_number(strategy, "streams"):
        parts.append(f"{streams:g} streams")
    return " ".join(parts)
