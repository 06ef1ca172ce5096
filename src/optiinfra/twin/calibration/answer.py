"""One answer: TPOT and TTFT of a deployment at a load, with intervals and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.calibration.held_out import SPREAD_KEY
from optiinfra.twin.performance.anchors import predict_points
from optiinfra.twin.performance.online import OnlineCorrection
from optiinfra.twin.performance.points import MeasuredCurve, build_table

if TYPE_CHECKING:
    from optiinfra.twin.calibration.model import Calibration
    from optiinfra.twin.performance.points import PointDeployment

MAX_ANCHORS = 3


class Basis(StrEnum):
    """Whether the load asked for lies within what was observed of this deployment."""

    INTERPOLATED = "interpolated"  # between two loads that were observed
    EXTRAPOLATED = "extrapolated"  # beyond them, or nothing was observed


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, with a 90 % interval; both bounds None where the calibration has no interval."""

    value_s: float
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An estimate of each figure; `why` says in a sentence what `basis` rests on."""

    tpot: Estimate
    ttft: Estimate
    basis: Basis
    why: str


def answer(
    calibration: Calibration,
    deployment: PointDeployment,
    concurrency: float,
    *,
    anchors: MeasuredCurve | None = None,
    correction: OnlineCorrection | None = None,
) -> Answer:
    """TPOT and TTFT with `concurrency` clients; `anchors` are measured loads of this deployment.

    Between two anchors both correct the prediction; elsewhere the ratio of the nearest holds, and
    the interval is that of a single anchor. Raises ValueError for a concurrency that is not
    positive, or for more than MAX_ANCHORS anchors.
    """
    if not 0 < concurrency < float("inf"):
        message = f"a concurrency is positive, not {concurrency}"
        raise ValueError(message)
    observed = np.zeros(0) if anchors is None else anchors.concurrency
    if observed.size > MAX_ANCHORS:
        message = f"at most {MAX_ANCHORS} anchors are used, not {observed.size}"
        raise ValueError(message)
    basis, why = classify_load(concurrency, observed.tolist())
    if basis is Basis.INTERPOLATED and anchors is not None:
        tpot_s, ttft_s = _predict_between(calibration, deployment, concurrency, anchors)
        num_anchors = 2
    else:
        tpot_s, ttft_s = _predict_beyond(calibration, deployment, concurrency, anchors)
        num_anchors = min(1, observed.size)
    factor = 1.0 if correction is None else correction.factor
    return Answer(
        tpot=_estimate(calibration, deployment, ("tpot", num_anchors), tpot_s * factor),
        ttft=_estimate(calibration, deployment, ("ttft", num_anchors), ttft_s * factor),
        basis=basis,
        why=why,
    )


def classify_load(concurrency: float, observed: list[float]) -> tuple[Basis, str]:
    """Whether a load lies within the observed ones, and a sentence about it."""
    if not observed:
        return Basis.EXTRAPOLATED, "nothing was observed of this deployment"
    low, high = min(observed), max(observed)
    if len(observed) == 1 and concurrency != low:
        return Basis.EXTRAPOLATED, f"only {low:g} clients were observed, not {concurrency:g}"
    if concurrency < low:
        return Basis.EXTRAPOLATED, f"{concurrency:g} clients are fewer than the {low:g} observed"
    if concurrency > high:
        why = f"{concurrency:g} clients are more than the {high:g} observed, beyond which TTFT is "
        return Basis.EXTRAPOLATED, f"{why}mostly underestimated"
    return Basis.INTERPOLATED, f"{concurrency:g} clients lie within {low:g} to {high:g} observed"


def _predict_between(
    calibration: Calibration,
    deployment: PointDeployment,
    concurrency: float,
    anchors: MeasuredCurve,
) -> tuple[float, float]:
    """Both figures from the anchors next to the load, or as measured where it is one of them."""
    loads = anchors.concurrency
    exact = np.flatnonzero(loads == concurrency)
    if exact.size:
        return float(anchors.tpot_s[exact[0]]), float(anchors.ttft_s[exact[0]])
    high = int(np.searchsorted(loads, concurrency))
    pair = [high - 1, high]
    between = MeasuredCurve(
        deployment,
        np.insert(loads[pair], 1, concurrency),
        np.insert(anchors.ttft_s[pair], 1, anchors.ttft_s[high]),
        np.insert(anchors.tpot_s[pair], 1, anchors.tpot_s[high]),
        None
        if anchors.receive_interval is None
        else np.insert(anchors.receive_interval[pair], 1, anchors.receive_interval[high]),
    )
    predicted = predict_points(
        build_table([between]), calibration.step, calibration.loop, num_anchors=2
    )
    return float(predicted.tpot_s[1]), float(predicted.ttft_s[1])


def _predict_beyond(
    calibration: Calibration,
    deployment: PointDeployment,
    concurrency: float,
    anchors: MeasuredCurve | None,
) -> tuple[float, float]:
    """Both figures with the ratio of the nearest anchor, or as calibrated without one."""
    asked = _predict_alone(calibration, deployment, concurrency)
    if anchors is None:
        return asked
    distance = np.abs(np.log(anchors.concurrency / concurrency))
    nearest = int(np.argmin(distance))
    there = _predict_alone(calibration, deployment, float(anchors.concurrency[nearest]))
    return (
        asked[0] * float(anchors.tpot_s[nearest]) / there[0],
        asked[1] * float(anchors.ttft_s[nearest]) / there[1],
    )


def _predict_alone(
    calibration: Calibration, deployment: PointDeployment, concurrency: float
) -> tuple[float, float]:
    one = np.ones(1)
    table = build_table([MeasuredCurve(deployment, concurrency * one, one, one)])
    factor = calibration.effects.get_factor(deployment.group) * one
    predicted = predict_points(
        table, calibration.step, calibration.loop, num_anchors=0, factor=factor
    )
    return float(predicted.tpot_s[0]), float(predicted.ttft_s[0])


def _estimate(
    calibration: Calibration, deployment: PointDeployment, key: tuple[str, int], value_s: float
) -> Estimate:
    interval = calibration.intervals.get(key)
    if interval is None:
        return Estimate(value_s, None, None)
    factor = 1.0
    if key == SPREAD_KEY:
        has_fp4 = deployment.gpu.fp4_flops is not None
        factor = calibration.spread.get_factor(deployment.group.engine, has_fp4=has_fp4)
    return Estimate(
        value_s,
        value_s * float(np.exp(factor * interval.low)),
        value_s * float(np.exp(factor * interval.high)),
    )
