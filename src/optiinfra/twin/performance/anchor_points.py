"""Which points of a table are anchors, and what a prediction of its points holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable


@dataclass(frozen=True, slots=True)
class Prediction:
    """float64[n] in seconds; NaN at points that are anchors themselves."""

    tpot_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]


@dataclass(frozen=True)
class Anchors:
    """Where each point's anchors are (int64[n], indices of points) and how they lie."""

    num: int
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    is_scored: NDArray[np.bool_]  # points that are no anchor


def find_anchors(table: PointTable, num_anchors: int) -> Anchors:
    """The anchors of every point's curve. Raises ValueError for a number that is not 0, 1 or 2."""
    if num_anchors not in {0, 1, 2}:
        message = f"anchors are 0, 1 or 2, not {num_anchors}"
        raise ValueError(message)
    sizes = np.diff(table.start)
    low = np.repeat(table.start[:-1], sizes)
    high = np.repeat(table.start[1:] - 1, sizes)
    index = np.arange(table.concurrency.size)
    is_scored = np.ones(index.size, np.bool_)
    if num_anchors > 0:
        is_scored &= index != low
    if num_anchors > 1:
        is_scored &= index != high
    return Anchors(num_anchors, low, high, is_scored)
