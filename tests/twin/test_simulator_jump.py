"""The jump over equal steps changes nothing: it is the step-by-step run in closed form."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
)
from tests.twin.small_workloads import Run, draw_workload, make_llama_model, run_compiled

from optiinfra.twin.engine_state import (
    STAT_EVENTS,
    STAT_KV_TOKEN_S,
    STAT_STEPS,
)
from optiinfra.twin.memory import MemoryPlan
from optiinfra.twin.replicas import simulate
from optiinfra.twin.step_time import build_step_time_model

TOLERANCE_S = 1e-6
NUM_WORKLOADS = 2_000
MIN_PREEMPTING_SHARE = 0.2
MODEL = make_llama_model()


def assert_equal_runs(jumped: Run, stepped: Run) -> None:
    for one, other in (
        (jumped.first_scheduled_s, stepped.first_scheduled_s),
        (jumped.first_token_s, stepped.first_token_s),
        (jumped.finished_s, stepped.finished_s),
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE_S)
    assert jumped.preemptions.tolist() == stepped.preemptions.tolist()
    # Everything counted is equal too, but for how often the loop went round.
    is_compared = np.arange(jumped.stats.size) != STAT_EVENTS
    np.testing.assert_allclose(
        jumped.stats[is_compared], stepped.stats[is_compared], rtol=1e-6, atol=TOLERANCE_S
    )


def test_jump_equals_step_by_step_on_two_thousand_workloads() -> None:
    num_preempting = num_hashed = num_steps = num_events = 0
    for seed in range(NUM_WORKLOADS):
        workload = draw_workload(seed)
        jumped = run_compiled(workload, MODEL)
        stepped = run_compiled(workload, MODEL, is_jumping=False)
        assert_equal_runs(jumped, stepped)
        assert stepped.stats[STAT_EVENTS] == stepped.stats[STAT_STEPS]
        num_preempting += jumped.has_preempted
        num_hashed += bool(workload.hash_ids)
        num_steps += int(jumped.stats[STAT_STEPS])
        num_events += int(jumped.stats[STAT_EVENTS])
    assert num_preempting >= MIN_PREEMPTING_SHARE * NUM_WORKLOADS
    assert 0.35 * NUM_WORKLOADS < num_hashed < 0.45 * NUM_WORKLOADS
    assert num_events < 0.8 * num_steps, "nothing was jumped over"


@given(
    seed=st.integers(0, 2**32 - 1),
    step_ratio=st.floats(0.01, 100.0),
    has_hashes=st.booleans(),
)
def test_jump_equals_step_by_step(seed: int, step_ratio: float, *, has_hashes: bool) -> None:
    workload = draw_workload(seed, has_hashes=has_hashes)
    model = MODEL.scaled(step_ratio)
    assert_equal_runs(
        run_compiled(workload, model), run_compiled(workload, model, is_jumping=False)
    )


def test_jump_equals_step_by_step_on_a_conversation_over_two_replicas() -> None:
    trace = make_conversation(30.0, num_requests=1_000)
    arguments = make_arguments(max_num_seqs=64)
    model = build_step_time_model(make_architecture(), make_gpu(), arguments)
    plan = MemoryPlan(0.0, 0.0, 131_072.0, num_kv_blocks=2_000, block_size=16)
    jumped, stepped = (
        simulate(trace, model, plan, arguments, num_replicas=2, is_jumping=is_jumping)
        for is_jumping in (True, False)
    )
    assert jumped.preemptions.sum() > 0
    np.testing.assert_array_equal(jumped.preemptions, stepped.preemptions)
    np.testing.assert_allclose(jumped.first_token_s, stepped.first_token_s, rtol=0, atol=1e-6)
    np.testing.assert_allclose(jumped.finished_s, stepped.finished_s, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        jumped.stats[:, STAT_KV_TOKEN_S], stepped.stats[:, STAT_KV_TOKEN_S], rtol=1e-9
    )
