"""Predictions of every group by constants that were fitted without it.

Leave one group out: a group is (model, GPU, engine). Points of other groups that are the same
measurement under another name are left out of the fit too. Intervals for a group come from the
residuals of the other groups, each predicted by a fit that saw neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from optiinfra.twin.calibration.fit import Fit, find_falling, fit_constants
from optiinfra.twin.performance.anchors import Prediction, predict_points
from optiinfra.twin.performance.intervals import COVERAGE_RATIO, LogInterval, fit_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

FIGURES: Final = ("tpot", "ttft")
NUM_INNER_FOLDS: Final = 3
INNER_EVALUATIONS: Final = 10
OUTER_EVALUATIONS: Final = 25


@dataclass(frozen=True)
class HeldOut:
    """Figures of every point, none of which the fit behind it saw: float64[n].

    `tpot_low` and `tpot_high` bound measured over predicted, as do those of TTFT; NaN at anchors.
    """

    prediction: Prediction
    tpot_low: NDArray[np.float64]
    tpot_high: NDArray[np.float64]
    ttft_low: NDArray[np.float64]
    ttft_high: NDArray[np.float64]


def predict_held_out(table: PointTable, anchor_counts: Sequence[int]) -> dict[int, HeldOut]:
    """Predictions and intervals of all points by number of anchors; costs four fits a group.

    Points of a group are NaN where there is no other group to fit to, and their intervals where
    there are fewer than two others.
    """
    n = table.concurrency.size
    keys = [(figure, count) for figure in FIGURES for count in anchor_counts]
    predicted = {key: np.full(n, np.nan) for key in keys}
    bounds = {key: np.full((2, n), np.nan) for key in keys}
    for group in range(len(table.groups)):
        own = table.group == group
        others = find_other_points(table, [group])
        if not (others & ~find_falling(table, table.tpot_s)).any():
            continue
        fit = fit_constants(table, others, max_evaluations=OUTER_EVALUATIONS)
        for count in anchor_counts:
            figures = predict_with(table, fit, num_anchors=count)
            predicted["tpot", count][own] = figures.tpot_s[own]
            predicted["ttft", count][own] = figures.ttft_s[own]
        for key, interval in fit_intervals(table, others, anchor_counts).items():
            bounds[key][:, own] = np.exp([[interval.low], [interval.high]])
    return {
        count: HeldOut(
            prediction=Prediction(tpot_s=predicted["tpot", count], ttft_s=predicted["ttft", count]),
            tpot_low=bounds["tpot", count][0],
            tpot_high=bounds["tpot", count][1],
            ttft_low=bounds["ttft", count][0],
            ttft_high=bounds["ttft", count][1],
        )
        for count in anchor_counts
    }


def compute_step_ratios(table: PointTable) -> NDArray[np.float64]:
    """Measured over predicted TPOT of every point by constants alone that did not see its group.

    No anchor and no effect of engine, GPU or model: what the simulator's step-time model is off.
    """
    ratios = np.full(table.concurrency.size, np.nan)
    for group in range(len(table.groups)):
        own = table.group == group
        fit = fit_constants(
            table, find_other_points(table, [group]), max_evaluations=OUTER_EVALUATIONS
        )
        predicted = predict_points(table, fit.step, fit.loop, num_anchors=0)
        ratios[own] = (table.tpot_s / predicted.tpot_s)[own]
    return ratios


def predict_with(table: PointTable, fit: Fit, *, num_anchors: int) -> Prediction:
    """Predictions of all points with one fit."""
    factors = np.array([fit.effects.get_factor(group) for group in table.groups])
    return predict_points(
        table, fit.step, fit.loop, num_anchors=num_anchors, factor=factors[table.group]
    )


def fit_intervals(
    table: PointTable, is_used: NDArray[np.bool_], anchor_counts: Sequence[int]
) -> dict[tuple[str, int], LogInterval]:
    """Intervals by figure and number of anchors, from groups that their fit did not see.

    Curves whose TPOT falls as load rises are left out. The groups are dealt to NUM_INNER_FOLDS
    folds; each fold is predicted by a fit to the rest. Empty where fewer than two groups are used.
    """
    is_used = is_used & ~find_falling(table, table.tpot_s)
    used = sorted(set(table.group[is_used].tolist()))
    if len(used) < 2:  # noqa: PLR2004
        return {}
    keys = [(figure, count) for figure in FIGURES for count in anchor_counts]
    residuals = {key: np.full(table.concurrency.size, np.nan) for key in keys}
    num_folds = min(NUM_INNER_FOLDS, len(used))
    for fold in range(num_folds):
        held = used[fold::num_folds]
        train = is_used & find_other_points(table, held)
        if not train.any():
            continue
        fit = fit_constants(table, train, max_evaluations=INNER_EVALUATIONS)
        own = is_used & np.isin(table.group, held)
        for count in anchor_counts:
            figures = predict_with(table, fit, num_anchors=count)
            residuals["tpot", count][own] = np.log(table.tpot_s / figures.tpot_s)[own]
            residuals["ttft", count][own] = np.log(table.ttft_s / figures.ttft_s)[own]
    return {
        key: fit_interval(values, table.group, coverage_ratio=COVERAGE_RATIO)
        for key, values in residuals.items()
        if np.isfinite(values).any()
    }


def find_other_points(table: PointTable, groups: Iterable[int]) -> NDArray[np.bool_]:
    """Points outside the groups that are not the same measurement under another name, bool[n]."""
    is_held = np.isin(table.group, list(groups))
    figures = np.stack([table.tpot_s, table.ttft_s, table.concurrency], axis=1)
    seen = {tuple(row) for row in figures[is_held].tolist()}
    is_same = np.array([tuple(row) in seen for row in figures.tolist()])
    others: NDArray[np.bool_] = ~is_held & ~is_same
    return others
