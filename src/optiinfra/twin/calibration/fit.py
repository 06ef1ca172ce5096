"""Constants fitted to measured points: in log space, bounded, robust, every group weighing alike.

Two residuals identify them together: that of TPOT itself (weight LEVEL_WEIGHT), and that which
remains between two anchors of the same deployment, which only the shape of the curve decides. All
constants are drawn weakly to where the literature has them (DRAW), so that what the data do not say
stays there; those of TTFT more (TTFT_DRAW), since TTFT scatters more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares

from optiinfra.twin.calibration.constants import (
    LOOP_START,
    STEP_NAMES,
    TPOT_LOOP_NAMES,
    TTFT_LOOP_NAMES,
    get_log_bounds,
    get_start,
    to_loop,
    to_step,
)
from optiinfra.twin.performance.anchor_points import find_anchors
from optiinfra.twin.performance.anchors import (
    compute_anchored_running,
    correct_tpot,
    predict_ttft,
)
from optiinfra.twin.performance.closed_loop import LoopConstants, compute_running, predict_tpot
from optiinfra.twin.performance.effects import Effects, fit_effects
from optiinfra.twin.step_time import StepConstants

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

LEVEL_WEIGHT = 0.2
DRAW = 0.02
TTFT_DRAW = 0.1
LEVEL_SCALE = 0.2  # log error above which a level counts linearly, not as a square
SHAPE_SCALE = 0.05
MAX_EVALUATIONS = 60
NOT_FALLING_RATIO = 0.75  # of an earlier figure, load rising, below which a curve is left out
_NAMES = STEP_NAMES + TPOT_LOOP_NAMES


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit found."""

    step: StepConstants
    loop: LoopConstants
    effects: Effects


def fit_constants(
    table: PointTable,
    is_used: NDArray[np.bool_],
    *,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Fit:
    """Constants and effects fitted to the points of `is_used` bool[n]; others are not looked at.

    Nor are the curves whose TPOT falls as load rises: they measure something else as well.
    Raises ValueError where no point is used.
    """
    is_used = is_used & ~find_falling(table, table.tpot_s)
    if not is_used.any():
        message = "a fit needs at least one point"
        raise ValueError(message)
    step, loop = _fit_tpot(table, is_used, max_evaluations)
    loop = _fit_ttft(table, is_used, step, loop, max_evaluations)
    effects = _fit_effects(table, is_used, step, loop)
    return Fit(step, loop, effects)


def find_falling(table: PointTable, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points of curves where a figure falls by a quarter or more as load rises, bool[n]."""
    is_falling = np.zeros(values.size, np.bool_)
    for curve in range(len(table.curves)):
        own = table.get_slice(curve)
        highest = np.maximum.accumulate(values[own])
        is_falling[own] = bool(np.any(values[own][1:] < NOT_FALLING_RATIO * highest[:-1]))
    return is_falling


def compute_weights(table: PointTable, is_used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 / sqrt(points of its group) for every used point, float64[count]."""
    sizes = np.bincount(table.group[is_used], minlength=len(table.groups))
    weights: NDArray[np.float64] = 1.0 / np.sqrt(sizes[table.group[is_used]])
    return weights


def _fit_tpot(
    table: PointTable, is_used: NDArray[np.bool_], max_evaluations: int
) -> tuple[StepConstants, LoopConstants]:
    anchors = find_anchors(table, 2)
    is_inner = is_used & anchors.is_scored
    level_weights = LEVEL_WEIGHT * compute_weights(table, is_used)
    shape_weights = compute_weights(table, is_inner)
    start = get_start(_NAMES)
    running = compute_anchored_running(table, to_step(start, _NAMES), LOOP_START)

    def compute_residuals(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        step, loop = to_step(vector, _NAMES), to_loop(vector, _NAMES, LOOP_START)
        tpot_s = predict_tpot(table, step, loop, running).tpot_s
        level = np.log(tpot_s / table.tpot_s)[is_used]
        corrected_s = correct_tpot(table, tpot_s, running, anchors)
        shape = np.log(corrected_s / table.tpot_s)[is_inner]
        return np.concatenate(
            [
                level_weights * _soften(level, LEVEL_SCALE),
                shape_weights * _soften(shape, SHAPE_SCALE),
                DRAW * (vector - start),
            ]
        )

    vector = _solve(compute_residuals, _NAMES, max_evaluations)
    return to_step(vector, _NAMES), to_loop(vector, _NAMES, LOOP_START)


def _fit_ttft(
    table: PointTable,
    is_used: NDArray[np.bool_],
    step: StepConstants,
    loop: LoopConstants,
    max_evaluations: int,
) -> LoopConstants:
    anchors = find_anchors(table, 2)
    is_inner = is_used & anchors.is_scored
    if not is_inner.any():
        return loop
    weights = compute_weights(table, is_inner)
    start = get_start(TTFT_LOOP_NAMES)
    running = compute_anchored_running(table, step, loop)
    prior = predict_tpot(table, step, loop, running)
    tpot_s = correct_tpot(table, prior.tpot_s, running, anchors)

    def compute_residuals(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        trial = to_loop(vector, TTFT_LOOP_NAMES, loop)
        ttft_s = predict_ttft(
            table, trial, anchors, prefill_s=prior.prefill_s, tpot_s=tpot_s, running=running
        )
        shape = np.log(ttft_s / table.ttft_s)[is_inner]
        return np.concatenate([weights * _soften(shape, SHAPE_SCALE), TTFT_DRAW * (vector - start)])

    return to_loop(
        _solve(compute_residuals, TTFT_LOOP_NAMES, max_evaluations), TTFT_LOOP_NAMES, loop
    )


def _fit_effects(
    table: PointTable, is_used: NDArray[np.bool_], step: StepConstants, loop: LoopConstants
) -> Effects:
    """Effects of engine, GPU and model on the residuals that the constants leave."""
    tpot_s = predict_tpot(table, step, loop, compute_running(table)).tpot_s
    residual = np.log(table.tpot_s / tpot_s)
    used = sorted(set(table.group[is_used].tolist()))
    medians = [float(np.median(residual[is_used & (table.group == group)])) for group in used]
    return fit_effects([table.groups[group] for group in used], np.array(medians))


def _solve(
    compute_residuals: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    names: tuple[str, ...],
    max_evaluations: int,
) -> NDArray[np.float64]:
    low, high = get_log_bounds(names)
    start = np.clip(get_start(names), low + 1e-3, high - 1e-3)
    result = least_squares(
        compute_residuals,
        start,
        bounds=(low, high),
        x_scale=0.3,
        diff_step=1e-4,
        max_nfev=max_evaluations,
    )
    solution: NDArray[np.float64] = result.x
    return solution


def _soften(residual: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Residuals whose squares are the soft L1 loss: quadratic below `scale`, linear above."""
    squared = 2.0 * (np.sqrt(1.0 + (residual / scale) ** 2) - 1.0)
    softened: NDArray[np.float64] = scale * np.sign(residual) * np.sqrt(squared)
    return softened
