"""Workloads: generated, drawn from histograms, scaled, summarised. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.analysis import Distribution, TraceSummary
from optiinfra.domain.trace import Trace
from optiinfra.twin.workload_conversation import generate_conversation
from optiinfra.twin.workload_histograms import LengthHistogram, draw_from_histograms
from optiinfra.twin.workload_prefixes import fit_prefix_hashes

__all__ = [
    "LengthHistogram",
    "draw_from_histograms",
    "generate_conversation",
    "scale_lengths",
    "scale_rate",
    "summarize",
]

_MAX_TOKENS = 10_000_000
_ROUND_BINS_S = (
    0.001,
    0.01,
    0.1,
    1,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    86_400,
)
_WANTED_BINS = 120
_MAX_BINS = 100_000


def scale_rate(trace: Trace, factor: float) -> Trace:
    """The same requests arriving `factor` times as fast: every gap is divided by it."""
    _check_factor(factor)
    if factor == 1.0:
        return trace
    return replace(
        trace,
        arrival_s=trace.arrival_s / factor,
        notes=(*trace.notes, f"arrivals scaled: {factor:g} times the rate"),
    )


def scale_lengths(trace: Trace, factor: float) -> Trace:
    """The same arrivals with prompts and outputs `factor` times as long, rounded, at least 1.

    Prefix hashes follow: a shorter prompt loses its last blocks and the rest stays shared; the
    blocks added to a longer one are shared by nobody.
    """
    _check_factor(factor)
    if factor == 1.0:
        return trace
    prompts, outputs = (
        np.clip(np.rint(tokens * factor), 1, _MAX_TOKENS).astype(np.int32)
        for tokens in (trace.prompt_tokens, trace.output_tokens)
    )
    hashes = trace.prefix_hashes
    return replace(
        trace,
        prompt_tokens=prompts,
        output_tokens=outputs,
        prefix_hashes=None if hashes is None else fit_prefix_hashes(hashes, prompts),
        notes=(*trace.notes, f"prompts and outputs scaled by {factor:g}"),
    )


def cap_lengths(trace: Trace, max_tokens: int) -> Trace:
    """The same requests, none longer than `max_tokens` in all: prompts lose what is too much.

    An output longer than that is cut to `max_tokens` - 1. Raises ValueError below 2 tokens.
    """
    if max_tokens < 2:  # noqa: PLR2004 - one prompt token and one output token
        raise ValueError("a request has at least two tokens")
    outputs = np.minimum(trace.output_tokens, max_tokens - 1)
    prompts = np.minimum(trace.prompt_tokens, max_tokens - outputs)
    num_cut = int(((prompts < trace.prompt_tokens) | (outputs < trace.output_tokens)).sum())
    if num_cut == 0:
        return trace
    hashes = trace.prefix_hashes
    return replace(
        trace,
        prompt_tokens=prompts,
        output_tokens=outputs,
        prefix_hashes=None if hashes is None else fit_prefix_hashes(hashes, prompts),
        notes=(*trace.notes, f"{num_cut} requests cut to {max_tokens} tokens"),
    )


def summarize(trace: Trace, bin_s: float | None = None) -> TraceSummary:
    """The traffic in figures, with its load over time in bins of `bin_s` seconds.

    Without `bin_s` the span is cut into at most 120 equal bins of about a round number of seconds;
    below a millisecond there is one bin of a second.
    With it the last bin may reach past the end. A bin's rate times its width is its count.

    Raises:
        ValueError: `bin_s` is not positive or makes more than 100,000 bins.
    """
    span_s = trace.span_s
    if bin_s is None:
        round_s = next(
            (b for b in _ROUND_BINS_S if span_s <= b * _WANTED_BINS), span_s / _WANTED_BINS
        )
        num_bins = min(max(round(span_s / round_s), 1), _WANTED_BINS)
        bin_s = span_s / num_bins if span_s >= _ROUND_BINS_S[0] else 1.0
    elif not (bin_s > 0 and span_s / bin_s < _MAX_BINS):
        message = f"bins of {bin_s} s do not suit a trace of {span_s} s"
        raise ValueError(message)
    else:
        num_bins = int(span_s / bin_s) + 1
    bins = np.minimum((trace.arrival_s / bin_s).astype(np.int64), num_bins - 1)
    tokens = trace.prompt_tokens.astype(np.float64) + trace.output_tokens
    requests_in_bin = np.bincount(bins, minlength=num_bins)
    tokens_in_bin = np.bincount(bins, weights=tokens, minlength=num_bins)
    return TraceSummary(
        source=trace.source,
        digest=trace.digest,
        is_synthetic=trace.is_synthetic,
        num_requests=trace.num_requests,
        span_s=span_s,
        rate_per_s=trace.rate_per_s,
        prompt_tokens=_distribution(trace.prompt_tokens),
        output_tokens=_distribution(trace.output_tokens),
        bin_s=bin_s,
        requests_per_s=tuple((requests_in_bin / bin_s).tolist()),
        tokens_per_s=tuple((tokens_in_bin / bin_s).tolist()),
        started_at=None if trace.started_at is None else trace.started_at.isoformat(),
        has_prefix_hashes=trace.prefix_hashes is not None,
        notes=trace.notes,
    )


def _distribution(values: NDArray[np.int32]) -> Distribution:
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return Distribution(mean=float(values.mean()), p50=p50, p95=p95, p99=p99)


def _check_factor(factor: float) -> None:
    if not (np.isfinite(factor) and factor > 0):
        message = f"a scale factor is positive, not {factor}"
        raise ValueError(message)
