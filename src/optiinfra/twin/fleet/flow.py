"""Requests as a fluid through equal replicas, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PRESENT = 0  # requests in the system
SMOOTHED = 1  # requests a replica, averaged over about one request's time in the system
MET = 2  # completions that kept the promise
NUM_FLOW = 3
STEP_S = 2.0
TINY = 1e-6


@njit(cache=True, nogil=True)
def look_up(x: float, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    """As `numpy.interp` for one value and rising xs, without its checks."""
    if x >= xs[-1]:
        return float(ys[-1])
    low, high = 0, xs.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if xs[middle] <= x:
            low = middle
        else:
            high = middle
    share = max((x - xs[low]) / (xs[high] - xs[low]), 0.0)
    return float(ys[low] + share * (ys[high] - ys[low]))


@njit(cache=True, nogil=True)
def flow(
    state: NDArray[np.float64],
    num_present: NDArray[np.float64],
    completions_per_s: NDArray[np.float64],
    attainment: NDArray[np.float64],
    num_ready: int,
    rate_per_s: float,
    span_s: float,
) -> None:
    """Let requests come at a rate for a time and be completed as the curve says.

    A request's promise is judged by what replicas held while it was there, so attainment is read at
    the smoothed number.
    """
    steps = max(int(math.ceil(span_s / STEP_S)), 1)  # noqa: RUF046  compiled: ceil gives a float
    dt = span_s / steps
    for _ in range(steps):
        before = state[PRESENT]
        if num_ready == 0:
            state[PRESENT] += rate_per_s * dt
            continue
        # As if the time in the system stayed for the step: exact where it does, stable always.
        crowd = max(before / num_ready, num_present[1] * TINY)
        residence_s = crowd / look_up(crowd, num_present, completions_per_s)
        keep = math.exp(-dt / residence_s)
        steady = rate_per_s * residence_s
        most = completions_per_s[-1] * num_ready * dt
        done = min(before + rate_per_s * dt - (steady + (before - steady) * keep), most)
        state[PRESENT] = before + rate_per_s * dt - done
        state[SMOOTHED] = keep * state[SMOOTHED] + (1.0 - keep) * state[PRESENT] / num_ready
        state[MET] += done * look_up(state[SMOOTHED], num_present, attainment)
