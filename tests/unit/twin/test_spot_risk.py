"""Hazards and risks of losing a zone, on figures worked out by hand."""

from __future__ import annotations

from math import asin, exp, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiinfra.twin.spot import SpotMarket, SpotMeasure, compute_loss_risk, score_loss_risk
from optiinfra.twin.spot.clipped_normal import compute_joint_probability, find_correlation
from optiinfra.twin.spot.hazards import (
    Dispersion,
    GammaPosterior,
    ZoneHazards,
    count_ends,
    fit_hazards,
)
from optiinfra.twin.spot.risk import (
    compute_exposure_h,
    compute_longer_ratio,
    compute_loss_probabilities,
)

MEASURE = SpotMeasure.INSTANCE_LIFE


def make_market(*columns: str, tick_s: float = 3600.0) -> SpotMarket:
    """A zone a column, 1 where it is up."""
    is_up = np.array([[char == "1" for char in column] for column in columns]).T
    zones = tuple(f"r-{k}a" for k in range(len(columns)))
    return SpotMarket(zones, tick_s, is_up, np.ones(is_up.shape), MEASURE, "made")


def make_hazards(*by_age: GammaPosterior, edges_s: tuple[float, ...]) -> ZoneHazards:
    return ZoneHazards("z", edges_s, by_age[0], by_age[0], by_age, by_age)


def test_ends_and_exposure_by_hand() -> None:
    market = make_market("1101110011", tick_s=43_200.0)  # ages are 0-1 and, above, 2 and more ticks
    losses = count_ends(market.is_available, market.tick_s, is_up=True)
    # 7 up ticks, of which the last has no successor; the first stretch is of unknown age
    assert (losses.events[0], losses.exposure_h[0]) == (2, 6 * 12)
    assert losses.events_by_age.tolist() == [[0, 1]]
    assert losses.exposure_h_by_age.tolist() == [[(2 + 1) * 12, 1 * 12]]
    recoveries = count_ends(market.is_available, market.tick_s, is_up=False)
    assert (recoveries.events[0], recoveries.exposure_h[0]) == (2, 3 * 12)
    assert recoveries.events_by_age.tolist() == [[2, 0]]


def test_posterior_is_conjugate() -> None:
    posterior = GammaPosterior(9.0, 100.0, 1.0, 20.0)
    assert posterior.mean_per_h == 10 / 120
    # quantiles of a gamma of shape 10 are half those of chi-squared with 20 degrees of freedom
    low, high = posterior.compute_interval_per_h()
    assert (low * 120, high * 120) == pytest.approx((10.851 / 2, 31.410 / 2), rel=1e-4)
    clustered = GammaPosterior(9.0, 100.0, 1.0, 20.0, dispersion=3.0)
    assert (clustered.shape, clustered.rate_h) == (4.0, 100 / 3 + 20)
    wide = clustered.compute_interval_per_h()
    assert wide[1] / wide[0] > high / low


def test_the_prior_is_all_zones_and_worth_one_event() -> None:
    market = make_market("1010", "1111")
    first, second = fit_hazards(market)
    total_h = (2 + 3) / 2.5  # hours that all zones together take for an event, half of one added
    assert (first.loss.num_events, first.loss.exposure_h) == (2, 2)
    assert first.loss.mean_per_h == pytest.approx((2 + 1) / (2 + total_h))
    assert second.loss.mean_per_h == pytest.approx(1 / (3 + total_h))
    twice = Dispersion(np.full(2, 2.0), np.full(2, 4.0))
    wider = fit_hazards(market, loss_dispersion=twice)[0]
    assert wider.loss.shape == 2.0
    assert {cell.dispersion for cell in wider.loss_by_age} == {4.0}
    assert wider.recovery == first.recovery


def test_risk_by_hand() -> None:
    young, old = GammaPosterior(3, 9, 1, 1), GammaPosterior(0, 99, 1, 1)
    hazards = make_hazards(young, old, edges_s=(0.0, 7200.0))
    assert compute_exposure_h((0.0, 7200.0), 3600.0, 10_800.0).tolist() == [1.0, 2.0]
    risk = compute_loss_risk(hazards, horizon_s=10_800.0, age_s=3600.0, measure=MEASURE)
    survival = (10 / 11) ** 4 * (100 / 102)
    assert risk.probability == pytest.approx(1 - survival)
    assert risk.low < 1 - exp(-(0.4 * 1 + 0.01 * 2)) < risk.high
    assert (risk.coverage_ratio, risk.measure, risk.zone) == (0.9, MEASURE, "z")
    longer = [compute_longer_ratio(hazards, 10_800.0, is_up=is_up) for is_up in (True, False)]
    assert longer == [pytest.approx((10 / 12) ** 4 * (100 / 101))] * 2
    many = compute_loss_probabilities(hazards, horizon_s=10_800.0, age_s=[3600.0, 1e6])
    assert many.tolist() == pytest.approx([1 - survival, 1 - (100 / 103)])


