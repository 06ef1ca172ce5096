"""Gaps between tokens (ITL) of every request from one histogram of steps, compiled.

A replica counts its decode steps by what they lasted. A request that decodes from one instant to
another saw exactly the steps in between: what the counts then were is marked on its seat, and the
difference at its end is the histogram of its own gaps. Bins are eighths of an octave's lower half
to its upper (ratio 1.06 to 1.13) from 2^-15 s on; figures are a bin's geometric middle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST_EXPONENT = -14  # of frexp: the first bin begins at 2^-15 s, 31 microseconds
BINS_AN_OCTAVE = 8
NUM_ITL_BINS = 21 * BINS_AN_OCTAVE  # to 64 s


@njit(cache=True, nogil=True)
def find_bin(gap_s: float) -> int:
    """The bin of a gap; the end bins take what lies beyond them."""
    mantissa, exponent = math.frexp(gap_s)
    b = (exponent - LOWEST_EXPONENT) * BINS_AN_OCTAVE + int((mantissa - 0.5) * (2 * BINS_AN_OCTAVE))
    return min(max(b, 0), NUM_ITL_BINS - 1)


@njit(cache=True, nogil=True)
def get_edge_s(b: int) -> float:
    """Where bin b begins, in seconds."""
    octave = b // BINS_AN_OCTAVE
    part = b - octave * BINS_AN_OCTAVE
    edge: float = math.ldexp(0.5 + part / (2.0 * BINS_AN_OCTAVE), octave + LOWEST_EXPONENT)
    return edge


@njit(cache=True, nogil=True)
def add_steps(counts: NDArray[np.int64], first_s: float, growth_s: float, k: int) -> None:
    """Count k steps that last first_s, first_s + growth_s, and so on."""
    b = find_bin(first_s)
    last = find_bin(first_s + growth_s * (k - 1))
    done = 0
    while b < last:
        below = math.ceil((get_edge_s(b + 1) - first_s) / growth_s)
        below = min(max(below, done), k)
        counts[b] += below - done
        done = below
        b += 1
    counts[last] += k - done


@njit(cache=True, nogil=True)
def find_quantile_s(counts: NDArray[np.int64], total: int, level: float) -> float:
    """The middle of the bin that holds the gap of rank ceil(level * total); NaN without gaps."""
    if total <= 0:
        return math.nan
    rank = max(int(math.ceil(level * total)), 1)  # noqa: RUF046  compiled: ceil gives a float
    seen = 0
    for b in range(counts.size):
        seen += counts[b]
        if seen >= rank:
            return math.sqrt(get_edge_s(b) * get_edge_s(b + 1))
    return math.nan


def list_itl_edges_s() -> NDArray[np.float64]:
    """Edges of the bins in seconds, float64[NUM_ITL_BINS + 1]."""
    return np.array([get_edge_s(b) for b in range(NUM_ITL_BINS + 1)])
