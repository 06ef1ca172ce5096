"""Fleets: who gets which request, and that nothing is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
    make_trace,
)
from tests.factories.simulated_fleets import cut, make_pool, make_simulated

from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.fleet import (
    DeploymentAnswer,
    Pool,
    Routing,
    SimulatedDeployment,
    simulate_fleet,
)
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import DoesNotFitError, simulate
from optiinfra.twin.step_time import build_step_time_model

ARGUMENTS = make_arguments(max_num_seqs=64)
PLAN = compute_memory_plan(make_architecture(), make_gpu(), ARGUMENTS)
MODEL = build_step_time_model(make_architecture(), make_gpu(), ARGUMENTS)
TRACE = make_conversation(50.0, num_requests=4_000)


def make_real_pool(**overrides: object) -> Pool:
    return make_pool(model=MODEL, plan=PLAN, arguments=ARGUMENTS, **overrides)


def run(deployment: SimulatedDeployment, **options: object) -> DeploymentAnswer:
    (answer,) = simulate_fleet([deployment], **options)  # type: ignore[arg-type]
    return answer


def get_outcomes(answer: DeploymentAnswer) -> NDArray[np.float64]:
    assert answer.outcomes is not None
    return answer.outcomes


@pytest.mark.parametrize("num_routers", [1, 2])
def test_round_robin_is_what_independent_replicas_do(num_routers: int) -> None:
    pool = make_real_pool(num_initial=4, max_replicas=4)
    deployment = make_simulated(
        TRACE, pool, routing=Routing.ROUND_ROBIN, num_routers=num_routers, size=700
    )
    found = get_outcomes(run(deployment))
    alone = simulate(TRACE, MODEL, PLAN, ARGUMENTS, num_replicas=4)
    np.testing.assert_allclose(found[:, 0], alone.first_scheduled_s, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[:, 1], alone.first_token_s, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[:, 2], alone.finished_s, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found[:, 3], alone.preemptions)


def count_present(found: NDArray[np.float64], number: int, num_replicas: int) -> NDArray[np.int64]:
    """Requests in each replica when the `number`-th arrives, from the outcomes."""
    is_there = found[:number, 2] > TRACE.arrival_s[number]
    return np.bincount(found[:number, 4][is_there].astype(int), minlength=num_replicas)


def test_of_two_replicas_the_one_with_less_to_do_gets_the_request() -> None:
    found = get_outcomes(run(make_simulated(TRACE, make_real_pool())))
    for number in range(50, 4_000, 13):
        present = count_present(found, number, 2)
        assert present[int(found[number, 4])] == present.min()


def test_two_of_eight_are_looked_at_and_the_worst_is_rarely_chosen() -> None:
    pool = make_real_pool(num_initial=8)
    found = get_outcomes(run(make_simulated(TRACE, pool)))
    is_worst = is_best = 0
    numbers = range(200, 4_000, 7)
    for number in numbers:
        present = count_present(found, number, 8)
        mine = present[int(found[number, 4])]
        is_worst += mine == present.max() > present.min()
        is_best += mine == present.min()
    assert is_worst < 0.25 * len(numbers)
    assert 0.25 * len(numbers) < is_best < 0.9 * len(numbers)


def test_a_pool_of_twice_the_weight_gets_about_twice_the_requests() -> None:
    slow = make_real_pool(name="slow", num_initial=2)
    fast = replace(slow, name="fast", weight=2.0, model=MODEL.scaled(0.5))
    found = get_outcomes(run(make_simulated(TRACE, slow, fast)))
    share = np.bincount(found[:, 4].astype(int), minlength=4) / TRACE.num_requests
    assert 0.6 < share[2:].sum() < 0.85
    assert share[2] == pytest.approx(share[3], rel=0.1)


def make_prefixed(num_groups: int, num_requests: int = 600) -> Trace:
    rng = np.random.default_rng(3)
    group = rng.integers(0, num_groups, num_requests)
    ids = np.stack([group * 2, group * 2 + 1], axis=1).astype(np.int32).ravel()
    hashes = PrefixHashes(np.arange(num_requests + 1) * 2, ids, 512)
    arrivals = np.arange(num_requests) * 0.2
    return make_trace(arrivals, 1_025, 4, prefix_hashes=hashes)


def test_affinity_sends_a_prefix_where_it_was_unless_that_replica_is_full() -> None:
    trace = make_prefixed(12)
    pool = make_real_pool(num_initial=4)
    options = {"num_hash_ids": 24, "blocks_per_hash": 32}
    near = run(make_simulated(trace, pool, routing=Routing.PREFIX_AFFINITY, size=77, **options))
    found = get_outcomes(near)
    assert trace.prefix_hashes is not None
    group = trace.prefix_hashes.ids[::2]
    homes = [set(found[group == g, 4]) for g in np.unique(group)]
    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes)) > 1
    spread = run(make_simulated(trace, pool, routing=Routing.ROUND_ROBIN, **options))
    near_s, spread_s = near.ttft_s.mean, spread.ttft_s.mean
    assert near_s is not None
    assert spread_s is not None
    assert near_s < spread_s, "more prompts are served from the cache"
    # ten times as fast, all the same prefix: one replica cannot have them all
    rush = replace(make_prefixed(1, 3_000), arrival_s=np.arange(3_000, dtype=np.float64) * 0.002)
    crowded = run(make_simulated(rush, pool, routing=Routing.PREFIX_AFFINITY, **options))
    assert len(set(get_outcomes(crowded)[:, 4])) > 1


def test_prefixes_are_reused_as_on_independent_replicas_however_the_stream_is_cut() -> None:
    trace = make_prefixed(5)
    pool = make_real_pool(num_initial=3)
    alone = simulate(trace, MODEL, PLAN, ARGUMENTS, num_replicas=3)
    for size in (37, 600):
        deployment = make_simulated(
            trace, pool, routing=Routing.ROUND_ROBIN, num_hash_ids=10, blocks_per_hash=32, size=size
        )
        found = get_outcomes(run(deployment))
        np.testing.assert_allclose(found[:, 2], alone.finished_s, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_routers", [1, 3])
def test_threads_and_cuts_of_the_stream_change_nothing(num_routers: int) -> None:
    answers = []
    for size, num_threads in ((4_000, 1), (313, 1), (1_000, 2), (4_000, 4)):
        deployment = make_simulated(
            TRACE, make_real_pool(num_initial=6), num_routers=num_routers, size=size
        )
        answer = run(deployment, num_threads=num_threads)
        answers.append((get_outcomes(answer).tobytes(), answer.gpu_hours, answer.ttft_s))
    assert all(answer == answers[0] for answer in answers)


def test_another_seed_draws_other_replicas() -> None:
    one, other = (
        get_outcomes(run(make_simulated(TRACE, make_real_pool(num_initial=6), seed=seed)))
        for seed in (1, 2)
    )
    assert (one[:, 4] != other[:, 4]).mean() > 0.5


def test_totals_are_those_of_the_outcomes() -> None:
    answer = run(make_simulated(TRACE, make_real_pool(num_initial=4), num_routers=2))
    found = get_outcomes(answer)
    ttft_s = found[:, 1] - TRACE.arrival_s
    has_tpot = TRACE.output_tokens > 1
    tpot_s = (found[:, 2] - found[:, 1])[has_tpot] / (TRACE.output_tokens[has_tpot] - 1)
    assert answer.num_served == answer.num_requests == TRACE.num_requests
    assert answer.ttft_s.mean == pytest.approx(ttft_s.mean())
    assert answer.tpot_s.mean == pytest.approx(tpot_s.mean())
    assert answer.ttft_s.p95 == pytest.approx(np.percentile(ttft_s, 95), rel=0.07)
    assert answer.tpot_s.p99 == pytest.approx(np.percentile(tpot_s, 99), rel=0.07)
    is_met = ttft_s <= 1.0
    is_met[has_tpot] &= tpot_s <= 0.03
    assert answer.slo_attainment_ratio == pytest.approx(is_met.mean())
    assert answer.output_tokens == TRACE.output_tokens.sum()
    assert answer.series.num_arrivals.sum() == TRACE.num_requests


def test_more_load_than_there_is_room_for_ends_the_run_as_unstable() -> None:
    trace = make_trace(np.arange(20_000) * 0.001, 100, 100)
    deployment = make_simulated(trace, max_waiting=500, num_outcomes=0)
    answer = run(deployment)
    assert answer.is_unstable
    assert answer.num_served < answer.num_requests
    assert answer.num_served < 2_000
    assert not run(make_simulated(make_trace(), max_waiting=0)).is_unstable


def test_without_a_replica_nobody_is_served_and_that_is_said() -> None:
    answer = run(make_simulated(make_trace(), make_pool(num_initial=0)))
    assert answer.is_unstable
    assert answer.num_served == 0
    assert answer.slo_attainment_ratio == 0.0


def test_a_trace_is_streamed() -> None:
    """A chunk is asked for only when the one before it is used up."""
    trace = make_conversation(20.0, num_requests=3_000)
    alive: list[int] = []

    def chunks():  # type: ignore[no-untyped-def]  # noqa: ANN202
        for number, chunk in enumerate(cut(trace, 500)()):
            alive.append(number)
            yield chunk

    answer = run(make_simulated(trace, make_real_pool(), chunks=chunks))
    assert alive == list(range(6))
    assert answer.num_served == 3_000


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ({"outputs": 0}, "has no prompt or no output token"),
        ({"prompts": 0}, "has no prompt or no output token"),
        ({"arrivals": [0.0, 2.0, 1.0, 3.0]}, "request 2 of chat arrives before the one before it"),
        ({"arrivals": [0.0, 1.0, 2.0, float("nan")]}, "or never"),
    ],
)
def test_what_a_stream_may_not_hold(trace: dict[str, object], words: str) -> None:
    good = make_trace()
    broken: dict[str, Any] = {
        "arrival_s": np.array(trace.get("arrivals", good.arrival_s), np.float64),
        "prompt_tokens": np.full(4, trace.get("prompts", 10), np.int32),
        "output_tokens": np.full(4, trace.get("outputs", 10), np.int32),
    }

    def chunks():  # type: ignore[no-untyped-def]  # noqa: ANN202
        for chunk in cut(good, 10)():
            yield replace(chunk, **broken)

    with pytest.raises(InputError, match=words):
        run(make_simulated(good, chunks=chunks))


def test_a_request_longer_than_a_replica_takes_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match=r"request 0 of chat has 20010 tokens"):
        run(make_simulated(make_trace([0.0], 20_000, 10)))


@pytest.mark.parametrize(
    "overrides",
    [
        {"pools": ()},
        {"pools": (make_pool(), make_pool())},
        {"pools": (make_pool(num_initial=0, max_replicas=0),)},
        {"num_routers": 0},
        {"num_routers": 99},
    ],
)
def test_a_deployment_that_cannot_be_is_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="chat"):
        make_simulated(make_trace(), **overrides)


def test_a_pool_that_cannot_be_is_refused() -> None:
    for overrides in ({"num_initial": 9}, {"cold_start_s": -1.0}, {"weight": 0.0}):
        with pytest.raises(InputError, match="pool main"):
            make_pool(**overrides)
    with pytest.raises(InputError, match="0 deployments"):
        simulate_fleet([])
