"""A rate of arrivals over time: straight lines between knots. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_KNOTS = 1_000_000
_DAY_S = 86_400.0
_WEEK_S = 7 * _DAY_S
_WANTED_BINS = 48
_SHORTEST_BIN_S, _LONGEST_BIN_S = 300.0, 1800.0
_FEW_REQUESTS = 100
_FEW_IN_BIN = 50


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


def fit_rate(arrival_s: NDArray[np.float64]) -> tuple[RateCurve, float]:
    """The rate of a trace, and the width in seconds of the bins that it was counted in.

    Bins are 5 minutes wide for a few hours, up to half an hour for days, and wider where they would
    hold fewer than 50 requests. The curve goes straight from the middle of one to the next.

    Raises ValueError for fewer than 100 requests, or for all at one instant.
    """
    span_s = float(arrival_s[-1])
    if arrival_s.size < _FEW_REQUESTS or span_s <= 0:
        message = f"{arrival_s.size} requests in {span_s} s are too few to fit a workload to"
        raise ValueError(message)
    wanted_s = min(max(span_s / _WANTED_BINS, _SHORTEST_BIN_S), _LONGEST_BIN_S)
    num_bins = max(min(round(span_s / wanted_s), arrival_s.size // _FEW_IN_BIN), 1)
    counts, edges_s = np.histogram(arrival_s, num_bins, (0.0, span_s))
    middle_s = (edges_s[:-1] + edges_s[1:]) / 2
    curve = RateCurve(middle_s, counts / np.diff(edges_s), span_s)
    factor = arrival_s.size / curve.num_requests_expected
    return replace(curve, rate_per_s=curve.rate_per_s * factor), span_s / num_bins


def extend_rate(rate: RateCurve, span_s: float) -> RateCurve:
    """The rate over another span: cut off, or repeated by whole weeks or days where it has them.

    A curve of less than a day repeats as a whole.
    """
    if span_s == rate.span_s:
        return rate
    if span_s < rate.span_s:
        inside = rate.knot_s < span_s
        knots = np.append(rate.knot_s[inside], span_s)
        return RateCurve(knots, rate.compute_rate_per_s(knots), span_s)
    period_s = next((p for p in (_WEEK_S, _DAY_S) if p <= rate.span_s), rate.span_s)
    period_s = np.floor(rate.span_s / period_s) * period_s
    inside = rate.knot_s < period_s
    num_repeats = int(np.ceil(span_s / period_s))
    if num_repeats * int(inside.sum()) > MAX_KNOTS:
        message = f"the rate curve would have more than {MAX_KNOTS:,} knots over {span_s:g} s"
        raise ValueError(message)
    knots = np.concatenate([rate.knot_s[inside] + k * period_s for k in range(num_repeats)])
    rates = np.tile(rate.rate_per_s[inside], num_repeats)
    return RateCurve(knots[knots <= span_s], rates[knots <= span_s], span_s)
