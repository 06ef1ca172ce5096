"""Fitting a spot market's figures to a measured one; what they mean stands in `model`. Pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.provenance import Provenance
from optiinfra.twin.spot.clipped_normal import find_correlation, find_threshold
from optiinfra.twin.spot.hazards import (
    Dispersion,
    EndCounts,
    count_ends,
    fit_hazards,
    list_runs,
)
from optiinfra.twin.spot.market import SpotMarket, find_region
from optiinfra.twin.spot.model import SpotFit, ZoneFit
from optiinfra.twin.spot.paths import draw_availability
from optiinfra.twin.spot.prices import fit_prices
from optiinfra.twin.spot.zone_noise import NoiseSharing, make_noise_sharing

_MIN_TICKS = 100
_SCALES = 4.0 ** np.arange(6)  # of the cadence: 10 minutes to a week at the AWS measurement's
_NUM_LAGS = 10  # 1, 2, 4 … cadences
_EXACT = 100.0  # weight of the shortest lag, and of shares that sum to 1
_POOLED = 1.0  # weight of the shares of all zones together: one zone's long lags are few events
_MAX_CORRELATION = 0.9999
_TINY = 1e-9  # keeps a zone that was never up, or never lost, from dividing by 0
_NUM_PATHS = 40  # from which the clustering of events is read
_PATH_SEED = 0  # part of the method: the same market gives the same fit


def fit_spot_market(market: SpotMarket) -> SpotFit:
    """The figures of a market. Raises ValueError for fewer than 100 ticks."""
    if market.num_ticks < _MIN_TICKS:
        message = f"{market.num_ticks} ticks are too few to fit a spot market to: {_MIN_TICKS}"
        raise ValueError(message)
    cadence = _find_cadence(market)
    availability = np.clip(
        market.is_available.mean(axis=0),
        1 / (market.num_ticks + 1),
        market.num_ticks / (market.num_ticks + 1),
    )
    shares = _fit_shares(market, cadence, availability)
    fit = SpotFit(
        zones=tuple(
            ZoneFit(zone, float(up), tuple(row.tolist()), hazard)
            for zone, up, row, hazard in zip(
                market.zones, availability, shares, fit_hazards(market), strict=True
            )
        ),
        tick_s=market.tick_s,
        cadence_ticks=cadence,
        scales_s=tuple((_SCALES * cadence * market.tick_s).tolist()),
        sharing=_fit_sharing(market, availability, shares),
        prices=fit_prices(market),
        measure=market.measure,
        provenance=_describe(market),
    )
    return _widen_hazards(fit, market)


def _describe(market: SpotMarket) -> Provenance:
    return Provenance(
        source=market.source,
        digest=market.digest,
        num_rows=market.num_ticks,
        span_s=market.span_s,
        started_at=None if market.started_at is None else market.started_at.isoformat(),
        is_synthetic=market.is_synthetic,
        notes=market.notes,
    )


def _find_cadence(market: SpotMarket) -> int:
    """Ticks of the shortest complete stretch; 1 where no zone has one."""
    runs = [list_runs(column) for column in market.is_available.T]
    lengths = np.concatenate([run.list_complete(is_up=up) for run in runs for up in (True, False)])
    return int(lengths.min()) if lengths.size else 1


def _fit_shares(
    market: SpotMarket, cadence: int, availability: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shares of the scales, float64[num_zones, num_scales], each row of sum 1."""
    lags = 2 ** np.arange(_NUM_LAGS)
    lags = lags[lags * cadence <= max(market.num_ticks // 8, cadence)]
    fading = np.array(
        [
            _compute_fading(column, float(up), lags * cadence)
            for column, up in zip(market.is_available.T, availability, strict=True)
        ]
    )
    shapes = np.exp(-lags[:, None] / _SCALES)
    pooled = _solve_shares(shapes, fading.mean(axis=0), None)
    return np.array([_solve_shares(shapes, row, pooled) for row in fading])


def _compute_fading(
    is_up: NDArray[np.bool_], availability: float, lags: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correlation of a zone's normal variable with itself `lags` ticks later, float64[num_lags].

    The first says how often a zone that is up is not so a cadence later: the hazard.
    """
    threshold = find_threshold(availability)
    up = is_up.astype(np.float64) - is_up.mean()
    joint = [float(np.mean(up[:-lag] * up[lag:])) + availability**2 for lag in lags]
    found = [find_correlation(threshold, threshold, p) for p in joint]
    return np.clip(found, 0.0, _MAX_CORRELATION)


def _solve_shares(
    shapes: NDArray[np.float64], wanted: NDArray[np.float64], pooled: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Non-negative shares of sum 1 whose fading is nearest to the wanted one."""
    from scipy.optimize import nnls

    weight = np.ones(wanted.size)
    weight[0] = _EXACT
    rows = [shapes * weight[:, None], np.full((1, _SCALES.size), 10 * _EXACT)]
    right = [wanted * weight, np.array([10 * _EXACT])]
    if pooled is not None:
        rows.append(_POOLED * np.eye(_SCALES.size))
        right.append(_POOLED * pooled)
    found, _ = nnls(np.vstack(rows), np.concatenate(right))
    return np.asarray(found / found.sum(), np.float64)


def _fit_sharing(
    market: SpotMarket, availability: NDArray[np.float64], shares: NDArray[np.float64]
) -> NoiseSharing:
    """Common shares that give the mean correlation of pairs within a region, and of the others.

    Two zones' variables correlate by the common share times Σ sqrt(share · other share).
    """
    thresholds = [find_threshold(float(up)) for up in availability]
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for i, j in combinations(range(len(market.zones)), 2):
        joint = float(np.mean(market.is_available[:, i] & market.is_available[:, j]))
        is_near = find_region(market.zones[i]) == find_region(market.zones[j])
        correlation = find_correlation(thresholds[i], thresholds[j], joint)
        found[is_near].append((correlation, float(np.sqrt(shares[i] * shares[j]).sum())))
    return make_noise_sharing(same_region=found[True], any_region=found[False])


def _widen_hazards(fit: SpotFit, market: SpotMarket) -> SpotFit:
    """The fit with hazards whose intervals know that events come in clusters.

    Paths as long as the market are drawn after the fit itself (a parametric bootstrap): how much
    more their counts differ than Poisson counts would is the dispersion.
    """
    seeds = np.random.SeedSequence(_PATH_SEED).spawn(_NUM_PATHS)
    paths = [
        draw_availability(fit, np.random.default_rng(seed), num_ticks=market.num_ticks)
        for seed in seeds
    ]
    loss, recovery = (
        _compute_dispersion([count_ends(path, fit.tick_s, is_up=is_up) for path in paths])
        for is_up in (True, False)
    )
    hazards = fit_hazards(market, loss_dispersion=loss, recovery_dispersion=recovery)
    zones = zip(fit.zones, hazards, strict=True)
    return replace(fit, zones=tuple(replace(zone, hazards=hazard) for zone, hazard in zones))


def _compute_dispersion(counts: list[EndCounts]) -> Dispersion:
    """How much the counts of paths differ from what their exposure lets expect."""
    events = np.array([count.events for count in counts])
    exposure_h = np.array([count.exposure_h for count in counts])
    events_by_age = np.array([count.events_by_age for count in counts])
    exposure_h_by_age = np.array([count.exposure_h_by_age for count in counts])
    return Dispersion(
        overall=_compare(events, _expect(events, exposure_h)),
        within_age=_compare(
            events_by_age.sum(axis=2), _expect(events_by_age, exposure_h_by_age).sum(axis=2)
        ),
    )


def _expect(events: NDArray[np.float64], exposure_h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Events of each path had it the hazard of all paths together."""
    total_h = np.maximum(exposure_h.sum(axis=0), _TINY)
    return np.asarray(exposure_h * (events.sum(axis=0) / total_h), np.float64)


def _compare(events: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared deviation over expectation, summed over paths; 1 if Poisson, never below."""
    squares = ((events - expected) ** 2).sum(axis=0)
    ratio = squares / np.maximum(expected.sum(axis=0), _TINY)
    return np.asarray(np.maximum(ratio, 1.0), np.float64)
