"""How far the uncalibrated twin may be off, from points it never saw.

The distribution of measured / predicted TPOT over 1,673 measured points of 24 (model, GPU, engine)
groups, dense and mixtures of experts, on H100, H200, B200 and B300 (aiconfigurator, Apache-2.0,
095f58a5): each group predicted by constants fitted to the others, every group weighing the same.
`benchmarks/silicon_points.py` prints it and checks this table against the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS: NDArray[np.float64] = np.linspace(0.0, 1.0, 21)
STEP_RATIO_QUANTILES: NDArray[np.float64] = np.array(
    [
        *(0.458, 0.695, 0.751, 0.798, 0.839, 0.881, 0.907),
        *(0.932, 0.956, 0.972, 0.987, 1.006, 1.027, 1.054),
        *(1.081, 1.119, 1.159, 1.220, 1.313, 1.509, 3.544),
    ]
)
NUM_GROUPS = 24  # (model, GPU, engine) groups among the points; points of one group err alike
COVERAGE_RATIO = 0.90
LOW_LEVEL = (1.0 - COVERAGE_RATIO) / 2
HIGH_LEVEL = 1.0 - LOW_LEVEL
METHOD = (
    f"simulated with every step {STEP_RATIO_QUANTILES[1]:.2f} and {STEP_RATIO_QUANTILES[19]:.2f} "
    "times as long as predicted: 90 % of 1,673 measured points on H100, H200, B200 and B300 lay "
    "between the two around a model that had not seen their (model, GPU, engine) group, every "
    "group weighing the same"
)


def compute_step_ratio(level: float) -> float:
    """Quantile of measured / predicted step time at `level` in 0..1."""
    return float(np.interp(level, LEVELS, STEP_RATIO_QUANTILES))


def compute_step_ratio_share(ratio: float) -> float:
    """Share of measured points whose steps took at most `ratio` times the prediction, 0..1."""
    return float(np.interp(ratio, STEP_RATIO_QUANTILES, LEVELS))
