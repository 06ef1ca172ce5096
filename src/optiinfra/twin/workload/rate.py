"""A rate of arrivals over time: straight lines between knots. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_KNOTS = 1_000_000


@dataclass(frozen=True)
class RateCurve:
    """Expected arrivals per second from second 0 to `span_s`.

    knot_s float64[k], rising, within 0..span_s; rate_per_s float64[k] >= 0, not all 0. The rate is
    straight between knots; before the first and after the last it stays as there.
    """

    knot_s: NDArray[np.float64]
    rate_per_s: NDArray[np.float64]
    span_s: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.span_s) and self.span_s > 0):
            message = f"a rate curve spans a positive time, not {self.span_s} s"
            raise ValueError(message)
        if not 1 <= self.knot_s.size <= MAX_KNOTS or self.knot_s.shape != self.rate_per_s.shape:
            message = f"a rate curve has 1 to {MAX_KNOTS:,} knots and a rate for each"
            raise ValueError(message)
        is_within = np.all((self.knot_s >= 0) & (self.knot_s <= self.span_s))
        if not is_within or np.any(np.diff(self.knot_s) <= 0):
            message = "the knots of a rate curve rise within its span"
            raise ValueError(message)
        if not np.all(np.isfinite(self.rate_per_s) & (self.rate_per_s >= 0)):
            message = "a rate is a number and not negative"
            raise ValueError(message)
        if self.num_requests_expected <= 0:
            message = "a rate curve is above 0 somewhere"
            raise ValueError(message)

    @property
    def num_requests_expected(self) -> float:
        """Requests expected over the whole span."""
        knots, rates = self._with_ends()
        return float(np.trapezoid(rates, knots))

    @property
    def rate_per_s_mean(self) -> float:
        """Mean rate over the span."""
        return self.num_requests_expected / self.span_s

    def compute_rate_per_s(self, at_s: ArrayLike) -> NDArray[np.float64]:
        """The rate at some instants."""
        return np.interp(np.asarray(at_s, np.float64), self.knot_s, self.rate_per_s)

    def _with_ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The knots with one at second 0 and one at the end."""
        knots = np.unique(np.concatenate(([0.0], self.knot_s, [self.span_s])))
        return knots, self.compute_rate_per_s(knots)


def make_constant_rate(rate_per_s: float, span_s: float) -> RateCurve:
    """The same rate all the time."""
    return RateCurve(np.zeros(1), np.array([rate_per_s], np.float64), span_s)
