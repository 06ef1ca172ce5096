"""A request's own gaps between tokens, from marks on its replica's histogram, compiled.

`itl` is the replica's part of `Replicas.itl`: a row of steps, a row of totals, and rows (seats) on
which requests that decode keep marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.engine_state import (
    FREE_SEAT,
    ITL_P50,
    ITL_P99,
    ITL_STEPS,
    ITL_TOTAL,
    LAST_TOKEN,
    SAMPLED,
    SEAT,
)
from optiinfra.twin.itl import find_bin, find_quantile_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def start_gaps(
    itl: NDArray[np.int64],
    counts: NDArray[np.int64],
    instants: NDArray[np.float64],
    cells: NDArray[np.int64],
    i: int,
    now: float,
) -> None:
    """Request i just got a token: from here on its gaps are the replica's decode steps."""
    seat = cells[i, SEAT]
    if seat >= 0:  # it was preempted: what it saw so far is on its seat, and then one long gap
        itl[seat, find_bin(now - instants[i, LAST_TOKEN])] += 1
        _turn(itl, seat)
    elif counts[FREE_SEAT] >= 0 and cells[i, SAMPLED] == 1:
        seat = counts[FREE_SEAT]
        counts[FREE_SEAT] = itl[seat, 0]
        cells[i, SEAT] = seat
        for b in range(itl.shape[1]):
            itl[seat, b] = itl[ITL_STEPS, b]


@njit(cache=True, nogil=True)
def pause_gaps(
    itl: NDArray[np.int64],
    instants: NDArray[np.float64],
    cells: NDArray[np.int64],
    i: int,
    now: float,
) -> None:
    """Request i, which decodes, is preempted: keep what it saw until now."""
    instants[i, LAST_TOKEN] = now
    if cells[i, SEAT] >= 0:
        _turn(itl, cells[i, SEAT])


@njit(cache=True, nogil=True)
def end_gaps(
    itl: NDArray[np.int64],
    counts: NDArray[np.int64],
    instants: NDArray[np.float64],
    cells: NDArray[np.int64],
    i: int,
) -> None:
    """Request i has all its tokens: its own gaps are what was counted since its mark."""
    seat = cells[i, SEAT]
    if seat < 0:
        return
    _turn(itl, seat)
    num_gaps = 0
    for b in range(itl.shape[1]):
        itl[ITL_TOTAL, b] += itl[seat, b]
        num_gaps += itl[seat, b]
    instants[i, ITL_P50] = find_quantile_s(itl[seat], num_gaps, 0.5)
    instants[i, ITL_P99] = find_quantile_s(itl[seat], num_gaps, 0.99)
    itl[seat, 0] = counts[FREE_SEAT]
    counts[FREE_SEAT] = seat
    cells[i, SEAT] = -1


@njit(cache=True, nogil=True)
def _turn(itl: NDArray[np.int64], seat: int) -> None:
    """From a mark to what was counted since, and back."""
    for b in range(itl.shape[1]):
        itl[seat, b] = itl[ITL_STEPS, b] - itl[seat, b]
