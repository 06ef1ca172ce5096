"""The probability that a zone loses its capacity within a horizon, and how sure that is. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optiinfra.twin.spot.hazards import ZoneHazards
from optiinfra.twin.spot.market import SECONDS_PER_HOUR, SpotMeasure


@dataclass(frozen=True, slots=True)
class LossRisk:
    """P(loss within `horizon_s`) of a zone that has capacity now, and had it for `age_s` seconds.

    `low` to `high` holds the probability with `coverage_ratio`: it is uncertain because the hazards
    were counted on few events, not because the future is. What a loss is depends on `measure`.
    """

    zone: str
    horizon_s: float
    age_s: float
    probability: float
    low: float
    high: float
    coverage_ratio: float
    measure: SpotMeasure


def compute_loss_risk(
    hazards: ZoneHazards,
    *,
    horizon_s: float,
    age_s: float,
    measure: SpotMeasure,
    coverage_ratio: float = 0.9,
) -> LossRisk:
    """The risk of one zone that has been up for `age_s` seconds.

    With hazards h_k and hours e_k that the horizon spends in each age, P = 1 - exp(-Σ h_k e_k). The
    probability is its mean over the gamma posteriors; the interval takes the sum of gammas as a
    gamma of the same mean and variance (Welch and Satterthwaite).
    """
    from scipy.special import gammaincinv

    if not (np.isfinite(horizon_s) and horizon_s > 0 and age_s >= 0 and 0 < coverage_ratio < 1):
        message = f"no risk within {horizon_s} s at {age_s} s and coverage {coverage_ratio}"
        raise ValueError(message)
    shape = np.array([cell.shape for cell in hazards.loss_by_age])
    rate = np.array([cell.rate_h for cell in hazards.loss_by_age])
    exposure_h = compute_exposure_h(hazards.age_edges_s, age_s, horizon_s)
    mean = float((shape / rate) @ exposure_h)
    variance = float((shape / rate**2) @ exposure_h**2)
    tail = (1 - coverage_ratio) / 2
    bounds = gammaincinv(mean**2 / variance, [tail, 1 - tail]) * variance / mean
    low, high = (-np.expm1(-bounds)).tolist()
    probability = float(_compute_loss_probability(shape, rate, exposure_h))
    return LossRisk(
        zone=hazards.zone,
        horizon_s=horizon_s,
        age_s=age_s,
        probability=probability,
        low=min(low, probability),  # near 1 the mean may lie below the interval's lower end
        high=max(high, probability),
        coverage_ratio=coverage_ratio,
        measure=measure,
    )


def compute_loss_probabilities(
    hazards: ZoneHazards, *, horizon_s: float, age_s: ArrayLike
) -> NDArray[np.float64]:
    """The same probability for many ages at once, float64[n], without intervals."""
    shape = np.array([cell.shape for cell in hazards.loss_by_age])
    rate = np.array([cell.rate_h for cell in hazards.loss_by_age])
    exposure_h = compute_exposure_h(hazards.age_edges_s, age_s, horizon_s)
    return np.asarray(_compute_loss_probability(shape, rate, exposure_h), np.float64)


def compute_longer_ratio(hazards: ZoneHazards, lasts_s: float, *, is_up: bool) -> float:
    """Share of the stretches up (or of the outages) that last longer than this."""
    cells = hazards.loss_by_age if is_up else hazards.recovery_by_age
    shape = np.array([cell.shape for cell in cells])
    rate = np.array([cell.rate_h for cell in cells])
    exposure_h = compute_exposure_h(hazards.age_edges_s, 0.0, lasts_s)
    return 1.0 - float(_compute_loss_probability(shape, rate, exposure_h))


def compute_exposure_h(
    age_edges_s: tuple[float, ...], age_s: ArrayLike, horizon_s: float
) -> NDArray[np.float64]:
    """Hours of the horizon that are spent in each age, float64[..., num_ages]."""
    lower = np.array(age_edges_s)
    upper = np.append(lower[1:], np.inf)
    start = np.asarray(age_s, np.float64)[..., None]
    seconds = np.minimum(start + horizon_s, upper) - np.maximum(start, lower)
    return np.asarray(np.maximum(seconds, 0.0) / SECONDS_PER_HOUR, np.float64)


def _compute_loss_probability(
    shape: NDArray[np.float64], rate: NDArray[np.float64], exposure_h: NDArray[np.float64]
) -> NDArray[np.float64]:
    # E[exp(-h e)] of a gamma is (rate / (rate + e)) ** shape
    return np.asarray(-np.expm1(-(np.log1p(exposure_h / rate) @ shape)), np.float64)
