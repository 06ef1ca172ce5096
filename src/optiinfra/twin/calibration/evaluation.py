"""How good predictions of held-out groups are, group by group, beside the curve without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.calibration.fit import find_falling
from optiinfra.twin.calibration.held_out import HeldOut, predict_held_out
from optiinfra.twin.calibration.transfer import Transfer, evaluate_transfer
from optiinfra.twin.performance.intervals import compute_interval_score
from optiinfra.twin.performance.model_free import predict_model_free

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import Group, PointTable

# Above these a group is listed as off: the bars for one with two anchors and without.
OFF_TPOT_ANCHORED = 0.10
OFF_TPOT_FREE = 0.35
OFF_TTFT_MEDIAN = 0.20
LARGE_GROUP = 60


@dataclass(frozen=True, slots=True)
class FigureScore:
    """Errors of one figure (TPOT or TTFT) over the scored points of one group.

    `mape`, `median` and `p90` are of |predicted / measured - 1|; `bias` is the median of
    predicted / measured - 1; `model_free_*` the same of the curve through two anchors. Of the 90 %
    interval: the share of points inside, upper over lower bound, and the mean interval score over
    the measured value. None where it does not apply.
    """

    mape: float
    median: float
    p90: float
    bias: float
    model_free_mape: float | None
    model_free_median: float | None
    model_free_p90: float | None
    coverage_ratio: float | None
    width_ratio: float | None
    interval_score: float | None


@dataclass(frozen=True, slots=True)
class GroupScore:
    """One held-out group."""

    group: Group
    is_moe: bool
    num_deployments: int
    num_points: int
    num_scored: int
    tpot: FigureScore
    ttft: FigureScore
    off: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """All groups; `summary` holds the figures that the bars are about, by name."""

    num_anchors: int
    groups: tuple[GroupScore, ...]
    summary: dict[str, float | None]
    transfers: tuple[Transfer, ...]


def evaluate(table: PointTable, anchor_counts: Sequence[int]) -> dict[int, Evaluation]:
    """Leave-one-group-out errors of every group that has points to score, by number of anchors."""
    transfers = evaluate_transfer(table) if any(anchor_counts) else ()
    evaluations: dict[int, Evaluation] = {}
    for count, held_out in predict_held_out(table, anchor_counts).items():
        scores: list[GroupScore] = []
        for index in range(len(table.groups)):
            own = (table.group == index) & np.isfinite(held_out.prediction.tpot_s)
            if own.any():
                scores.append(_score_group(table, held_out, index, own, count))
        given = transfers if count else ()
        evaluations[count] = Evaluation(count, tuple(scores), _summarize(scores, given), given)
    return evaluations


def _score_group(
    table: PointTable, held_out: HeldOut, index: int, own: NDArray[np.bool_], num_anchors: int
) -> GroupScore:
    free = predict_model_free(table) if num_anchors == 2 else None  # noqa: PLR2004
    tpot = _score_figure(
        table.tpot_s[own],
        held_out.prediction.tpot_s[own],
        held_out.tpot_low[own],
        held_out.tpot_high[own],
        None if free is None else free.tpot_s[own],
    )
    ttft = _score_figure(
        table.ttft_s[own],
        held_out.prediction.ttft_s[own],
        held_out.ttft_low[own],
        held_out.ttft_high[own],
        None if free is None else free.ttft_s[own],
    )
    members = table.group == index
    curves = {c for c in range(len(table.curves)) if members[int(table.start[c])]}
    return GroupScore(
        group=table.groups[index],
        is_moe=bool(table.is_moe[members][0]),
        num_deployments=len(curves),
        num_points=int(members.sum()),
        num_scored=int(own.sum()),
        tpot=tpot,
        ttft=ttft,
        off=_find_reasons(table, sorted(curves), tpot, ttft, num_anchors),
    )


def _score_figure(
    measured: NDArray[np.float64],
    predicted: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    free: NDArray[np.float64] | None,
) -> FigureScore:
    error = np.abs(predicted / measured - 1.0)
    free_error = None if free is None else np.abs(free / measured - 1.0)
    has_interval = bool(np.isfinite(low).all())
    lower, upper = predicted * low, predicted * high
    return FigureScore(
        mape=float(error.mean()),
        median=float(np.median(error)),
        p90=float(np.quantile(error, 0.9)),
        bias=float(np.median(predicted / measured - 1.0)),
        model_free_mape=None if free_error is None else float(free_error.mean()),
        model_free_median=None if free_error is None else float(np.median(free_error)),
        model_free_p90=None if free_error is None else float(np.quantile(free_error, 0.9)),
        coverage_ratio=float(((measured >= lower) & (measured <= upper)).mean())
        if has_interval
        else None,
        width_ratio=float(np.median(high / low)) if has_interval else None,
        interval_score=float(compute_interval_score(measured, lower, upper).mean())
        if has_interval
        else None,
    )


def _find_reasons(
    table: PointTable, curves: list[int], tpot: FigureScore, ttft: FigureScore, num_anchors: int
) -> tuple[str, ...]:
    """What is off with a group, and what its data show that may explain it."""
    reasons: list[str] = []
    limit = OFF_TPOT_FREE if num_anchors == 0 else OFF_TPOT_ANCHORED
    figure = tpot.median if num_anchors == 0 else tpot.mape
    if figure > limit:
        reasons.append(f"TPOT {figure:.0%} off, bias {tpot.bias:+.0%}")
    if num_anchors == 2 and ttft.median > OFF_TTFT_MEDIAN:  # noqa: PLR2004
        reasons.append(f"TTFT median {ttft.median:.0%} off, bias {ttft.bias:+.0%}")
    if not reasons:
        return ()
    for name, values in (("TPOT", table.tpot_s), ("TTFT", table.ttft_s)):
        is_falling = find_falling(table, values)
        falling = sum(bool(is_falling[int(table.start[curve])]) for curve in curves)
        if falling:
            reasons.append(
                f"measured {name} falls by a quarter or more as load rises in {falling} of "
                f"{len(curves)} deployments"
            )
    return tuple(reasons)


def _summarize(
    scores: list[GroupScore], transfers: tuple[Transfer, ...]
) -> dict[str, float | None]:
    """The figures of the bars: every group weighs the same."""
    dense = [s for s in scores if not s.is_moe]
    moe = [s for s in scores if s.is_moe]
    summary: dict[str, float | None] = {}
    for name, part in (("dense", dense), ("moe", moe)):
        summary[f"tpot_mape_{name}"] = _mean([s.tpot.mape for s in part])
        summary[f"tpot_median_of_group_medians_{name}"] = _median([s.tpot.median for s in part])
        summary[f"tpot_mape_median_group_{name}"] = _median([s.tpot.mape for s in part])
        summary[f"tpot_model_free_mape_{name}"] = _mean([s.tpot.model_free_mape for s in part])
    summary["ttft_median_of_group_medians"] = _median([s.ttft.median for s in scores])
    summary["ttft_mean_of_group_medians"] = _mean([s.ttft.median for s in scores])
    summary["ttft_median_of_group_p90"] = _median([s.ttft.p90 for s in scores])
    summary["ttft_model_free_median_of_group_medians"] = _median(
        [s.ttft.model_free_median for s in scores]
    )
    summary["ttft_model_free_mean_of_group_medians"] = _mean(
        [s.ttft.model_free_median for s in scores]
    )
    summary["ttft_model_free_median_of_group_p90"] = _median(
        [s.ttft.model_free_p90 for s in scores]
    )
    for name in ("tpot", "ttft"):
        figures = [getattr(s, name) for s in scores]
        summary[f"{name}_coverage_mean"] = _mean([f.coverage_ratio for f in figures])
        large = [f for f, s in zip(figures, scores, strict=True) if s.num_scored >= LARGE_GROUP]
        summary[f"{name}_coverage_min_of_large_groups"] = min(
            (f.coverage_ratio for f in large if f.coverage_ratio is not None), default=None
        )
        summary[f"{name}_width_median"] = _median([f.width_ratio for f in figures])
        summary[f"{name}_interval_score_mean"] = _mean([f.interval_score for f in figures])
    summary["transfer_rank_correlation_mean"] = _mean([t.rank_correlation for t in transfers])
    summary["transfer_regret_mean"] = _mean([t.regret_ratio for t in transfers])
    return summary


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _median(values: list[float | None] | list[float]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None
