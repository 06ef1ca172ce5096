"""How far the uncalibrated twin may be off, from points it never saw.

The distribution of measured / predicted TPOT over 636 measured points of dense models on H100, H200
and B200 (aiconfigurator, Apache-2.0, 095f58a5), every (model, GPU, engine) group weighing the same.
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
        *(0.363, 0.415, 0.541, 0.648, 0.735, 0.802, 0.858),
        *(0.884, 0.916, 0.934, 0.953, 0.970, 0.995, 1.022),
        *(1.051, 1.083, 1.130, 1.176, 1.239, 1.338, 1.778),
    ]
)
NUM_GROUPS = 7  # (model, GPU, engine) groups among the points; points of one group err alike
COVERAGE_RATIO = 0.90
LOW_LEVEL = (1.0 - COVERAGE_RATIO) / 2
HIGH_LEVEL = 1.0 - LOW_LEVEL
METHOD = (
    f"simulated with every step {STEP_RATIO_QUANTILES[1]:.2f} and {STEP_RATIO_QUANTILES[19]:.2f} "
    "times as long as predicted: 90 % of 636 measured points of dense models on H100, H200 and "
    "B200 lay between the two around the same uncalibrated model, every (model, GPU, engine) group "
    "weighing the same"
)


def compute_step_ratio(level: float) -> float:
    """Quantile of measured / predicted step time at `level` in 0..1."""
    return float(np.interp(level, LEVELS, STEP_RATIO_QUANTILES))


def compute_step_ratio_share(ratio: float) -> float:
    """Share of measured points whose steps took at most `ratio` times the prediction, 0..1."""
    return float(np.interp(ratio, STEP_RATIO_QUANTILES, LEVELS))
