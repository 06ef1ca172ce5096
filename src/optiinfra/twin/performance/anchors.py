"""Predictions of points, corrected by the deployment's own anchors.

Anchors are the lowest concurrency of a deployment (one anchor) or the lowest and the highest
(two). A deployment's correction of TPOT is its residual at the anchors, log-linear in between in
the requests that run, averaged with the curve that needs no model; TTFT takes the low anchor's
ratio, and what the high anchor has above it is a queue: that of Little's law where clients wait for
a place, else one that sets in late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.performance.anchor_points import Anchors, Prediction, find_anchors
from optiinfra.twin.performance.closed_loop import (
    LoopConstants,
    compute_running,
    predict_service,
    predict_tpot,
    predict_unseen,
    predict_wait,
)
from optiinfra.twin.performance.model_free import TPOT_EXPONENT, draw_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable
    from optiinfra.twin.step_time import StepConstants

# An excess of TTFT above these means that clients wait for a place in the batch.
QUEUE_RATIO = 1.0  # of the service expected at the high anchor
QUEUE_S = 0.3
# Log ratio of a deployment's two residuals at which its anchors leave the model half of its share:
# where the model does not explain the anchors, its shape between them says little too.
UNEXPLAINED_LOG_RATIO = 0.7
# Of TTFT at an anchor, the least share of the service's own that is left to it.
MIN_SERVICE_SHARE = 0.3


def predict_points(
    table: PointTable,
    constants: StepConstants,
    loop: LoopConstants,
    *,
    num_anchors: int,
    factor: NDArray[np.float64] | None = None,
) -> Prediction:
    """TPOT and TTFT of every point with 0, 1 or 2 anchors of its own deployment.

    `factor` float64[n] multiplies TPOT where there is no anchor, as calibrated for the deployment's
    engine, GPU and model. With one anchor its ratio holds for the whole curve.
    """
    if num_anchors == 2:  # noqa: PLR2004
        running = compute_anchored_running(table, constants, loop)
    else:
        running = compute_running(table)
    prior = predict_tpot(table, constants, loop, running)
    anchors = find_anchors(table, num_anchors)
    tpot_s = prior.tpot_s if factor is None else prior.tpot_s * factor
    if num_anchors == 1:
        tpot_s = tpot_s * (table.tpot_s / tpot_s)[anchors.low]
    elif num_anchors == 2:  # noqa: PLR2004
        tpot_s = blend_tpot(table, tpot_s, running, anchors, model_share=loop.model_share)
    ttft_s = predict_ttft(
        table, loop, anchors, prefill_s=prior.prefill_s, tpot_s=tpot_s, running=running
    )
    blank = np.where(anchors.is_scored, 1.0, np.nan)
    return Prediction(tpot_s=tpot_s * blank, ttft_s=ttft_s * blank)


def predict_ttft(
    table: PointTable,
    loop: LoopConstants,
    anchors: Anchors,
    *,
    prefill_s: NDArray[np.float64],
    tpot_s: NDArray[np.float64],
    running: NDArray[np.float64],
) -> NDArray[np.float64]:
    """TTFT of every point, corrected by as many anchors as there are, float64[n]."""
    service_s = predict_service(table, loop, prefill_s=prefill_s, tpot_s=tpot_s, running=running)
    wait_s = predict_wait(table, tpot_s=tpot_s, running=running)
    unseen_s = predict_unseen(table, tpot_s=tpot_s)
    ttft_s = service_s + unseen_s + wait_s
    if anchors.num == 0:
        return ttft_s
    served_ratio = 1.0 - wait_s / ttft_s if anchors.num == 1 else np.ones_like(ttft_s)
    scaled_s = _scale_service(
        service_s, unseen_s, at_anchor_s=(table.ttft_s * served_ratio)[anchors.low], low=anchors.low
    )
    if anchors.num == 1:
        return scaled_s + wait_s
    return _correct_ttft(table, loop, scaled_s, wait_s, anchors)


def compute_anchored_running(
    table: PointTable, constants: StepConstants, loop: LoopConstants
) -> NDArray[np.float64]:
    """Requests in the batch, as the high anchor's TTFT says: more clients than that queue.

    What TTFT has there above the service expected from the low anchor is a wait W for a place;
    by Little's law R = B / (1 + W / (service + output * TPOT)).
    """
    anchors = find_anchors(table, 2)
    low, high = anchors.low, anchors.high
    clients = table.concurrency
    prior = predict_tpot(table, constants, loop, clients)
    service_s = predict_service(
        table, loop, prefill_s=prior.prefill_s, tpot_s=table.tpot_s, running=clients
    )
    unseen_s = predict_unseen(table, tpot_s=table.tpot_s)
    scaled_s = _scale_service(service_s, unseen_s, at_anchor_s=table.ttft_s[low], low=low)
    expected_s = scaled_s[high]
    excess_s = table.ttft_s[high] - expected_s
    is_queue = (excess_s > QUEUE_RATIO * expected_s) & (excess_s > QUEUE_S)
    stay_s = expected_s + table.output_tokens * table.tpot_s[high]
    places = np.where(is_queue, clients[high] / (1.0 + np.maximum(excess_s, 0.0) / stay_s), np.inf)
    return np.minimum(clients, places)


def correct_tpot(
    table: PointTable,
    tpot_s: NDArray[np.float64],
    running: NDArray[np.float64],
    anchors: Anchors,
) -> NDArray[np.float64]:
    """TPOT times the residual of the two anchors, log-linear in the running requests."""
    low, high = anchors.low, anchors.high
    position = np.log(running)
    span = position[high] - position[low]
    ratio = np.where(span > 0, (position - position[low]) / np.where(span > 0, span, 1.0), 0.0)
    residual = np.log(table.tpot_s / tpot_s)
    corrected: NDArray[np.float64] = tpot_s * np.exp(
        residual[low] + ratio * (residual[high] - residual[low])
    )
    return corrected


def blend_tpot(
    table: PointTable,
    tpot_s: NDArray[np.float64],
    running: NDArray[np.float64],
    anchors: Anchors,
    *,
    model_share: float,
) -> NDArray[np.float64]:
    """Corrected TPOT and the curve without a model, averaged in logarithms, float64[n].

    The model has `model_share` of it where both anchors deviate from it alike, less the further
    their residuals lie apart.
    """
    low, high = anchors.low, anchors.high
    residual = np.log(table.tpot_s / tpot_s)
    apart = (residual[high] - residual[low]) / UNEXPLAINED_LOG_RATIO
    share = model_share / (1.0 + apart**2)
    corrected_s = correct_tpot(table, tpot_s, running, anchors)
    curve_s = draw_curve(table, table.tpot_s, anchors, exponent=TPOT_EXPONENT)
    blended: NDArray[np.float64] = corrected_s**share * curve_s ** (1.0 - share)
    return blended


def _scale_service(
    service_s: NDArray[np.float64],
    unseen_s: NDArray[np.float64],
    *,
    at_anchor_s: NDArray[np.float64],
    low: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Service in the low anchor's ratio, and the time unseen as it is, float64[n].

    That time follows from a measured TPOT; where the anchor leaves no room for it, it shrinks.
    """
    own = (service_s / (service_s + unseen_s))[low]
    served_s = np.maximum(at_anchor_s - unseen_s[low], MIN_SERVICE_SHARE * own * at_anchor_s)
    is_unseen = unseen_s[low] > 0
    room = np.where(is_unseen, at_anchor_s - served_s, 1.0) / np.where(
        is_unseen, unseen_s[low], 1.0
    )
    scaled: NDArray[np.float64] = served_s / service_s[low] * service_s + unseen_s * room
    return scaled


