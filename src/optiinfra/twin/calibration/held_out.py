"""Predictions of every group by constants that were fitted without it.

Leave one group out: a group is (model, GPU, engine). Points of other groups that are the same
measurement under another name are left out of the fit too. Intervals for a group, and the share
that the model has beside the curve without one, come from the residuals of the other groups, each
predicted by a fit that saw neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from optiinfra.twin.calibration.fit import Fit, compute_weights, find_falling, fit_constants
from optiinfra.twin.performance.anchor_points import Prediction, find_anchors
from optiinfra.twin.performance.anchors import (
    blend_tpot,
    compute_anchored_running,
    predict_points,
)
from optiinfra.twin.performance.closed_loop import LOOP_BOUNDS, LoopConstants, predict_tpot
from optiinfra.twin.performance.intervals import COVERAGE_RATIO, LogInterval, fit_interval
from optiinfra.twin.performance.spread import SPREAD_QUANTILE, Spread, fit_spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

FIGURES: Final = ("tpot", "ttft")
NUM_INNER_FOLDS: Final = 3
INNER_EVALUATIONS: Final = 10
OUTER_EVALUATIONS: Final = 25
# The interval whose width depends on engine and GPU generation: with anchors there is little left.
SPREAD_KEY: Final = ("tpot", 0)
MIN_SPREAD: Final = 0.01  # of a group that is predicted better than it can be measured
NUM_SHARES: Final = 39  # values of the model's share that are tried, evenly within its bounds


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


@dataclass(frozen=True)
class CrossFit:
    """What only points that a fit did not see can tell; see `cross_fit`."""

    model_share: float
    intervals: Mapping[tuple[str, int], LogInterval]
    spread: Spread

    def complete(self, fit: Fit) -> Fit:
        """The fit with the model's share between two anchors."""
        return replace(fit, loop=replace(fit.loop, model_share=self.model_share))


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
        cross = cross_fit(table, others, anchor_counts)
        fit = cross.complete(fit_constants(table, others, max_evaluations=OUTER_EVALUATIONS))
        for count in anchor_counts:
            figures = predict_with(table, fit, num_anchors=count)
            predicted["tpot", count][own] = figures.tpot_s[own]
            predicted["ttft", count][own] = figures.ttft_s[own]
        for key, interval in cross.intervals.items():
            factor = _get_factors(table, cross.spread)[group] if key == SPREAD_KEY else 1.0
            bounds[key][:, own] = np.exp(factor * np.array([[interval.low], [interval.high]]))
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


def cross_fit(
    table: PointTable, is_used: NDArray[np.bool_], anchor_counts: Sequence[int]
) -> CrossFit:
    """The model's share, and intervals by figure and number of anchors.

    Curves whose TPOT falls as load rises are left out. The groups are dealt to NUM_INNER_FOLDS
    folds; each fold is predicted by a fit to the rest. Without intervals, and with the share as it
    comes, where fewer than two groups are used.
    """
    is_used = is_used & ~find_falling(table, table.tpot_s)
    used = sorted(set(table.group[is_used].tolist()))
    folds: list[tuple[Fit, NDArray[np.bool_]]] = []
    for fold in range(min(NUM_INNER_FOLDS, len(used))):
        held = used[fold::NUM_INNER_FOLDS]
        train = is_used & find_other_points(table, held)
        if train.any():
            fit = fit_constants(table, train, max_evaluations=INNER_EVALUATIONS)
            folds.append((fit, is_used & np.isin(table.group, held)))
    cross = CrossFit(_fit_share(table, folds), {}, Spread())
    residuals = _predict_folds(table, folds, cross, anchor_counts)
    if SPREAD_KEY in residuals:
        cross = replace(cross, spread=_fit_spread(table, residuals[SPREAD_KEY]))
        factors = _get_factors(table, cross.spread)
        residuals[SPREAD_KEY] = residuals[SPREAD_KEY] / factors[table.group]
    intervals = {
        key: fit_interval(
            values,
            table.group,
            coverage_ratio=COVERAGE_RATIO,
            is_symmetric=key == SPREAD_KEY,
        )
        for key, values in residuals.items()
    }
    return replace(cross, intervals=intervals)


