"""Requests are dealt to replicas in turn, each with its own cache of prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
    make_trace,
)

from optiinfra.domain.engine_arguments import EngineArguments
from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.engine_state import NUM_STATS, STAT_HIT_TOKENS, STAT_PREFILL_TOKENS
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import Simulation, simulate
from optiinfra.twin.step_time import build_step_time_model

ARCHITECTURE, GPU = make_architecture(), make_gpu()


def run(trace: Trace, num_replicas: int, arguments: EngineArguments | None = None) -> Simulation:
    arguments = arguments or make_arguments()
    model = build_step_time_model(ARCHITECTURE, GPU, arguments)
    plan = compute_memory_plan(ARCHITECTURE, GPU, arguments)
    return simulate(trace, model, plan, arguments, num_replicas=num_replicas)


def take_every(trace: Trace, first: int, step: int) -> Trace:
    own = slice(first, None, step)
    arrivals = trace.arrival_s[own]
    return make_trace(arrivals - arrivals[0], trace.prompt_tokens[own], trace.output_tokens[own])


def make_shared_trace(num_requests: int, block_tokens: int = 512) -> Trace:
    """Prompts of two blocks, both the same for every request, far apart in time."""
    hashes = PrefixHashes(
        np.arange(num_requests + 1, dtype=np.int64) * 2,
        np.tile(np.array([0, 1], np.int32), num_requests),
        block_tokens,
    )
    arrivals = np.arange(num_requests, dtype=np.float64) * 10.0
    return make_trace(arrivals, 2 * block_tokens, 2, prefix_hashes=hashes)


@pytest.mark.parametrize(("num_replicas", "num_ranks_each"), [(1, 1), (3, 1), (2, 2)])
def test_each_rank_serves_its_share_as_if_it_were_alone(
    num_replicas: int, num_ranks_each: int
) -> None:
    trace = make_conversation(30.0, num_requests=301)
    arguments = make_arguments(data_parallel_size=num_ranks_each)
    together = run(trace, num_replicas, arguments)
    num_ranks = num_replicas * num_ranks_each
    assert together.stats.shape == (num_ranks, NUM_STATS)
    for rank in range(num_ranks):
        own = slice(rank, None, num_ranks)
        share = take_every(trace, rank, num_ranks)
        plan = compute_memory_plan(ARCHITECTURE, GPU, arguments)
        model = build_step_time_model(ARCHITECTURE, GPU, arguments)
        single = make_arguments()
        alone = simulate(share, model, plan, single, num_replicas=1)
        offset_s = trace.arrival_s[rank]
        np.testing.assert_allclose(together.finished_s[own], alone.finished_s + offset_s)
        np.testing.assert_allclose(together.first_token_s[own], alone.first_token_s + offset_s)
        assert together.stats[rank, STAT_PREFILL_TOKENS] == share.prompt_tokens.sum()


def test_more_replicas_than_requests() -> None:
    trace = make_trace([0.0, 1.0])
    few, many = run(trace, 2), run(trace, 5)
    np.testing.assert_array_equal(few.finished_s, many.finished_s)
    assert many.stats[2:].sum() == 0.0


def test_each_replica_computes_a_shared_prefix_once() -> None:
    """1,024 tokens, all shared: one block of 512 is hit, the last token's block never is."""
    trace = make_shared_trace(12)
    for num_replicas in (1, 2, 3):
        hits = run(trace, num_replicas).stats[:, STAT_HIT_TOKENS]
        assert hits.sum() == 512 * (12 - num_replicas)
        assert set(hits) == {512 * (12 // num_replicas - 1)}


@pytest.mark.parametrize(
    ("arguments", "block_tokens"),
    [
        (make_arguments(has_prefix_caching=False), 512),
        (make_arguments(block_size=16), 500),  # not a whole number of KV blocks
    ],
)
def test_where_prefixes_cannot_be_reused_none_are(
    arguments: EngineArguments, block_tokens: int
) -> None:
    stats = run(make_shared_trace(6, block_tokens), 2, arguments).stats
    assert stats[:, STAT_HIT_TOKENS].sum() == 0
    assert stats[:, STAT_PREFILL_TOKENS].sum() == 6 * 2 * block_tokens


def test_a_shared_prefix_shortens_the_wait() -> None:
    trace = make_shared_trace(6, 4_096)
    with_cache = run(trace, 1)
    without = run(trace, 1, make_arguments(has_prefix_caching=False))
    ttft_s = with_cache.first_token_s - trace.arrival_s
    plain_s = without.first_token_s - trace.arrival_s
    assert ttft_s[0] == pytest.approx(plain_s[0])
    assert (ttft_s[1:] < 0.7 * plain_s[1:]).all()
