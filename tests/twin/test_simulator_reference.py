"""The compiled simulator beside the naive one: two programs, one answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.twin.naive_replica import NaiveReplica
from tests.twin.small_workloads import Workload, draw_workload, make_llama_model, run_compiled

from optiinfra.twin.engine_state import STAT_BLOCKS_MAX, STAT_HIT_TOKENS, STAT_KV_TOKEN_S

MODEL = make_llama_model()
MAX_REQUESTS = 30
NUM_WORKLOADS = 300


def assert_agree(workload: Workload, naive: NaiveReplica) -> None:
    compiled = run_compiled(workload, MODEL)
    np.testing.assert_allclose(
        (compiled.first_scheduled_s, compiled.first_token_s, compiled.finished_s),
        naive.get_times(),
        rtol=0,
        atol=1e-6,
    )
    assert compiled.preemptions.tolist() == [r.preemptions for r in naive.requests]
    assert compiled.stats[STAT_BLOCKS_MAX] == naive.max_used
    assert compiled.stats[STAT_HIT_TOKENS] == naive.hit_tokens
    assert compiled.stats[STAT_KV_TOKEN_S] == pytest.approx(naive.kv_token_s, rel=1e-9)


def has_tied_finishes(naive: NaiveReplica) -> bool:
    """Two requests ended in one step: which prefix is the older then is not defined."""
    return max(Counter(r.finished_s for r in naive.requests).values()) > 1


def test_without_prefixes_the_two_agree() -> None:
    num_preempting = 0
    for seed in range(NUM_WORKLOADS):
        workload = draw_workload(seed, has_hashes=False, max_requests=MAX_REQUESTS)
        naive = NaiveReplica(workload, MODEL).run()
        assert_agree(workload, naive)
        num_preempting += any(r.preemptions for r in naive.requests)
    assert num_preempting > 0.2 * NUM_WORKLOADS


def test_with_prefixes_the_two_agree() -> None:
    num_compared = num_hitting = 0
    for seed in range(NUM_WORKLOADS):
        workload = draw_workload(seed, has_hashes=True, max_requests=MAX_REQUESTS)
        naive = NaiveReplica(workload, MODEL).run()
        if has_tied_finishes(naive):
            continue
        assert_agree(workload, naive)
        num_compared += 1
        num_hitting += naive.hit_tokens > 0
    assert num_compared >= 0.4 * NUM_WORKLOADS
    assert num_hitting >= 0.7 * num_compared


@settings(max_examples=50)
@given(
    arrivals=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 12)), min_size=12, max_size=12),
    max_num_seqs=st.integers(1, 6),
    budget=st.integers(1, 40),
    block_size=st.sampled_from([1, 4, 16]),
    spare_blocks=st.integers(0, 12),
)
def test_any_small_workload_agrees(
    arrivals: list[int],
    lengths: list[tuple[int, int]],
    *,
    max_num_seqs: int,
    budget: int,
    block_size: int,
    spare_blocks: int,
) -> None:
    instants = np.sort(np.array(arrivals, np.float64)) * 0.01
    used = lengths[: len(arrivals)]
    longest = max(prompt + output for prompt, output in used)
    workload = Workload(
        arrival_s=instants - instants[0],
        prompt_tokens=np.array([prompt for prompt, _ in used], np.int32),
        output_tokens=np.array([output for _, output in used], np.int32),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max(budget, max_num_seqs),
        num_blocks=-(-longest // block_size) + spare_blocks,
        block_size=block_size,
    )
    assert_agree(workload, NaiveReplica(workload, MODEL).run())