def _fit_share(table: PointTable, folds: Sequence[tuple[Fit, NDArray[np.bool_]]]) -> float:
    """The share with the least mean absolute log error of TPOT between two anchors."""
    anchors = find_anchors(table, 2)
    shares = np.linspace(*LOOP_BOUNDS["model_share"], NUM_SHARES)
    error = np.zeros(NUM_SHARES)
    is_judged = np.zeros(table.concurrency.size, np.bool_)
    for _, own in folds:
        is_judged |= own & anchors.is_scored
    if not is_judged.any():
        return LoopConstants().model_share
    weights = np.zeros(is_judged.size)
    weights[is_judged] = compute_weights(table, is_judged) ** 2
    for fit, own in folds:
        running = compute_anchored_running(table, fit.step, fit.loop)
        tpot_s = predict_tpot(table, fit.step, fit.loop, running).tpot_s
        judged = own & is_judged
        for index, share in enumerate(shares):
            blended_s = blend_tpot(table, tpot_s, running, anchors, model_share=share)
            off = np.abs(np.log(blended_s[judged] / table.tpot_s[judged]))
            error[index] += float(weights[judged] @ off)
    return float(shares[int(error.argmin())])


def _predict_folds(
    table: PointTable,
    folds: Sequence[tuple[Fit, NDArray[np.bool_]]],
    cross: CrossFit,
    anchor_counts: Sequence[int],
) -> dict[tuple[str, int], NDArray[np.float64]]:
    """log(measured / predicted) of every fold's points, float64[n], NaN elsewhere; none empty."""
    keys = [(figure, count) for figure in FIGURES for count in anchor_counts]
    residuals = {key: np.full(table.concurrency.size, np.nan) for key in keys}
    for fit, own in folds:
        for count in anchor_counts:
            figures = predict_with(table, cross.complete(fit), num_anchors=count)
            residuals["tpot", count][own] = np.log(table.tpot_s / figures.tpot_s)[own]
            residuals["ttft", count][own] = np.log(table.ttft_s / figures.ttft_s)[own]
    return {key: values for key, values in residuals.items() if np.isfinite(values).any()}


def _fit_spread(table: PointTable, residuals: NDArray[np.float64]) -> Spread:
    """Spread by engine and generation of the groups that have residuals."""
    has_fp4 = _find_fp4(table)
    is_known = np.isfinite(residuals)
    used = sorted(set(table.group[is_known].tolist()))
    spreads = [
        np.quantile(np.abs(residuals[is_known & (table.group == group)]), SPREAD_QUANTILE)
        for group in used
    ]
    return fit_spread(
        [table.groups[group].engine for group in used],
        [bool(has_fp4[group]) for group in used],
        np.maximum(spreads, MIN_SPREAD),
    )


def _get_factors(table: PointTable, spread: Spread) -> NDArray[np.float64]:
    """What multiplies each group's log bounds, float64[groups]."""
    pairs = zip(table.groups, _find_fp4(table).tolist(), strict=True)
    return np.array([spread.get_factor(g.engine, has_fp4=fp4) for g, fp4 in pairs])


def _find_fp4(table: PointTable) -> NDArray[np.bool_]:
    """Groups whose GPU type has FP4 units, bool[groups]."""
    own = {c.deployment.group: c.deployment.gpu.fp4_flops is not None for c in table.curves}
    return np.array([own[group] for group in table.groups])


def find_other_points(table: PointTable, groups: Iterable[int]) -> NDArray[np.bool_]:
    """Points outside the groups that are not the same measurement under another name, bool[n]."""
    is_held = np.isin(table.group, list(groups))
    figures = np.stack([table.tpot_s, table.ttft_s, table.concurrency], axis=1)
    seen = {tuple(row) for row in figures[is_held].tolist()}
    is_same = np.array([tuple(row) in seen for row in figures.tolist()])
    others: NDArray[np.bool_] = ~is_held & ~is_same
    return others
