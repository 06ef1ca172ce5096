"""Noise of several zones of which a part is common to a region and a part to all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.kit.fading_noise import draw_fading_noise
from optiinfra.twin.spot.market import find_region


@dataclass(frozen=True, slots=True)
class NoiseSharing:
    """Share of the noise's variance that zones have in common: those of a region, and all."""

    same_region_ratio: float
    any_region_ratio: float

    def __post_init__(self) -> None:
        if not 0 <= self.any_region_ratio <= self.same_region_ratio <= 1:
            message = "a region has at least as much in common as all zones, both within 0..1"
            raise ValueError(message)


def make_noise_sharing(
    *, same_region: Sequence[tuple[float, float]], any_region: Sequence[tuple[float, float]]
) -> NoiseSharing:
    """The shares that give mean correlations: pairs of (correlation wanted, that at share 1)."""
    near, far = (_find_share(pairs) for pairs in (same_region, any_region))
    return NoiseSharing(max(near, far), far)


def _find_share(pairs: Sequence[tuple[float, float]]) -> float:
    wanted, full = (sum(column) for column in zip((0.0, 0.0), *pairs, strict=True))
    return min(max(wanted / full, 0.0), 1.0) if full > 0 else 0.0


def draw_zone_noise(
    rng: np.random.Generator,
    zones: Sequence[str],
    sharing: NoiseSharing,
    *,
    memory: float,
    num_steps: int,
) -> NDArray[np.float64]:
    """Standard normal noise of each zone, float64[num_steps, num_zones].

    Steps k apart correlate by `memory` ** k, two zones at one step by their common share.
    """
    regions = [find_region(zone) for zone in zones]
    everywhere = draw_fading_noise(rng, memory, num_steps)
    by_region = {
        region: draw_fading_noise(rng, memory, num_steps) for region in dict.fromkeys(regions)
    }
    own = [draw_fading_noise(rng, memory, num_steps) for _ in zones]
    weights = np.sqrt(
        [
            sharing.any_region_ratio,
            sharing.same_region_ratio - sharing.any_region_ratio,
            1 - sharing.same_region_ratio,
        ]
    )
    return np.stack(
        [
            weights[0] * everywhere + weights[1] * by_region[region] + weights[2] * noise
            for region, noise in zip(regions, own, strict=True)
        ],
        axis=1,
    )
