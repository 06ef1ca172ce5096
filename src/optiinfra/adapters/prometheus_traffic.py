"""Traffic drawn from the engines' length histograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx
import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.prometheus_names import find_histogram
from optiinfra.adapters.prometheus_series import find_longest_run, to_buckets
from optiinfra.adapters.prometheus_window import Filters, Window, open_window
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.histograms import LengthHistogram, draw_from_histograms


@dataclass(frozen=True, slots=True)
class LengthSeries:
    """A length histogram's increases: counts[bins, edges] and token sums[bins], NaN unknown."""

    name: str
    upper_edges: NDArray[np.float64]
    counts: NDArray[np.float64]
    token_sums: NDArray[np.float64]

    def make_histogram(self, first: int, end: int) -> LengthHistogram:
        """The histogram of the bins from `first` to before `end`, which must be known."""
        counts = self.counts[first:end]
        total, tokens = counts.sum(), self.token_sums[first:end].sum()
        is_known = np.isfinite(tokens) and total > 0
        return LengthHistogram(
            self.upper_edges, counts, float(tokens / total) if is_known else None
        )


def fetch_traffic(
    url: str,
    start: datetime,
    end: datetime,
    *,
    seed: int,
    model_name: str | None = None,
    engine: str | None = None,
    labels: Mapping[str, str] | None = None,
    http: httpx.Client | None = None,
) -> Trace:
    """A synthetic trace drawn from the engines' length histograms between two instants.

    `model_name`, `engine` and `labels` narrow the series; the first two are needed where the server
    knows several. `http` brings a client with other credentials or certificates.

    Raises:
        InputError: the server cannot be used, or has no length histograms for the range.
    """
    filters = Filters(model_name, engine, labels)
    with open_window(url, start, end, filters, http) as window:
        metrics = window.engine
        prompts_name = find_histogram(metrics.prompt_tokens, window.names)
        outputs_name = find_histogram(metrics.output_tokens, window.names)
        if prompts_name is None or outputs_name is None:
            raise InputError(
                f"{window.source} has no length histograms of {metrics.engine} "
                f"({metrics.prompt_tokens[0]}, {metrics.output_tokens[0]}).",
                remedy="Have the engine export them (older SGLang: --collect-tokens-histogram), "
                "or give a trace.",
            )
        num_bins = window.choose_num_bins(f"{prompts_name}_count")
        prompts = _fetch_lengths(window, prompts_name, num_bins)
        outputs = _fetch_lengths(window, outputs_name, num_bins)
        is_covered = window.find_covered_bins(f"{prompts_name}_count", num_bins)
    return draw_traffic(prompts, outputs, is_covered, window=window, seed=seed)


def _fetch_lengths(window: Window, name: str, num_bins: int) -> LengthSeries:
    buckets = window.query_bins(
        f"sum by (le) (increase({name}_bucket{window.selector}[$bin]))", num_bins
    )
    sums = window.query_bins(f"sum(increase({name}_sum{window.selector}[$bin]))", num_bins)
    upper_edges, counts = to_buckets(buckets)
    if not upper_edges.size:
        raise InputError(
            f"{window.source} has no samples of {name}{window.selector}.",
            remedy="Check the range and the model's name.",
        )
    token_sums = sums[0][1] if sums else np.full(num_bins, np.nan)
    return LengthSeries(name, upper_edges, counts, token_sums)


def draw_traffic(
    prompts: LengthSeries,
    outputs: LengthSeries,
    is_covered: NDArray[np.bool_],
    *,
    window: Window,
    seed: int,
) -> Trace:
    """The trace of the longest stretch of covered bins in which both histograms are known."""
    num_bins = len(prompts.counts)
    bin_s = window.span_s / num_bins
    is_known = ~np.isnan(np.hstack((prompts.counts, outputs.counts))).any(axis=1)
    first, end = find_longest_run(np.asarray(is_known & is_covered, np.bool_))
    histograms = prompts.make_histogram(first, end), outputs.make_histogram(first, end)
    drawn = f"drawn from {prompts.name} and {outputs.name} {window.selector}"
    notes = [
        f"{drawn}, {end - first} bins of {bin_s:.0f} s",
        "engines count a request when it ends: the load's shape is delayed and blurred by as much",
        "arrivals inside a bin are uniform, as of a Poisson stream: shorter bursts are lost",
        "which prompt had which output is not in the histograms: drawn independently",
        "shared prefixes are not in the histograms: none are drawn",
    ]
    if end - first < num_bins:
        notes.append(
            f"of {num_bins} bins only the longest stretch with samples is used, "
            f"from {window.start + timedelta(seconds=first * bin_s):%Y-%m-%d %H:%M:%S} UTC"
        )
    for series, histogram in zip((prompts, outputs), histograms, strict=True):
        notes += _describe_lengths(series, histogram)
    try:
        trace = draw_from_histograms(
            seed=seed,
            bin_s=bin_s,
            prompts=histograms[0],
            outputs=histograms[1],
            source=window.source,
            notes=tuple(notes),
        )
    except ValueError as error:
        raise InputError(
            f"{window.source}: no traffic can be drawn ({error}).",
            remedy="Choose a range in which requests were served.",
        ) from error
    return replace(trace, started_at=window.start + timedelta(seconds=first * bin_s))


def _describe_lengths(series: LengthSeries, histogram: LengthHistogram) -> list[str]:
    """How lengths inside the buckets were drawn, and what lies above the last edge."""
    if histogram.mean_tokens is None:
        inside = "are uniform, as the mean is unknown"
    else:
        inside = f"keep the mean of {histogram.mean_tokens:.1f} tokens"
    notes = [f"{series.name}: lengths inside a bucket {inside}"]
    by_edge = histogram.counts.sum(axis=0)
    if np.isinf(histogram.upper_edges[-1]) and by_edge[-1] > 0 and by_edge.size > 1:
        share = by_edge[-1] / by_edge.sum()
        last = histogram.upper_edges[-2]
        notes.append(
            f"{series.name}: {share:.1%} lie above the last edge, {last:g} tokens; "
            "taken as up to twice that"
        )
    return notes
