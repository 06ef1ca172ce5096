"""Predictions of points, corrected by the deployment's own anchors.

Anchors are the lowest concurrency of a deployment (one anchor) or the lowest and the highest
(two). A deployment's correction of TPOT is its residual at the anchors, log-linear in between in
the requests that run; TTFT takes the low anchor's ratio, and what the high anchor has above it is a
queue: that of Little's law where clients wait for a place, else one that sets in late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.performance.closed_loop import (
    LoopConstants,
    compute_running,
    predict_service,
    predict_tpot,
    predict_wait,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable
    from optiinfra.twin.step_time import StepConstants

# An excess of TTFT above these means that clients wait for a place in the batch.
QUEUE_RATIO = 1.0  # of the service expected at the high anchor
QUEUE_S = 0.3


@dataclass(frozen=True, slots=True)
class Prediction:
    """float64[n] in seconds; NaN at points that are anchors themselves."""

    tpot_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]


@dataclass(frozen=True)
class Anchors:
    """Where each point's anchors are (int64[n], indices of points) and how they lie."""

    num: int
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    is_scored: NDArray[np.bool_]  # points that are no anchor


def find_anchors(table: PointTable, num_anchors: int) -> Anchors:
    """The anchors of every point's curve. Raises ValueError for a number that is not 0, 1 or 2."""
    if num_anchors not in {0, 1, 2}:
        message = f"anchors are 0, 1 or 2, not {num_anchors}"
        raise ValueError(message)
    sizes = np.diff(table.start)
    low = np.repeat(table.start[:-1], sizes)
    high = np.repeat(table.start[1:] - 1, sizes)
    index = np.arange(table.concurrency.size)
    is_scored = np.ones(index.size, np.bool_)
    if num_anchors > 0:
        is_scored &= index != low
    if num_anchors > 1:
        is_scored &= index != high
    return Anchors(num_anchors, low, high, is_scored)


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
        tpot_s = correct_tpot(table, tpot_s, running, anchors)
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
    ttft_s = service_s + wait_s
    if anchors.num == 1:
        ttft_s = service_s * (table.ttft_s / ttft_s)[anchors.low] + wait_s
    elif anchors.num == 2:  # noqa: PLR2004
        ttft_s = _correct_ttft(table, loop, service_s, wait_s, anchors)
    return ttft_s


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
    expected_s = (table.ttft_s / service_s)[low] * service_s[high]
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


def _correct_ttft(
    table: PointTable,
    loop: LoopConstants,
    service_s: NDArray[np.float64],
    wait_s: NDArray[np.float64],
    anchors: Anchors,
) -> NDArray[np.float64]:
    """Service in the low anchor's ratio, and the high anchor's excess as a queue.

    An excess up to `linear_excess_ratio` of the service's own rise is a larger burst, linear in
    clients; the rest waits for a place, or grows with a power of the clients. Where TTFT at the
    high anchor is below the expected service, the ratio falls log-linearly.
    """
    low, high = anchors.low, anchors.high
    clients, exponent = table.concurrency, loop.queue_exponent
    scaled_s = (table.ttft_s / service_s)[low] * service_s
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
