"""How many steps in a row nothing but the context lengths changes, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.block_pool import EVICTABLE, FREE, count_decode_demand
from optiinfra.twin.engine_state import BLOCK_SIZE, NUM_WAITING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count_steps(
    counts: NDArray[np.int64],
    residues: NDArray[np.int64],
    k: int,
    clock: int,
    num_decoding: int,
    is_reserving: bool,
    steps_held_back: int,
    t: float,
    growth: float,
    gap: float,
) -> int:
    """At most k steps: fewer where blocks run out, the queue may be served, or `gap` seconds end.

    The first step lasts t, each further one `growth` longer; its blocks are taken already. The
    step in which the gap ends is the last. `steps_held_back` is for how many steps the queue is not
    looked at, negative where it always is.
    """
    block = counts[BLOCK_SIZE]
    num_waiting = counts[NUM_WAITING]
    if not is_reserving:
        room = counts[FREE]
        if num_waiting == 0:
            room += counts[EVICTABLE]  # else evicting may change what the queue's head needs
        if num_decoding * ((k + block - 2) // block) > room:
            low = 1
            high = k
            while low < high:
                middle = (low + high + 1) >> 1
                if count_decode_demand(residues, clock + 1, middle - 1, block) <= room:
                    low = middle
                else:
                    high = middle - 1
            k = low
    if num_waiting > 0 and steps_held_back > 0:
        k = min(k, steps_held_back)
    if gap < math.inf:
        half = 0.5 * growth
        linear = t - half
        if k * linear + half * k * k > gap:
            root = math.sqrt(linear * linear + 4.0 * half * gap)
            steps = max(int(2.0 * gap / (linear + root)) - 1, 1)
            while steps < k and steps * t + half * steps * (steps - 1) < gap:
                steps += 1
            k = steps
    return k
