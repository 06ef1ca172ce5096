"""Stationary Gaussian noise whose memory fades exponentially (Ornstein-Uhlenbeck on a grid)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FORGOTTEN = 1e-17  # a memory below this changes no float64 of order 1


def draw_fading_noise(
    rng: np.random.Generator, memory: float, num_steps: int
) -> NDArray[np.float64]:
    """Standard normal noise, float64[num_steps], correlated `memory` ** k between steps k apart."""
    noise = rng.standard_normal(num_steps)
    noise[1:] *= np.sqrt(1.0 - memory * memory)
    reach, weight = 1, memory
    while reach < num_steps and weight > _FORGOTTEN:  # x[t] = e[t] + m e[t-1] + m² e[t-2] + …
        noise[reach:] += weight * noise[:-reach].copy()
        reach, weight = 2 * reach, weight * weight
    return noise
