"""How unevenly requests arrive, window by window, and the bursts that explain it. Pure.

The index of dispersion of counts is their variance over their mean: 1 for a Poisson stream at every
window, growing with it where the rate wavers. Slow changes (the day, a trend) are in it too.
The Allan factor takes half the mean squared difference of *neighbouring* counts instead, so that it
sees what changes within two windows and nothing slower; bursts are fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.rate import RateCurve

_FEW_WINDOWS = 8  # below that a variance says nothing
_FEW_REQUESTS = 5.0  # a window of a fit expects: below that the single gaps show, not the rate
_SCALE_STEP = 4.0  # from one memory of the noise to the next
_WINDOW_STEP = 2.0
_LEAST_GAP_CV, _MOST_GAP_CV = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class DispersionAt:
    """Spread of the counts of one window length."""

    window_s: float
    num_windows: int
    index_of_dispersion: float
    allan_factor: float


def measure_dispersion(arrival_s: NDArray[np.float64], window_s: float) -> DispersionAt | None:
    """Spread of the counts of whole windows from second 0 on; None where there are under 8."""
    num_windows = int(arrival_s[-1] / window_s)
    if num_windows < _FEW_WINDOWS:
        return None
    inside = arrival_s[: np.searchsorted(arrival_s, num_windows * window_s)]
    windows = np.minimum((inside / window_s).astype(np.int64), num_windows - 1)
    counts = np.bincount(windows, minlength=num_windows).astype(np.float64)
    steps = np.diff(counts)
    return DispersionAt(
        window_s=window_s,
        num_windows=num_windows,
        index_of_dispersion=float(counts.var(ddof=1) / counts.mean()),
        allan_factor=float(np.mean(steps * steps) / (2 * counts.mean())),
    )


def fit_bursts(arrival_s: NDArray[np.float64], rate: RateCurve, longest_s: float) -> Bursts:
    """The bursts that give the Allan factors of all windows up to `longest_s` seconds.

    A window of w seconds has the factor gap_cv² + rate · w · Σ variance · fading(w / scale), with
    the rate weighted by itself, as a wavering rate shows more where there is more of it. Variances
    are fitted by non-negative least squares, each factor by how exactly it is known; what slower
    noise there is belongs to the curve.
    """
    from scipy.optimize import nnls

    knots_s = np.linspace(0.0, rate.span_s, 1001)
    rates = rate.compute_rate_per_s(knots_s)
    shortest_s = _FEW_REQUESTS / rate.rate_per_s_mean
    num_windows = int(np.log(max(longest_s / shortest_s, 1e-9)) / np.log(_WINDOW_STEP)) + 1
    measured = [
        found
        for k in range(max(num_windows, 0))
        if (found := measure_dispersion(arrival_s, shortest_s * _WINDOW_STEP**k)) is not None
    ]
    if not measured:
        return Bursts(gap_cv=_measure_gap_cv(arrival_s, rate))
    windows_s = np.array([found.window_s for found in measured])
    factors = np.array([found.allan_factor for found in measured])
    sureness = np.sqrt([found.num_windows for found in measured]) / np.maximum(factors, 1e-9)
    num_scales = int(np.log(longest_s / shortest_s) / np.log(_SCALE_STEP)) + 1
    scales_s = shortest_s * _SCALE_STEP ** np.arange(num_scales)
    rate_per_s = float(np.mean(rates**2) / np.mean(rates))
    shapes = compute_allan_fading(windows_s[:, None] / scales_s)
    columns = np.column_stack((np.ones(windows_s.size), rate_per_s * windows_s[:, None] * shapes))
    found_shares, _ = nnls(columns * sureness[:, None], factors * sureness)
    variances = found_shares[1:]
    return Bursts(
        gap_cv=float(np.clip(np.sqrt(found_shares[0]), _LEAST_GAP_CV, _MOST_GAP_CV)),
        scale_s=tuple(scales_s[variances > 0].tolist()),
        variance_ratio=tuple(variances[variances > 0].tolist()),
    )


def compute_allan_fading(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Allan variance of the window means of unit noise, for windows `x` memories long.

    Their variance 2 (x - 1 + e⁻ˣ) / x² less the covariance of neighbours ((1 - e⁻ˣ) / x)².
    """
    fade = -np.expm1(-x)
    return np.asarray(2 * (x - fade) / x**2 - (fade / x) ** 2, np.float64)


def _measure_gap_cv(arrival_s: NDArray[np.float64], rate: RateCurve) -> float:
    """Variation of the gaps, each in units of what the rate lets expect."""
    gaps = np.diff(arrival_s) * rate.compute_rate_per_s(arrival_s[:-1])
    mean = float(gaps.mean())
    return float(np.clip(gaps.std() / mean, _LEAST_GAP_CV, _MOST_GAP_CV)) if mean > 0 else 1.0
