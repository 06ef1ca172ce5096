"""The traffic of a trace in figures for a report, with its load over time. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.analysis import Distribution, TraceSummary
from optiinfra.domain.trace import Trace

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
