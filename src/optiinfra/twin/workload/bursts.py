"""How arrivals spread around their expected rate: it wavers, and gaps vary. Pure.

The rate is the curve times a noise of mean 1: the exponential of Gaussian noise whose memory fades
as exp(-t / scale) (Ornstein-Uhlenbeck), one such noise a time scale. Under that rate requests come
as a renewal process with gamma-distributed gaps (Cox 1955 for the wavering rate; the count of a
window w then has variance / mean = gap_cv² + rate · w · (variance of the mean noise over w)).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optiinfra.kit.fading_noise import draw_fading_noise
from optiinfra.twin.workload.rate import RateCurve

_STEPS_A_SCALE = 5  # of the grid, within the memory of the fastest noise
_MAX_STEPS = 2_000_000


@dataclass(frozen=True, slots=True)
class Bursts:
    """Spread of arrivals around a rate curve.

    `gap_cv` is the coefficient of variation of gaps under a constant rate, 1 for a Poisson stream.
    `variance_ratio[k]` is the variance, as a share of the squared rate, of the noise whose memory
    is `scale_s[k]` seconds; scales rise.
    """

    gap_cv: float = 1.0
    scale_s: tuple[float, ...] = ()
    variance_ratio: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.gap_cv < 100:  # noqa: PLR2004 - beyond that the shape of a gamma degenerates
            message = f"the variation of gaps is above 0 and below 100, not {self.gap_cv}"
            raise ValueError(message)
        if len(self.scale_s) != len(self.variance_ratio):
            message = "there is one variance a time scale"
            raise ValueError(message)
        numbers = (*self.scale_s, *self.variance_ratio)
        if not all(np.isfinite(n) and n >= 0 for n in numbers) or 0.0 in self.scale_s:
            message = "time scales are positive and variances not negative"
            raise ValueError(message)
        if any(a >= b for a, b in pairwise(self.scale_s)):
            message = "time scales rise"
            raise ValueError(message)

    @property
    def is_plain(self) -> bool:
        """Whether the rate does not waver."""
        return not any(self.variance_ratio)


POISSON = Bursts()


def draw_load(
    rng: np.random.Generator, rate: RateCurve, bursts: Bursts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Requests expected until each instant of a grid, once the wavering of the rate is drawn.

    Two float64[n]: instants from 0 to the span, and the expected count until then, from 0 on. The
    rate stands still between neighbours of the grid, which holds the curve's knots where the rate
    does not waver.
    """
    if bursts.is_plain:
        at_s = np.unique(np.concatenate((_make_grid(rate, rate.span_s / 1000), rate.knot_s)))
        wavering: NDArray[np.float64] | float = 1.0
    else:
        fastest_s = min(
            s for s, v in zip(bursts.scale_s, bursts.variance_ratio, strict=True) if v > 0
        )
        at_s = _make_grid(rate, fastest_s / _STEPS_A_SCALE)
        wavering = _draw_wavering(rng, bursts, step_s=float(at_s[1]), num_steps=at_s.size - 1)
    middle_s = (at_s[:-1] + at_s[1:]) / 2
    in_step = rate.compute_rate_per_s(middle_s) * wavering * np.diff(at_s)
    return at_s, np.concatenate(([0.0], np.cumsum(in_step)))


def _make_grid(rate: RateCurve, step_s: float) -> NDArray[np.float64]:
    num_steps = int(min(max(np.ceil(rate.span_s / step_s), 1), _MAX_STEPS))
    return np.linspace(0.0, rate.span_s, num_steps + 1)


def _draw_wavering(
    rng: np.random.Generator, bursts: Bursts, *, step_s: float, num_steps: int
) -> NDArray[np.float64]:
    """A factor of mean 1 for every step of a grid."""
    total = sum(bursts.variance_ratio)
    logs = np.zeros(num_steps)
    # of a log-normal: its variance is exp(s²) - 1, so the scales share s² = log(1 + total)
    for scale_s, variance in zip(bursts.scale_s, bursts.variance_ratio, strict=True):
        if variance > 0:
            share = np.log1p(total) * variance / total
            logs += np.sqrt(share) * draw_fading_noise(rng, np.exp(-step_s / scale_s), num_steps)
    return np.asarray(np.exp(logs - np.log1p(total) / 2), np.float64)
