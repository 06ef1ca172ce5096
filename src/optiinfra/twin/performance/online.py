"""Correction of a deployment's predictions from its live telemetry, bounded.

As Dynamo's planner corrects TTFT and ITL by actual over expected, but bounded to [0.5, 2] and
shrunk to 1 until enough was seen: a metric that is off by more is a fault or another workload, not
a slower GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_FACTOR: Final = 2.0
MIN_FACTOR: Final = 0.5
PRIOR_WEIGHT: Final = 5.0  # observations that count as much as the prediction itself
MEMORY: Final = 50.0  # observations after which an old one has lost most of its weight


@dataclass(frozen=True, slots=True)
class OnlineCorrection:
    """Weighted mean of log(measured / predicted), and the weight behind it."""

    log_mean: float = 0.0
    weight: float = 0.0

    @property
    def factor(self) -> float:
        """What multiplies a prediction; 1 before anything was observed."""
        shrunk = self.log_mean * self.weight / (self.weight + PRIOR_WEIGHT)
        return min(MAX_FACTOR, max(MIN_FACTOR, math.exp(shrunk)))

    def observe(self, *, measured_s: float, predicted_s: float) -> OnlineCorrection:
        """The correction after one more observation; both times are positive and finite.

        One observation counts for no more than the bounds. Raises ValueError for other times.
        """
        if not (0 < measured_s < math.inf and 0 < predicted_s < math.inf):
            message = f"measured {measured_s} and predicted {predicted_s} are positive seconds"
            raise ValueError(message)
        ratio = math.log(min(MAX_FACTOR, max(MIN_FACTOR, measured_s / predicted_s)))
        kept = self.weight * (1.0 - 1.0 / MEMORY)
        weight = kept + 1.0
        return OnlineCorrection((self.log_mean * kept + ratio) / weight, weight)
