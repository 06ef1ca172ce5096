"""What holds for every workload, whatever the scheduler does."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.fleet import make_step_time_model
from tests.twin.small_workloads import Workload, draw_workload, make_llama_model, run_compiled

from optiinfra.twin.compiled_step import step_s
from optiinfra.twin.engine_state import (
    STAT_BLOCKS_MAX,
    STAT_BUSY_S,
    STAT_END_S,
    STAT_HIT_TOKENS,
    STAT_KV_TOKEN_S,
    STAT_PREEMPTIONS,
    STAT_PREFILL_TOKENS,
    STAT_RUNNING_MAX,
    STAT_RUNNING_S,
    STAT_STEPS,
)
from optiinfra.twin.step_time import StepTimeModel, compute_step_s

MODEL = make_llama_model()
workloads = st.integers(0, 2**32 - 1).map(draw_workload)
coefficients = st.floats(0.0, 10.0)


@given(workloads)
def test_every_request_is_served_once_and_in_order(workload: Workload) -> None:
    run = run_compiled(workload, MODEL)
    assert (run.first_scheduled_s >= workload.arrival_s).all()
    assert (run.first_token_s > run.first_scheduled_s).all()  # so TTFT > 0
    assert (run.finished_s >= run.first_token_s).all()
    is_one_token = workload.output_tokens == 1
    np.testing.assert_array_equal(run.finished_s == run.first_token_s, is_one_token)
    assert (np.diff(run.first_scheduled_s) >= 0).all(), "first come, first served"
    assert run.stats[STAT_END_S] == run.finished_s.max()
    assert run.stats[STAT_PREEMPTIONS] == run.preemptions.sum()


@given(workloads)
def test_limits_are_kept(workload: Workload) -> None:
    run = run_compiled(workload, MODEL)
    assert 1 <= run.stats[STAT_RUNNING_MAX] <= workload.max_num_seqs
    assert 1 <= run.stats[STAT_BLOCKS_MAX] <= workload.num_blocks
    assert run.stats[STAT_BUSY_S] <= run.stats[STAT_END_S] * (1 + 1e-12)
    # In use, averaged over busy time: never more than there is.
    tokens_mean = run.stats[STAT_KV_TOKEN_S] / run.stats[STAT_BUSY_S]
    assert 0 < tokens_mean <= workload.num_blocks * workload.block_size


@given(workloads)
def test_tokens_are_neither_lost_nor_made(workload: Workload) -> None:
    run = run_compiled(workload, MODEL)
    computed = run.stats[STAT_PREFILL_TOKENS] + run.stats[STAT_HIT_TOKENS]
    prompts = int(workload.prompt_tokens.sum())
    if run.has_preempted:
        assert computed >= prompts  # what was computed before a preemption is computed again
    else:
        assert computed == prompts
    if not workload.hash_ids:
        assert run.stats[STAT_HIT_TOKENS] == 0


@given(workloads)
def test_the_batch_integral_is_the_time_in_the_batch(workload: Workload) -> None:
    run = run_compiled(workload, MODEL)
    in_batch_s = float((run.finished_s - run.first_scheduled_s).sum())
    if run.has_preempted:
        assert run.stats[STAT_RUNNING_S] < in_batch_s
    else:
        assert run.stats[STAT_RUNNING_S] == pytest.approx(in_batch_s, rel=1e-9)


@given(workloads)
def test_the_same_input_gives_the_same_bytes(workload: Workload) -> None:
    assert run_compiled(workload, MODEL).to_bytes() == run_compiled(workload, MODEL).to_bytes()


@given(workloads)
def test_enough_memory_never_preempts(workload: Workload) -> None:
    total = int((workload.prompt_tokens + workload.output_tokens).sum())
    roomy = replace(workload, num_blocks=total + workload.num_requests)
    assert run_compiled(roomy, MODEL).stats[STAT_PREEMPTIONS] == 0


def test_a_constant_step_counts_the_steps() -> None:
    """One request of 5 output tokens, prompt in 3 chunks: 3 steps to the first token, 4 more."""
    workload = Workload(
        arrival_s=np.zeros(1),
        prompt_tokens=np.array([25], np.int32),
        output_tokens=np.array([5], np.int32),
        max_num_seqs=4,
        max_num_batched_tokens=10,
        num_blocks=10,
        block_size=16,
    )
    run = run_compiled(workload, make_step_time_model(fixed_s=0.5))
    assert run.first_scheduled_s.tolist() == [0.0]
    assert run.first_token_s.tolist() == [1.5]
    assert run.finished_s.tolist() == [3.5]
    assert run.stats[STAT_STEPS] == 7
    # Cached tokens in use after each step: 10, 20, 25, then 26, 27, 28, 29.
    assert run.stats[STAT_KV_TOKEN_S] == pytest.approx(0.5 * (10 + 20 + 25 + 26 + 27 + 28 + 29))


def test_one_token_outputs_end_with_their_prefill() -> None:
    n = 6
    workload = Workload(
        arrival_s=np.zeros(n),
        prompt_tokens=np.full(n, 8, np.int32),
        output_tokens=np.ones(n, np.int32),
        max_num_seqs=2,
        max_num_batched_tokens=64,
        num_blocks=100,
        block_size=4,
    )
    run = run_compiled(workload, make_step_time_model(fixed_s=1.0))
    assert run.finished_s.tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert run.stats[STAT_RUNNING_MAX] == 2


def test_the_request_admitted_last_is_preempted_and_computed_again() -> None:
    """Two prompts of one block each fill all blocks but one; the first to need a second gets it."""
    workload = Workload(
        arrival_s=np.zeros(2),
        prompt_tokens=np.array([4, 4], np.int32),
        output_tokens=np.array([3, 3], np.int32),
        max_num_seqs=2,
        max_num_batched_tokens=64,
        num_blocks=3,
        block_size=4,
    )
    run = run_compiled(workload, make_step_time_model(fixed_s=1.0))
    assert run.preemptions.tolist() == [0, 1]
    assert run.first_token_s.tolist() == [1.0, 1.0]
    # The first goes on alone until 3; then 5 tokens are computed again, and two are sampled.
    assert run.finished_s.tolist() == [3.0, 5.0]
    assert run.stats[STAT_PREFILL_TOKENS] == 4 + 4 + 5


@given(
    values=st.lists(coefficients, min_size=14, max_size=14),
    miss=st.floats(0.0, 1.0),
    counts=st.tuples(*(st.integers(0, n) for n in (300, 10**6, 8192, 50))),
    pairs=st.floats(0.0, 1e9),
    scale=st.floats(0.1, 10.0),
)
def test_the_compiled_step_equals_the_plain_one(
    values: list[float],
    miss: float,
    counts: tuple[int, int, int, int],
    pairs: float,
    *,
    scale: float,
) -> None:
    decodes, context, prefill, prefills = counts
    names = [field.name for field in fields(StepTimeModel) if field.name != "scale"]
    model = make_step_time_model(**dict(zip(names, values, strict=True)))
    model = replace(model, expert_miss_ratio=miss, scale=scale)
    compiled = step_s(model.to_array(), decodes, context, prefill, prefills, pairs)
    plain = compute_step_s(
        model,
        num_decodes=decodes,
        context_tokens=context,
        prefill_tokens=prefill,
        num_prefills=prefills,
        attention_pairs=pairs,
    )
    assert compiled == pytest.approx(plain, rel=1e-9, abs=1e-12)
