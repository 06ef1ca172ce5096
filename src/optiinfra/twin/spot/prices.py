"""Spot prices: when they change, among which values, and how slowly. Pure.

A zone's price stays until it changes; the times between changes are gamma distributed. The new
price is the quantile, among the prices that were measured, of a normal variable that fades slowly
and has a part in common with the region's other zones. Prices so never leave the measured range.
How prices and availability depend on each other is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.spot.market import SpotMarket, find_region
from optiinfra.twin.spot.zone_noise import NoiseSharing, draw_zone_noise, make_noise_sharing

_LEVELS = np.linspace(0.0, 1.0, 21)
_LEAST_CV = 0.05
_LEAST_FADING, _MOST_FADING = 0.01, 0.9999  # of the score from one change to the next
_FEW = 3  # gaps below which they have no spread of their own
_MANY_MEDIANS = 3


@dataclass(frozen=True, slots=True)
class ZonePrices:
    """Prices of one instance in one zone.

    `usd_per_h` are their quantiles over time at levels 0, 0.05 … 1. `gap_s_mean` is the time
    between draws of a new price, None where it never changed, and `gap_cv` its variation.
    """

    usd_per_h: tuple[float, ...]
    gap_s_mean: float | None
    gap_cv: float


@dataclass(frozen=True, slots=True)
class PriceFit:
    """Prices of all zones in order, the memory of what moves them, and how far that is common."""

    zones: tuple[ZonePrices, ...]
    memory_s: float
    sharing: NoiseSharing


def fit_prices(market: SpotMarket) -> PriceFit:
    """The price process of a market."""
    columns = market.price_usd_per_h.T
    scores = [_compute_scores(column) for column in columns]
    zones, square, num_changes = [], 0.0, 0.0
    for column, score in zip(columns, scores, strict=True):
        changes = np.flatnonzero(np.diff(column)) + 1
        gap_s, gap_cv = _fit_gaps(np.diff(changes) * market.tick_s)
        if changes.size and gap_s is None:
            gap_s = market.span_s / changes.size
        zones.append(ZonePrices(tuple(np.quantile(column, _LEVELS).tolist()), gap_s, gap_cv))
        if gap_s is not None:
            square += float(((score[changes] - score[changes - 1]) ** 2).sum())
            num_changes += market.span_s / gap_s
    memory_s = market.span_s
    if num_changes:
        # the mean squared step of the scores is 2 - 2 · fading from one change to the next
        fading = min(max(1 - square / num_changes / 2, _LEAST_FADING), _MOST_FADING)
        num_changing = sum(zone.gap_s_mean is not None for zone in zones)
        memory_s = float(-market.span_s * num_changing / num_changes / np.log(fading))
    return PriceFit(tuple(zones), memory_s, _fit_sharing(market, scores))


def _fit_gaps(gaps_s: NDArray[np.float64]) -> tuple[float | None, float]:
    """Mean time between changes and its variation; None below three gaps.

    Gaps above three medians are left out: there the price changed to what it was, as at a floor.
    """
    if gaps_s.size < _FEW:
        return None, 1.0
    usual_s = gaps_s[gaps_s <= _MANY_MEDIANS * np.median(gaps_s)]
    return float(usual_s.mean()), max(float(usual_s.std() / usual_s.mean()), _LEAST_CV)


def _compute_scores(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each price as the normal variable with its rank among all, ties in the middle."""
    from scipy.special import ndtri

    _, where, counts = np.unique(prices, return_inverse=True, return_counts=True)
    return np.asarray(ndtri((np.cumsum(counts) - counts / 2) / prices.size)[where], np.float64)


def _fit_sharing(market: SpotMarket, scores: list[NDArray[np.float64]]) -> NoiseSharing:
    pairs: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for i, j in combinations(range(len(market.zones)), 2):
        spread = float(scores[i].std() * scores[j].std())
        if spread > 0:
            is_near = find_region(market.zones[i]) == find_region(market.zones[j])
            shared = float(np.mean((scores[i] - scores[i].mean()) * (scores[j] - scores[j].mean())))
            pairs[is_near].append((shared / spread, 1.0))
    return make_noise_sharing(same_region=pairs[True], any_region=pairs[False])


def draw_prices(
    rng: np.random.Generator,
    zones: tuple[str, ...],
    fit: PriceFit,
    *,
    tick_s: float,
    num_ticks: int,
) -> NDArray[np.float64]:
    """A price path of each zone, float64[num_ticks, num_zones]."""
    from scipy.special import ndtr

    memory = float(np.exp(-tick_s / fit.memory_s))
    levels = ndtr(draw_zone_noise(rng, zones, fit.sharing, memory=memory, num_steps=num_ticks))
    prices = np.empty((num_ticks, len(zones)))
    for k, zone in enumerate(fit.zones):
        changes = _draw_changes(rng, zone, tick_s=tick_s, num_ticks=num_ticks)
        drawn = np.interp(levels[changes, k], _LEVELS, zone.usd_per_h)
        prices[:, k] = np.repeat(drawn, np.diff(np.append(changes, num_ticks)))
    return prices


def _draw_changes(
    rng: np.random.Generator, zone: ZonePrices, *, tick_s: float, num_ticks: int
) -> NDArray[np.int64]:
    """Ticks at which the price is drawn anew, the first of them 0."""
    if zone.gap_s_mean is None:
        return np.zeros(1, np.int64)
    gap_ticks = max(zone.gap_s_mean / tick_s, 1.0)
    shape = zone.gap_cv**-2
    num = int(num_ticks / gap_ticks + 10 * (1 + zone.gap_cv) * np.sqrt(num_ticks / gap_ticks + 1))
    gaps = rng.gamma(shape, gap_ticks / shape, num)
    gaps[0] *= rng.random()  # the path begins somewhere between two changes
    changes = np.unique(np.floor(np.cumsum(gaps)).astype(np.int64))
    return np.concatenate(([0], changes[(changes > 0) & (changes < num_ticks)]))
