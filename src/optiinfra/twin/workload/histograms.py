"""Requests drawn from histograms of lengths and counts over time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import Trace

_MAX_REQUESTS = 50_000_000
_MAX_TOKENS = 10_000_000


@dataclass(frozen=True)
class LengthHistogram:
    """How many requests had a length in each bucket, time bin by time bin.

    upper_edges float64[m], rising; bucket k holds lengths above edge k - 1 (0 for the first) up to
    edge k; the last edge may be infinite. counts float64[num_bins, m] >= 0. `mean_tokens` over all
    bins, where it is known, fixes where inside the buckets the lengths lie.
    """

    upper_edges: NDArray[np.float64]
    counts: NDArray[np.float64]
    mean_tokens: float | None = None

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or self.counts.shape[1] != self.upper_edges.size:  # noqa: PLR2004
            message = "counts has a row a bin and a column an edge"
            raise ValueError(message)
        if np.any(np.diff(self.upper_edges) <= 0) or not np.all(self.counts >= 0):
            message = "edges rise and counts are not negative"
            raise ValueError(message)


def draw_from_histograms(
    *,
    seed: int,
    bin_s: float,
    prompts: LengthHistogram,
    outputs: LengthHistogram,
    source: str,
    notes: tuple[str, ...] = (),
) -> Trace:
    """A synthetic trace with the prompts' counts in each bin of `bin_s` seconds.

    Counts are rounded so that their running sum stays within half a request. Arrivals are uniform
    inside a bin (a Poisson stream given its count). Prompt and output lengths are independent, as
    two histograms do not say how they belong together; a bin without outputs draws them from all.

    Raises:
        ValueError: no request in any bin, or more than 50 million.
    """
    num_bins = prompts.counts.shape[0]
    if outputs.counts.shape[0] != num_bins:
        message = "both histograms have the same bins"
        raise ValueError(message)
    running = np.rint(np.cumsum(prompts.counts.sum(axis=1)))
    num_requests = int(running[-1])
    if not 1 <= num_requests <= _MAX_REQUESTS:
        message = f"{num_requests} requests: between 1 and {_MAX_REQUESTS} can be drawn"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    in_bin = np.diff(running, prepend=0.0).astype(np.int64)
    bins = np.repeat(np.arange(num_bins), in_bin)
    arrival_s = np.sort((bins + rng.random(num_requests)) * bin_s)
    return Trace(
        arrival_s=arrival_s - arrival_s[0],
        prompt_tokens=_draw_lengths(rng, prompts, bins),
        output_tokens=_draw_lengths(rng, outputs, bins),
        source=source,
        is_synthetic=True,
        notes=(f"synthetic: drawn from histograms, seed {seed}", *notes),
    )


def _draw_lengths(
    rng: np.random.Generator, histogram: LengthHistogram, bins: NDArray[np.int64]
) -> NDArray[np.int32]:
    """One length for every entry of `bins`, from that bin's counts."""
    counts = histogram.counts
    overall = counts.sum(axis=0)
    if overall.sum() <= 0:
        message = "a length histogram is empty"
        raise ValueError(message)
    counts = np.where(counts.sum(axis=1, keepdims=True) > 0, counts, overall)
    shares = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    # every bin's distribution on its own unit interval: one search serves all requests
    ladder = (shares + np.arange(len(shares))[:, None]).ravel()
    rungs = np.searchsorted(ladder, bins + _draw_even_levels(rng, bins), side="right")
    bucket = np.clip(rungs - bins * counts.shape[1], 0, counts.shape[1] - 1)

    lower, width = _get_buckets(histogram.upper_edges)
    spread = _find_spread(lower, width, overall / overall.sum(), histogram.mean_tokens)
    level = _draw_even_levels(rng, np.zeros_like(bins))
    depth = level ** ((1.0 - spread) / spread)
    tokens = lower[bucket] + np.ceil(width[bucket] * depth)
    clipped = np.clip(tokens, lower[bucket] + 1, _MAX_TOKENS)
    return np.asarray(clipped, np.int32)


def _draw_even_levels(rng: np.random.Generator, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Uniform levels in random order, one in each n-th of 0..1 in a group of n; groups are sorted.

    Drawn so, a group repeats its histogram but for rounding, where independent levels would add
    noise that was not in the measurement.
    """
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(groups + rng.random(groups.size), kind="stable")
    return np.asarray(
        (order - starts[groups] + rng.random(groups.size)) / sizes[groups], np.float64
    )


def _get_buckets(
    upper_edges: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower edge and width of each bucket in tokens; an open last one is as wide as its edge."""
    edges = np.floor(np.concatenate(([0.0], upper_edges)))
    if np.isinf(edges[-1]):
        edges[-1] = max(2 * edges[-2], 1.0)
    edges = np.clip(edges, 0.0, _MAX_TOKENS)
    return edges[:-1], np.maximum(np.diff(edges), 1.0)


def _find_spread(
    lower: NDArray[np.float64],
    width: NDArray[np.float64],
    shares: NDArray[np.float64],
    mean_tokens: float | None,
) -> float:
    """Mean depth of a length inside its bucket, 0..1, that gives the known mean; else the middle.

    With depth u ** g and u uniform the mean depth is 1 / (1 + g): the mean is met exactly but for
    rounding up to whole tokens, which adds half a token in a wide bucket.
    """
    if mean_tokens is None:
        return 0.5
    rounding = 0.5 * float(shares[width > 1].sum())
    reach = float(shares @ width)
    depth = (mean_tokens - float(shares @ lower) - rounding) / reach
    return min(max(depth, 0.02), 0.98)
