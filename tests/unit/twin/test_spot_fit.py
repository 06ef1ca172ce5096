"""Markets drawn after a fit are like the market that was fitted."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.spot_market import read_spot_market
from optiinfra.twin.spot import (
    SpotFit,
    SpotMarket,
    SpotMeasure,
    draw_spot_market,
    find_region,
    fit_spot_market,
)
from optiinfra.twin.spot.hazards import count_ends, list_runs
from optiinfra.twin.spot.prices import fit_prices
from optiinfra.twin.spot.zone_noise import NoiseSharing, draw_zone_noise

TICK_S = 300.0
DAY_S = 86_400.0
ZONES = ("us-west-2a", "us-west-2b", "us-east-1a")


def make_market(num_ticks: int = 8_640) -> SpotMarket:
    """Zones that go up and down in stretches, the first two often together; prices in steps."""
    rng = np.random.default_rng(1)
    sharing = NoiseSharing(0.7, 0.2)
    noise = draw_zone_noise(rng, ZONES, sharing, memory=0.98, num_steps=num_ticks // 2)
    is_up = np.repeat(noise < np.array([0.8, 1.2, 0.1]), 2, axis=0)
    steps = draw_zone_noise(rng, ZONES, sharing, memory=0.9, num_steps=num_ticks // 72)
    prices = np.repeat(np.exp(0.05 * steps), 72, axis=0)
    prices[:, 2] = 0.9
    return SpotMarket(ZONES, TICK_S, is_up, prices, SpotMeasure.LAUNCHABILITY, "made")


def correlate(market: SpotMarket) -> dict[bool, float]:
    """Mean correlation of availability within a region, and across."""
    matrix = np.atleast_2d(np.corrcoef(market.is_available.T))
    found: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(len(market.zones)), 2):
        found[find_region(market.zones[i]) == find_region(market.zones[j])].append(matrix[i, j])
    return {is_near: float(np.mean(values)) for is_near, values in found.items()}


def compute_hazards(market: SpotMarket) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    counts = count_ends(market.is_available, market.tick_s, is_up=True)
    return counts.events / counts.exposure_h


def check_likeness(market: SpotMarket, fit: SpotFit, num_times: int) -> SpotMarket:
    """A long path against the market, within the tolerances that docs/spot-market.md states."""
    drawn = draw_spot_market(fit, span_s=num_times * market.span_s, seed=3)
    assert drawn.is_available.mean(0) == pytest.approx(market.is_available.mean(0), abs=0.03)
    assert compute_hazards(drawn) == pytest.approx(compute_hazards(market), rel=0.1)
    wanted, found = correlate(market), correlate(drawn)
    assert found[True] == pytest.approx(wanted[True], abs=0.05)
    assert found[False] == pytest.approx(wanted[False], abs=0.05)
    assert drawn.price_usd_per_h.mean(0) == pytest.approx(market.price_usd_per_h.mean(0), rel=0.01)
    return drawn


@pytest.fixture(scope="module")
def market() -> SpotMarket:
    return make_market()


@pytest.fixture(scope="module")
def fit(market: SpotMarket) -> SpotFit:
    return fit_spot_market(market)


def test_paths_are_like_the_market(market: SpotMarket, fit: SpotFit) -> None:
    drawn = check_likeness(market, fit, num_times=40)
    assert fit.cadence_ticks == 2
    for is_up in (True, False):
        wanted, found = (
            list_runs(m.is_available[:, 2]).list_complete(is_up=is_up) for m in (market, drawn)
        )
        assert np.median(found) == pytest.approx(np.median(wanted), abs=2)
        assert np.quantile(found, 0.9) == pytest.approx(np.quantile(wanted, 0.9), rel=0.4)


def test_prices_change_as_often_within_the_measured_range(market: SpotMarket, fit: SpotFit) -> None:
    drawn = draw_spot_market(fit, span_s=20 * market.span_s, seed=2)
    wanted, found = (
        (np.diff(m.price_usd_per_h, axis=0) != 0).sum(0) * DAY_S / m.span_s for m in (market, drawn)
    )
    assert found == pytest.approx(wanted, rel=0.1)
    assert wanted[2] == 0
    assert np.all(drawn.price_usd_per_h >= market.price_usd_per_h.min(0))
    assert np.all(drawn.price_usd_per_h <= market.price_usd_per_h.max(0))
    together = [np.corrcoef(*m.price_usd_per_h.T[:2]).flat[1] for m in (market, drawn)]
    assert together[1] == pytest.approx(together[0], abs=0.15)


def test_a_price_that_rests_at_its_floor_is_drawn_anew_as_often_as_elsewhere() -> None:
    market = make_market(720)
    prices = np.full((720, 3), 0.9)
    changes = [*range(100, 200, 10), *range(600, 700, 10)]
    for k, tick in enumerate(changes):
        prices[tick : tick + 10, 0] = 1.0 + 0.01 * (k % 7)
    zone, _, still = fit_prices(replace(market, price_usd_per_h=prices)).zones
    assert zone.gap_s_mean == pytest.approx(10 * TICK_S)
    assert (still.gap_s_mean, set(still.usd_per_h)) == (None, {0.9})


def test_a_fit_says_what_it_was_fitted_to(market: SpotMarket, fit: SpotFit) -> None:
    provenance = fit.provenance
    assert (provenance.source, provenance.digest) == ("made", market.digest)
    assert (provenance.num_rows, provenance.span_s) == (8_640, 30 * DAY_S)
    assert fit.measure is SpotMeasure.LAUNCHABILITY
    drawn = draw_spot_market(fit, span_s=DAY_S, seed=9)
    assert drawn.is_synthetic
    assert drawn.notes[0] == "synthetic: drawn after made, seed 9"
    assert drawn.measure is fit.measure
    assert all(zone.hazards.loss.dispersion > 1 for zone in fit.zones)


def test_the_seed_decides_the_path(market: SpotMarket, fit: SpotFit) -> None:
    one, again, other = (draw_spot_market(fit, span_s=DAY_S, seed=s).digest for s in (1, 1, 2))
    assert one == again != other
    assert fit_spot_market(market) == fit


def test_zones_that_never_or_always_fail_are_fitted() -> None:
    is_up = make_market(720).is_available.copy()
    is_up[:, 0], is_up[:, 1] = True, False
    market = replace(make_market(720), is_available=is_up)
    drawn = draw_spot_market(fit_spot_market(market), span_s=30 * DAY_S, seed=1)
    assert drawn.is_available[:, 0].mean() > 0.95
    assert drawn.is_available[:, 1].mean() < 0.05
    alone = replace(
        market,
        zones=("one",),
        is_available=is_up[:, :1],
        price_usd_per_h=market.price_usd_per_h[:, :1],
    )
    assert draw_spot_market(fit_spot_market(alone), span_s=DAY_S, seed=1).num_ticks == 288


def test_what_cannot_be_fitted_or_drawn(fit: SpotFit) -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_spot_market(make_market(72))
    for span_s in (0.0, 299.0, float("inf"), 1e12):
        with pytest.raises(ValueError, match="ticks of 300 s"):
            draw_spot_market(fit, span_s=span_s, seed=1)


@pytest.mark.real_data
def test_paths_are_like_the_measured_market(real_data_dir: Path) -> None:
    market = read_spot_market(real_data_dir / "spot" / "aws_v100_spot.csv")
    fit = fit_spot_market(market)
    assert fit.cadence_ticks == 3
    drawn = check_likeness(market, fit, num_times=60)
    changes = [(np.diff(m.price_usd_per_h, axis=0) != 0).sum(0) / m.span_s for m in (market, drawn)]
    often = changes[0] * market.span_s > 20  # two zones stand at the floor for most of the month
    assert changes[1][often] == pytest.approx(changes[0][often], rel=0.35)
    any_up = [m.is_available.any(axis=1).mean() for m in (market, drawn)]
    assert any_up[1] == pytest.approx(any_up[0], abs=0.01)
