"""Quantiles of many histograms of the same edges at once, with the bucket each lies in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Quantiles(NamedTuple):
    """One value a histogram, NaN where it is not known; `low` and `high` bound the bucket.

    Above the last finite edge only `low` is known.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def compute_quantiles(
    edges: NDArray[np.float64], cumulative: NDArray[np.float64], ratio: float
) -> Quantiles:
    """Interpolated inside the bucket, as PromQL's histogram_quantile does.

    `edges` (k,) rise and end in infinity, `cumulative` (n, k) are counts at or below them. Unlike
    histogram_quantile nothing is said above the last finite edge, nor below the first if that is
    not positive, for there the distance is not known.
    """
    count = cumulative[:, -1]
    rank = ratio * count
    place = np.minimum((cumulative < rank[:, None]).sum(axis=1), edges.size - 1)
    rows = np.arange(count.size)
    below = np.where(place > 0, cumulative[rows, place - 1], 0.0)
    first_low = 0.0 if edges[0] > 0 else np.nan
    low = np.where(place > 0, edges[place - 1], first_low)
    high = edges[place]
    inside = cumulative[rows, place] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(inside > 0, (rank - below) / inside, 1.0)
        value = low + (high - low) * share
    is_known = np.isfinite(count) & (count > 0)
    is_finite = is_known & np.isfinite(high)
    return Quantiles(
        np.where(is_finite, value, np.nan),
        np.where(is_known, low, np.nan),
        np.where(is_finite, high, np.nan),
    )