@settings(max_examples=30)
@given(
    st.floats(0, 1e6), st.floats(1, 1e6), st.floats(1, 100), st.integers(0, 20), st.integers(0, 20)
)
def test_risk_grows_with_the_horizon_and_lies_in_its_interval(
    age_s: float, horizon_s: float, factor: float, young: int, old: int
) -> None:
    cells = [GammaPosterior(n, 50.0, 1.0, 5.0, 2.0) for n in (young, old)]
    hazards = make_hazards(*cells, edges_s=(0.0, 3600.0))
    near, far = (
        compute_loss_risk(hazards, horizon_s=h, age_s=age_s, measure=MEASURE)
        for h in (horizon_s, horizon_s * factor)
    )
    assert 0 <= near.low <= near.probability <= near.high <= 1
    assert near.probability <= far.probability


@pytest.mark.parametrize(
    ("horizon_s", "age_s", "coverage"),
    [(0, 1, 0.9), (float("nan"), 1, 0.9), (1, -1, 0.9), (1, 1, 1)],
)
def test_impossible_questions(horizon_s: float, age_s: float, coverage: float) -> None:
    hazards = make_hazards(GammaPosterior(1, 1, 1, 1), edges_s=(0.0,))
    with pytest.raises(ValueError, match="no risk"):
        compute_loss_risk(
            hazards, horizon_s=horizon_s, age_s=age_s, measure=MEASURE, coverage_ratio=coverage
        )


def test_joint_probabilities_have_their_closed_form_at_the_median() -> None:
    correlations = np.array([-0.9, -0.3, 0.0, 0.5, 0.99])
    wanted = [0.25 + asin(c) / (2 * pi) for c in correlations]
    assert compute_joint_probability(0.0, 0.0, correlations).tolist() == pytest.approx(wanted)
    assert [find_correlation(0.0, 0.0, p) for p in wanted] == pytest.approx(correlations, abs=1e-4)


def test_correlations_are_found_again_at_other_thresholds() -> None:
    for correlation in (-0.4, 0.2, 0.95):
        joint = compute_joint_probability(1.2, -0.5, np.array([correlation]))[0]
        assert find_correlation(1.2, -0.5, joint) == pytest.approx(correlation, abs=1e-3)
    draws = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 400_000)
    share = np.mean((draws[:, 0] < 1.2) & (draws[:, 1] < -0.5))
    assert compute_joint_probability(1.2, -0.5, np.array([0.6]))[0] == pytest.approx(
        share, abs=0.003
    )


def test_forecasts_beat_climatology_only_where_there_is_something_to_know() -> None:
    rng = np.random.default_rng(5)
    memoryless = np.empty((4_000, 2), np.bool_)
    memoryless[0] = True
    for t in range(1, 4_000):  # down for a tick with 10 %, whatever came before
        memoryless[t] = rng.random(2) > 0.1
    aging = np.concatenate(
        [np.repeat([True, False], [length, 2]) for length in rng.pareto(1.0, 600).astype(int) + 1]
    )[:4_000]
    plain = SpotMarket(("a", "b"), 300.0, memoryless, np.ones((4_000, 2)), MEASURE, "made")
    heavy = SpotMarket(("a",), 300.0, aging[:, None], np.ones((aging.size, 1)), MEASURE, "made")
    (score,) = score_loss_risk(plain, (600.0,), first_ratio=0.5, refit_s=1e6, decide_s=600.0)
    assert abs(score.brier_skill) < 0.02
    assert score.loss_ratio == pytest.approx(0.19, abs=0.02)
    assert score.calibration_error < 0.06
    (score,) = score_loss_risk(heavy, (600.0,), first_ratio=0.5, refit_s=1e6, decide_s=600.0)
    assert score.brier_skill > 0.1
    assert score.log_loss_skill > 0.1
    with pytest.raises(ValueError, match="can be scored"):
        score_loss_risk(plain, (1e9,), refit_s=600_000.0)
