"""The request tier confirms the fluid tier: GPU-hours within 3 %, attainment within 1 point."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
    make_slo,
    make_stand,
)
from tests.factories.simulated_fleets import ScriptedScaler, make_pool, make_simulated

from optiinfra.domain.errors import InputError
from optiinfra.twin.fleet import (
    FixedScaler,
    Pool,
    ServiceCurve,
    UtilizationScaler,
    measure_service_curve,
    simulate_fleet,
    simulate_fluid,
)
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.stand import find_sustainable_rate
from optiinfra.twin.step_time import build_step_time_model
from optiinfra.twin.workload import CONVERSATION_LENGTHS, RateCurve, RequestStream

ARGUMENTS = make_arguments(max_num_seqs=128)
MAX_GPU_HOURS_ERROR = 0.03
MAX_ATTAINMENT_ERROR = 0.01


def make_real_pool(**overrides: object) -> Pool:
    plan = compute_memory_plan(make_architecture(), make_gpu(), ARGUMENTS)
    model = build_step_time_model(make_architecture(), make_gpu(), ARGUMENTS)
    return make_pool(model=model, plan=plan, arguments=ARGUMENTS, **overrides)


@cache
def get_rate_per_s() -> float:
    stand = make_stand(make_conversation(10.0, num_requests=4_000))
    rate = find_sustainable_rate(stand, make_gpu(), ARGUMENTS, 1)
    assert rate is not None
    return rate


@cache
def get_curve() -> ServiceCurve:
    trace = make_conversation(10.0, num_requests=12_000)
    return measure_service_curve(
        make_real_pool(), make_slo(), trace, sustainable_per_s=get_rate_per_s()
    )


def make_stream(shape: str, seed: int) -> RequestStream:
    span_s = 2 * 3600.0
    at_s = np.linspace(0.0, span_s, 49)
    rates = {
        "waves": 45 + 35 * np.sin(2 * np.pi * at_s / span_s * 1.5),
        "steps": np.where((at_s // 1200) % 2 == 0, 20.0, 80.0),
        "ramp": 5 + 90 * at_s / span_s,
    }[shape]
    return RequestStream(RateCurve(at_s, rates, span_s), CONVERSATION_LENGTHS, seed, shape)


@pytest.mark.parametrize(
    ("shape", "target_ratio", "cold_start_s"),
    [
        ("waves", 0.85, 180.0),
        ("waves", 1.15, 300.0),
        ("steps", 0.9, 120.0),
        ("ramp", 1.0, 600.0),
    ],
)
def test_the_request_tier_confirms_the_fluid_tier(
    shape: str, target_ratio: float, cold_start_s: float
) -> None:
    stream = make_stream(shape, 3)
    pool = make_real_pool(num_initial=3, max_replicas=24, cold_start_s=cold_start_s)
    scaler = UtilizationScaler("main", get_rate_per_s(), target_ratio=target_ratio, min_replicas=2)
    deployment = make_simulated(
        make_conversation(), pool, scaler=scaler, chunks=stream.iter_chunks, num_outcomes=0
    )
    (exact,) = simulate_fleet([deployment])
    fluid = simulate_fluid(exact.series.num_arrivals, pool, get_curve(), scaler)
    assert not exact.is_unstable
    assert fluid.gpu_hours == pytest.approx(exact.gpu_hours_total, rel=MAX_GPU_HOURS_ERROR)
    assert fluid.slo_attainment_ratio == pytest.approx(
        exact.slo_attainment_ratio, abs=MAX_ATTAINMENT_ERROR
    )
    assert fluid.num_launched == pytest.approx(exact.num_launched["main"], abs=2)


def test_the_curve_falls_with_the_crowd() -> None:
    curve = get_curve()
    assert curve.slo_attainment_ratio[1] > 0.99
    assert curve.slo_attainment_ratio[-1] < 0.1
    assert (np.diff(curve.slo_attainment_ratio) < 0.02).all()
    assert get_rate_per_s() < curve.capacity_per_s < 2 * get_rate_per_s()


HAND = ServiceCurve(  # a request takes a second, and a replica completes fifteen a second
    num_present=np.array([0.0, 10.0, 15.0, 30.0]),
    completions_per_s=np.array([0.0, 10.0, 15.0, 15.0]),
    slo_attainment_ratio=np.array([1.0, 0.9, 0.8, 0.0]),
    drain_s=np.array([0.0, 30.0, 60.0, 60.0]),
)


def test_steady_load_by_hand() -> None:
    """Two replicas, 10 requests a second each, ten minutes."""
    pool = make_pool(num_initial=2)
    fluid = simulate_fluid(np.full(10, 1_200.0), pool, HAND, FixedScaler())
    assert fluid.slo_attainment_ratio == pytest.approx(0.9, abs=0.005)
    assert fluid.num_present[-1] == pytest.approx(20.0, rel=0.2)
    assert fluid.gpu_hours == pytest.approx(2 * 600 / 3600)
    assert not fluid.is_unstable


def test_an_overload_grows_and_that_is_said() -> None:
    fluid = simulate_fluid(np.full(10, 1_800.0), make_pool(num_initial=1), HAND, FixedScaler())
    assert fluid.is_unstable
    assert fluid.num_present[-1] == pytest.approx(10 * 60 * 15.0, rel=0.01)
    assert fluid.slo_attainment_ratio < 0.1


def test_draining_is_billed_by_what_was_left() -> None:
    """Two replicas with 10 requests each; at 60 s one of them drains for 30 s more."""
    pool = make_pool(num_initial=2)
    script = ScriptedScaler(((0.0, {"main": 1}),))
    fluid = simulate_fluid(np.array([1_200.0, 0.0]), pool, HAND, script)
    assert fluid.gpu_hours == pytest.approx((2 * 60 + 30 + 60) / 3600, rel=0.02)


def test_no_replica_serves_nobody() -> None:
    fluid = simulate_fluid(np.full(3, 60.0), make_pool(num_initial=0), HAND, FixedScaler())
    assert fluid.slo_attainment_ratio == 0.0
    assert fluid.gpu_hours == 0.0


@pytest.mark.parametrize("counts", [[], [-1.0], [float("nan")]])
def test_arrivals_that_cannot_be_are_refused(counts: list[float]) -> None:
    with pytest.raises(InputError, match="epochs"):
        simulate_fluid(np.array(counts), make_pool(), HAND, FixedScaler())
