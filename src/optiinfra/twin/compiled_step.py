"""The step time, compiled: what `step_time.compute_step_s` computes, for the simulators' loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def step_s(
    c: NDArray[np.float64], decodes: int, context: int, prefill: int, prefills: int, pairs: float
) -> float:
    """Seconds of one step; equals `step_time.compute_step_s` on the coefficients `c`."""
    tokens = decodes + prefill
    sequences = decodes + prefills
    flops = c[6] * tokens + c[7] * sequences
    r2 = c[2] * c[2]
    f2 = flops * flops
    linear: float = math.sqrt(math.sqrt(r2 * r2 + f2 * f2))
    if c[3] > 0.0:
        read = c[3] * (1.0 - c[4] ** (tokens * c[5]))
        flops = c[12] * tokens
        r2 = read * read
        f2 = flops * flops
        linear += math.sqrt(math.sqrt(r2 * r2 + f2 * f2))
    overhead = c[0] + c[1] * sequences + c[10] + c[11] * tokens
    if prefills > 0:
        overhead += c[13]
    seconds: float = overhead + linear + c[8] * context + c[9] * pairs
    return seconds
