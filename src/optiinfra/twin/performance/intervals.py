"""Prediction intervals from the errors on groups that a prediction never saw.

Split conformal prediction (Vovk, Gammerman, Shafer 2005) on log(measured / predicted), groups
instead of points being exchangeable: points of one group err alike, so every group weighs the same,
and with G groups the level is raised to (1 + 1 / G) times itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COVERAGE_RATIO = 0.90


@dataclass(frozen=True, slots=True)
class LogInterval:
    """Bounds of log(measured / predicted)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -np.inf < self.low <= self.high < np.inf:
            message = f"an interval's bounds are finite and in order, not {self.low}, {self.high}"
            raise ValueError(message)

    @property
    def width_ratio(self) -> float:
        """Upper over lower bound."""
        return float(np.exp(self.high - self.low))


def fit_interval(
    residuals: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    coverage_ratio: float,
    is_symmetric: bool = False,
) -> LogInterval:
    """The interval that holds `coverage_ratio` of the residuals, every group weighing the same.

    residuals float64[n] are log(measured / predicted) of held-out points, `groups` int64[n] says
    whose. Both tails are as heavy, or with `is_symmetric` both bounds as far from 0, which one
    quantile decides. Raises ValueError where there is no residual.
    """
    is_known = np.isfinite(residuals)
    residuals, groups = residuals[is_known], groups[is_known]
    if residuals.size == 0:
        message = "an interval needs at least one residual"
        raise ValueError(message)
    sizes = np.bincount(groups)
    weights = 1.0 / sizes[groups]
    if is_symmetric:
        residuals = np.abs(residuals)
    order = np.argsort(residuals, kind="stable")
    cumulative = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    level = min(1.0, coverage_ratio * (1.0 + 1.0 / np.count_nonzero(sizes)))
    if is_symmetric:
        half = float(np.interp(level, cumulative, residuals[order]))
        return LogInterval(-half, half)
    tail = (1.0 - level) / 2.0
    low, high = np.interp([tail, 1.0 - tail], cumulative, residuals[order])
    return LogInterval(float(low), float(high))


def compute_interval_score(
    measured: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    *,
    coverage_ratio: float = COVERAGE_RATIO,
) -> NDArray[np.float64]:
    """Interval score over the measured value (Gneiting and Raftery 2007), float64[n]; lower wins.

    Width, plus 2 / alpha times the distance of a measured value outside.
    """
    alpha = 1.0 - coverage_ratio
    outside = np.maximum(low - measured, 0.0) + np.maximum(measured - high, 0.0)
    score: NDArray[np.float64] = ((high - low) + 2.0 / alpha * outside) / measured
    return score
