"""What SGLang and TGI do otherwise than vLLM, on steps of one second."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.factories.fleet import make_step_time_model
from tests.twin.small_workloads import Run, Workload, draw_workload, make_llama_model, run_compiled
from tests.twin.test_simulator_jump import assert_equal_runs

from optiinfra.twin.engine_state import STAT_PREEMPTIONS
from optiinfra.twin.scheduling import SGLANG, TGI, VLLM_V1, Scheduling

SECOND = make_step_time_model(fixed_s=1.0)
MODEL = make_llama_model()
ALL = (VLLM_V1, SGLANG, TGI)


def serve(
    arrivals: list[float], outputs: list[int], scheduling: Scheduling, *, num_blocks: int = 1000
) -> Run:
    workload = Workload(
        arrival_s=np.array(arrivals),
        prompt_tokens=np.full(len(arrivals), 8, np.int32),
        output_tokens=np.array(outputs, np.int32),
        max_num_seqs=32,
        max_num_batched_tokens=512,
        num_blocks=num_blocks,
        block_size=1,
    )
    return run_compiled(workload, SECOND, scheduling=scheduling)


@pytest.mark.parametrize(
    ("scheduling", "finished"), [(VLLM_V1, [5.0, 4.0]), (SGLANG, [6.0, 4.0]), (TGI, [6.0, 4.0])]
)
def test_a_prefill_holds_decodes_up_unless_they_share_a_step(
    scheduling: Scheduling, finished: list[float]
) -> None:
    """Tokens of the first at 1, 2, then its step is the second's prefill, or both's."""
    assert serve([0.0, 1.5], [5, 2], scheduling).finished_s.tolist() == finished


def test_tgi_lets_a_small_queue_wait_for_twenty_decodes() -> None:
    """Seven run, 0.3 of them are two: one waits, two do not."""
    arrivals = [0.0] * 7 + [3.5]
    run = serve(arrivals, [60] * 8, TGI)
    assert run.first_scheduled_s[7] == 21.0  # the prefill's second and 20 decodes
    assert serve(arrivals, [60] * 8, SGLANG).first_scheduled_s[7] == 4.0
    run = serve([*arrivals, 3.6], [60] * 9, TGI)
    assert run.first_scheduled_s[7:].tolist() == [4.0, 4.0]


def test_tgi_takes_the_whole_answer_s_blocks_on_admission() -> None:
    """8 + 10 tokens each: two fit 40 blocks, though three prompts would."""
    run = serve([0.0, 0.0, 0.0], [10, 10, 10], TGI, num_blocks=40)
    assert run.first_scheduled_s.tolist() == [0.0, 0.0, 10.0]
    assert run.stats[STAT_PREEMPTIONS] == 0
    vllm = serve([0.0, 0.0, 0.0], [10, 10, 10], VLLM_V1, num_blocks=40)
    assert vllm.first_scheduled_s.tolist() == [0.0, 0.0, 0.0]
    assert vllm.stats[STAT_PREEMPTIONS] > 0


def test_sglang_leaves_room_for_a_tenth_of_what_may_still_come() -> None:
    """The new answer counts whole: 8 + 20 do not fit beside 28 of 50, and do beside 15."""
    late = serve([0.0, 1.5], [20, 20], SGLANG, num_blocks=50)
    assert late.first_scheduled_s[1] == 2.0
    tight = serve([0.0, 1.5], [20, 20], SGLANG, num_blocks=38)
    assert tight.first_scheduled_s[1] > 2.0


@pytest.mark.parametrize("scheduling", [SGLANG, TGI])
def test_jump_equals_step_by_step(scheduling: Scheduling) -> None:
    num_preempting = 0
    for seed in range(400):
        workload = draw_workload(seed)
        jumped = run_compiled(workload, MODEL, scheduling=scheduling)
        stepped = run_compiled(workload, MODEL, scheduling=scheduling, is_jumping=False)
        assert_equal_runs(jumped, stepped)
        num_preempting += jumped.has_preempted
    assert (num_preempting > 0) == (scheduling is SGLANG)


@given(st.integers(0, 2**32 - 1), st.sampled_from(ALL))
def test_everybody_is_served(seed: int, scheduling: Scheduling) -> None:
    workload = draw_workload(seed)
    run = run_compiled(workload, MODEL, scheduling=scheduling)
    ordered: list[NDArray[np.float64]] = [
        workload.arrival_s,
        run.first_scheduled_s,
        run.first_token_s,
        run.finished_s,
    ]
    for earlier, later in pairwise(ordered):
        assert (earlier <= later).all()
    assert (run.first_token_s > run.first_scheduled_s).all()
