"""Anchors of one deployment used for another: the same model on another GPU type or more ranks.

What a recommendation needs: with the present deployment measured, which of the others gives the
most tokens a second for each GPU.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from optiinfra.twin.calibration.fit import fit_constants
from optiinfra.twin.calibration.held_out import find_other_points
from optiinfra.twin.performance.anchors import predict_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.calibration.fit import Fit
    from optiinfra.twin.performance.points import PointTable

MIN_TARGETS = 3  # points of other deployments, below which a rank says nothing
TRANSFER_EVALUATIONS = 20


@dataclass(frozen=True, slots=True)
class Transfer:
    """One model at one prompt and output length; mean over the deployments that gave anchors.

    `regret_ratio` is what the point that was predicted best loses to the best measured one.
    """

    model: str
    prompt_tokens: int
    output_tokens: int
    num_sources: int
    num_points: int
    rank_correlation: float
    regret_ratio: float


def evaluate_transfer(table: PointTable) -> tuple[Transfer, ...]:
    """Every model and length with deployments on several GPU types or rank counts.

    The fit excludes all groups of the model. From each deployment in turn its two anchors give the
    ratio of measured to predicted output tokens a second (log-linear in clients, held beyond the
    anchors); all points of the others are predicted with it and ranked together.
    """
    tasks: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for index, curve in enumerate(table.curves):
        d = curve.deployment
        tasks[d.architecture.name, d.prompt_tokens, d.output_tokens].append(index)
    fits: dict[str, NDArray[np.float64]] = {}
    transfers: list[Transfer] = []
    measured = _compute_rate(table, table.tpot_s, table.ttft_s)
    for (model, prompt, output), curves in sorted(tasks.items()):
        places = {_get_place(table, curve) for curve in curves}
        if len(places) < 2:  # noqa: PLR2004
            continue
        if model not in fits:
            fits[model] = _predict_without(table, model)
        pairs = [
            score
            for source in curves
            if (score := _score_source(table, source, curves, measured, fits[model])) is not None
        ]
        if not pairs:
            continue
        ranks, regrets, counts = np.array(pairs).T
        transfers.append(
            Transfer(
                model=model,
                prompt_tokens=prompt,
                output_tokens=output,
                num_sources=len(pairs),
                num_points=int(counts.max()),
                rank_correlation=float(ranks.mean()),
                regret_ratio=float(regrets.mean()),
            )
        )
    return tuple(transfers)


def _predict_without(table: PointTable, model: str) -> NDArray[np.float64]:
    """Tokens a second for each GPU by a fit that saw no group of the model, float64[n]."""
    own = {
        index
        for index, curve in enumerate(table.curves)
        if curve.deployment.architecture.name == model
    }
    groups = {int(table.group[int(table.start[index])]) for index in own}
    others = find_other_points(table, groups)
    if not others.any():
        others = np.ones(table.concurrency.size, np.bool_)
    fit: Fit = fit_constants(table, others, max_evaluations=TRANSFER_EVALUATIONS)
    predicted = predict_points(table, fit.step, fit.loop, num_anchors=0)
    return _compute_rate(table, predicted.tpot_s, predicted.ttft_s)


def _compute_rate(
    table: PointTable, tpot_s: NDArray[np.float64], ttft_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Output tokens a second for each GPU of a closed loop, float64[n]."""
    sizes = np.diff(table.start)
    gpus = np.repeat([c.deployment.layout.num_gpus for c in table.curves], sizes)
    stay_s = ttft_s + table.output_tokens * tpot_s
    rate: NDArray[np.float64] = table.concurrency * table.output_tokens / stay_s / gpus
    return rate


def _get_place(table: PointTable, curve: int) -> tuple[str, int]:
    deployment = table.curves[curve].deployment
    return deployment.gpu.name, deployment.layout.num_gpus


def _score_source(
    table: PointTable,
    source: int,
    curves: list[int],
    measured: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> tuple[float, float, float] | None:
    """Rank correlation, regret and points of the other places; None where there are too few."""
    place = _get_place(table, source)
    targets = [curve for curve in curves if _get_place(table, curve) != place]
    index = np.concatenate(
        [np.arange(table.start[c], table.start[c + 1]) for c in targets] or [np.zeros(0, np.int64)]
    )
    if index.size < MIN_TARGETS:
        return None
    ends = np.array([table.start[source], table.start[source + 1] - 1])
    ratios = np.log(measured[ends] / prior[ends])
    position = np.log(table.concurrency[index])
    correction = np.interp(position, np.log(table.concurrency[ends]), ratios)
    predicted = prior[index] * np.exp(correction)
    correlation = float(spearmanr(predicted, measured[index]).statistic)
    best = float(measured[index].max())
    pick = float(measured[index][int(predicted.argmax())])
    return correlation, 1.0 - pick / best, float(index.size)
