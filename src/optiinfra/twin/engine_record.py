"""What is kept of the steps that were run: sums over time and a series, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.engine_state import (
    FIRST_STAT,
    SERIES_BLOCKS,
    SERIES_RUNNING,
    STAT_BLOCKS_MAX,
    STAT_BUSY_S,
    STAT_EVENTS,
    STAT_KV_TOKEN_S,
    STAT_PREFILL_TOKENS,
    STAT_RUNNING_MAX,
    STAT_RUNNING_S,
    STAT_STEPS,
    TICK_S,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def record_steps(
    figures: NDArray[np.float64],
    series: NDArray[np.int32],
    now: float,
    k: int,
    t: float,
    growth: float,
    num_decoding: int,
    num_running: int,
    resident: int,
    prefill: int,
    used_before: int,
    used: int,
) -> None:
    """Count k steps from `now` on, the first t long; the series is sampled at its ticks.

    `resident` are the cached tokens in use in the first step, `used` the blocks after the last.
    Between, blocks in use are taken to grow evenly.
    """
    stats = figures[FIRST_STAT:]
    pairs_of_steps = 0.5 * k * (k - 1.0)
    span = k * t + growth * pairs_of_steps
    stats[STAT_KV_TOKEN_S] += (
        t * resident * k
        + (growth * resident + t * num_decoding) * pairs_of_steps
        + growth * num_decoding * pairs_of_steps * (2.0 * k - 1.0) / 3.0
    )
    stats[STAT_RUNNING_MAX] = max(stats[STAT_RUNNING_MAX], num_running)
    stats[STAT_BLOCKS_MAX] = max(stats[STAT_BLOCKS_MAX], used)
    stats[STAT_BUSY_S] += span
    stats[STAT_RUNNING_S] += span * num_running
    stats[STAT_STEPS] += k
    stats[STAT_EVENTS] += 1
    stats[STAT_PREFILL_TOKENS] += prefill
    num_ticks = series.shape[1]
    if num_ticks > 0:
        tick_s = figures[TICK_S]
        tick = int(math.ceil(now / tick_s))  # noqa: RUF046  compiled: ceil gives a float
        while tick < num_ticks and tick * tick_s < now + span:
            part = (tick * tick_s - now) / span
            series[SERIES_RUNNING, tick] = num_running
            series[SERIES_BLOCKS, tick] = int(used_before + part * (used - used_before))
            tick += 1