def _correct_ttft(
    table: PointTable,
    loop: LoopConstants,
    scaled_s: NDArray[np.float64],
    wait_s: NDArray[np.float64],
    anchors: Anchors,
) -> NDArray[np.float64]:
    """TTFT that the low anchor explains, and the high anchor's excess as a queue.

    An excess up to `linear_excess_ratio` of the service's own rise is a larger burst, linear in
    clients; the rest waits for a place, or grows with a power of the clients. Where TTFT at the
    high anchor is below the expected service, the ratio falls log-linearly.
    """
    low, high = anchors.low, anchors.high
    clients, exponent = table.concurrency, loop.queue_exponent
    excess_s = table.ttft_s[high] - scaled_s[high]
    is_queue = wait_s[high] > 0
    rise_s = np.maximum(scaled_s[high] - scaled_s[low], 0.0)
    linear_s = np.where(is_queue, 0.0, np.minimum(excess_s, loop.linear_excess_ratio * rise_s))
    linear = (clients - clients[low]) / np.maximum(clients[high] - clients[low], 1e-9)
    start, end = clients[low] ** exponent, clients[high] ** exponent
    late = (clients**exponent - start) / np.maximum(end - start, 1e-9)
    late = np.where(is_queue, wait_s / np.where(is_queue, wait_s[high], 1.0), late)
    above_s = scaled_s + linear_s * linear + (excess_s - linear_s) * late
    position = np.log(clients / clients[low]) / np.maximum(
        np.log(clients[high] / clients[low]), 1e-9
    )
    fall = np.minimum(table.ttft_s[high] / scaled_s[high], 1.0)
    return np.where(excess_s > 0, above_s, scaled_s * fall**position)
