"""TPOT of the step-time model against measured points: where the printed interval comes from.

    OPTIINFRA_DATA=… python -m benchmarks.silicon_points

Points: `silicon/silicon_agg.csv`, measured (TTFT, TPOT) of closed-loop runs published by
aiconfigurator (Apache-2.0, 095f58a5). Every (model, GPU, engine) group is predicted by constants
that were fitted to the other groups, without anchors; what was left out is counted. The
distribution of measured / predicted, every group weighing the same, is the table that
`twin/uncertainty.py` ships; this command prints it again, and fails where the two differ.

Curves whose TPOT falls by a quarter as load rises are printed with their group and are not in the
distribution: they measure something else as well.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.calibration.silicon_points import read_silicon_points
from optiinfra.twin.calibration.fit import find_falling
from optiinfra.twin.calibration.held_out import compute_step_ratios
from optiinfra.twin.performance.points import PointTable, build_table
from optiinfra.twin.uncertainty import LEVELS, NUM_GROUPS, STEP_RATIO_QUANTILES

MAX_DIFFERENCE = 0.02


def print_groups(table: PointTable, ratios: NDArray[np.float64]) -> None:
    """One line a group: points, mean and median absolute error, bias of the prediction."""
    print(f"{'group':62} {'n':>4} {'MAPE':>7} {'median':>7} {'bias':>7}")
    for index, group in enumerate(table.groups):
        own = ratios[table.group == index]
        error = np.abs(1 / own - 1)
        bias = np.median(1 / own) - 1
        print(f"{group!s:62} {own.size:4} {error.mean():7.1%} {np.median(error):7.1%} {bias:+7.1%}")


def compute_quantiles(table: PointTable, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles 0 %, 5 %, … 100 % of measured / predicted, every group weighing the same."""
    is_used = ~find_falling(table, table.tpot_s)
    groups, ratios = table.group[is_used], ratios[is_used]
    weights = 1.0 / np.bincount(groups)[groups]
    order = np.argsort(ratios)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    quantiles: NDArray[np.float64] = np.exp(np.interp(LEVELS, cumulative, np.log(ratios[order])))
    return quantiles


def main() -> int:
    """Print errors and residual quantiles; 1 when the shipped table is another one."""
    folder = os.environ.get("OPTIINFRA_DATA")
    if not folder:
        print("OPTIINFRA_DATA names no folder: nothing measured.", file=sys.stderr)
        return 2
    points = read_silicon_points(Path(folder) / "silicon" / "silicon_agg.csv")
    table = build_table(points.curves)
    print(f"{table.concurrency.size} points; left out: {points.removed}")
    ratios = compute_step_ratios(table)
    print_groups(table, ratios)
    quantiles = compute_quantiles(table, ratios)
    print("quantiles of measured / predicted TPOT (0 %, 5 %, … 100 %):")
    print("(" + ", ".join(f"{q:.3f}" for q in quantiles) + ")")
    is_used = ~find_falling(table, table.tpot_s)
    num_groups = len(set(table.group[is_used].tolist()))
    print(f"{is_used.sum()} points of {num_groups} groups are in it")
    is_other = np.abs(np.log(quantiles / STEP_RATIO_QUANTILES)).max() > MAX_DIFFERENCE
    if is_other or num_groups != NUM_GROUPS:
        print("the shipped table in twin/uncertainty.py is another one", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
