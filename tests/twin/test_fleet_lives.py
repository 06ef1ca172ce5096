"""Replicas come and go: cold starts, draining, billing, interruptions, quotas; worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.factories.fleet import make_conversation, make_trace
from tests.factories.simulated_fleets import ScriptedScaler, make_pool, make_simulated

from optiinfra.twin.fleet import (
    DeploymentAnswer,
    DeploymentView,
    PoolView,
    SpotSource,
    UtilizationScaler,
    simulate_fleet,
)
from optiinfra.twin.spot.market import SpotMarket, SpotMeasure

EVERY_SECOND = make_trace(np.arange(600.0), 10, 2)  # each takes 0.2 s


def run(*deployments: object, **options: object) -> DeploymentAnswer:
    return simulate_fleet(deployments, **options)[0]  # type: ignore[arg-type]


def test_a_launch_is_billed_at_once_and_serves_after_its_cold_start() -> None:
    """One replica to 600 s, a second launched at 120 s and ready at 220 s."""
    pool = make_pool(num_initial=1, cold_start_s=100.0)
    deployment = make_simulated(
        EVERY_SECOND, pool, scaler=ScriptedScaler(((0.0, {"main": 1}), (120.0, {"main": 2})))
    )
    answer = run(deployment)
    assert answer.gpu_hours["main"] == pytest.approx((600 + 480) / 3600)
    assert answer.cost_usd == pytest.approx((600 + 480) / 3600 * 3.6)
    assert answer.outcomes is not None
    by_second = answer.outcomes[:, 4] == 1
    assert not by_second[:220].any()
    assert 0.3 < by_second[230:].mean() < 0.7
    assert answer.series.num_starting[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert answer.series.num_ready[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]


def test_a_launch_that_is_given_up_before_it_is_ready_is_billed_until_then() -> None:
    pool = make_pool(num_initial=1, cold_start_s=100.0)
    script = ((0.0, {"main": 2}), (120.0, {"main": 1}))
    answer = run(make_simulated(EVERY_SECOND, pool, scaler=ScriptedScaler(script)))
    assert answer.gpu_hours["main"] == pytest.approx((600 + 60) / 3600)
    assert answer.num_launched == {"main": 2}


def test_a_draining_replica_ends_its_requests_and_is_billed_until_the_last() -> None:
    """Two long answers, one each; one replica is drained at 60 s and its answer takes to 100 s."""
    trace = make_trace([0.0, 0.05, 100.0, 590.0], 10, [1_000, 1_000, 2, 2])
    pool = make_pool(num_initial=2)
    deployment = make_simulated(
        trace, pool, scaler=ScriptedScaler(((0.0, {"main": 2}), (60.0, {"main": 1})))
    )
    answer = run(deployment)
    assert answer.outcomes is not None
    ended_s = answer.outcomes[:2, 2]
    assert ended_s[0] == pytest.approx(100.0, abs=0.2)
    assert not answer.is_unstable
    drained = int(answer.outcomes[3, 4] == 0)  # the row that is not used at the end
    assert answer.gpu_hours["main"] == pytest.approx(
        (600 + float(answer.outcomes[answer.outcomes[:, 4] == drained, 2].max())) / 3600, rel=1e-9
    )


def make_market(outages: list[tuple[float, float]], span_s: float = 600.0) -> SpotMarket:
    is_up = np.ones((int(span_s), 1), np.bool_)
    for start, end in outages:
        is_up[int(start) : int(end)] = False
    prices = np.full(is_up.shape, 0.36)
    return SpotMarket(("us-a1a",), 1.0, is_up, prices, SpotMeasure.INSTANCE_LIFE, "made up")


def test_an_interruption_gives_notice_and_then_moves_what_is_left() -> None:
    """Notice at 100 s, gone at 130 s; a long answer begun at 90 s starts anew on the other."""
    trace = make_trace(
        np.concatenate([[90.0, 90.05], np.arange(95.0, 600.0)]) - 90.0,
        10,
        np.array([1_000, 1_000] + [2] * 505),
    )
    spot = SpotSource(make_market([(10.0, 400.0)]), "us-a1a", notice_s=30.0)
    pools = (
        make_pool(name="spot", num_initial=1, spot=spot, cold_start_s=50.0),
        make_pool(name="fixed", num_initial=1),
    )
    script = ((0.0, {"spot": 1, "fixed": 1}),)
    answer = run(make_simulated(trace, *pools, scaler=ScriptedScaler(script)))
    assert answer.num_interrupted == {"spot": 1, "fixed": 0}
    assert answer.num_moved == 1
    assert answer.outcomes is not None
    found = answer.outcomes
    # after the notice nothing new went to it; what it had ends on the other replica
    is_after = (trace.arrival_s > 10.0) & (trace.arrival_s < 400.0)
    assert set(found[is_after, 4]) == {1.0}
    assert set(found[:2, 4]) == {1.0}
    moved = found[:2][np.argmax(found[:2, 2])]
    assert moved[2] == pytest.approx(40.0 + 100.0, abs=0.5)
    # launched again at the first epoch's end with capacity, ready 50 s later
    assert answer.num_launched == {"spot": 2, "fixed": 1}
    assert answer.gpu_hours["spot"] == pytest.approx((40.0 + 120.0) / 3600)
    assert answer.cost_usd == pytest.approx(160 / 3600 * 0.36 + 540 / 3600 * 3.6)
    assert answer.num_served == trace.num_requests


def test_requests_wait_for_the_first_replica_where_none_is_ready() -> None:
    pool = make_pool(num_initial=0, cold_start_s=30.0)
    trace = make_trace([0.0, 1.0, 100.0], 10, 2)
    answer = run(make_simulated(trace, pool, scaler=ScriptedScaler(((0.0, {"main": 1}),))))
    assert answer.outcomes is not None
    assert answer.outcomes[:2, 0].tolist() == [90.0, 90.0]
    assert answer.num_served == 3


def test_gpu_limits_hold_over_all_deployments() -> None:
    wanted = ScriptedScaler(((0.0, {"main": 6}),))
    one, other = (
        make_simulated(EVERY_SECOND, make_pool(num_initial=1), name=name, scaler=wanted)
        for name in ("first", "second")
    )
    answers = simulate_fleet([one, other], gpu_limits={"H100-SXM": 5})
    ready = [answer.series.num_ready[-1, 0] for answer in answers]
    assert ready == [4.0, 1.0]
    alone = simulate_fleet([one, other])
    assert [answer.series.num_ready[-1, 0] for answer in alone] == [6.0, 6.0]


def test_deployments_do_not_touch_each_other() -> None:
    trace = make_conversation(5.0, num_requests=300)
    first = make_simulated(trace, name="first")
    second = make_simulated(EVERY_SECOND, name="second")
    together = simulate_fleet([first, second])
    assert together[0].ttft_s == simulate_fleet([first])[0].ttft_s
    assert together[1].gpu_hours == simulate_fleet([second])[0].gpu_hours


def test_a_window_is_billed_whole() -> None:
    answer = run(make_simulated(make_trace([0.0]), make_pool(num_initial=2)), until_s=7_200.0)
    assert answer.gpu_hours["main"] == pytest.approx(4.0)


def view_rate(rate_per_s: float, present: int, at_s: float) -> DeploymentView:
    pool = PoolView("main", present, 0, 0, 0, 0, 0.0, 64)
    return DeploymentView(at_s, 60.0, round(rate_per_s * 60), 0, 0, (pool,))


def test_the_utilization_scaler_adds_at_once_and_takes_away_after_a_while() -> None:
    scaler = UtilizationScaler("main", 10.0, target_ratio=0.5, min_replicas=2).start()
    wanted = [
        scaler.decide(view_rate(rate, present, at_s))["main"]
        for rate, present, at_s in (
            (25.0, 2, 60.0),
            (10.0, 5, 120.0),
            (10.0, 5, 300.0),
            (10.0, 5, 361.0),
            (0.0, 2, 720.0),
        )
    ]
    assert wanted == [5, 5, 5, 2, 2]
    tolerant = UtilizationScaler("main", 10.0, target_ratio=0.5, tolerance_ratio=0.1)
    assert tolerant.decide(view_rate(26.0, 5, 60.0))["main"] == 5
