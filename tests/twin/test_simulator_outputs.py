"""Gaps between tokens, series, instability, and the same bytes everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
    make_trace,
)
from tests.twin.naive_replica import NaiveReplica, Request
from tests.twin.small_workloads import Workload, draw_workload, make_llama_model

from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.trace import Trace
from optiinfra.twin.engine_state import STAT_RUNNING_MAX
from optiinfra.twin.itl import NUM_ITL_BINS, find_bin, list_itl_edges_s
from optiinfra.twin.memory import MemoryPlan, compute_memory_plan
from optiinfra.twin.replicas import Simulation, simulate
from optiinfra.twin.step_time import build_step_time_model
from optiinfra.twin.workload import scale_rate

ARCHITECTURE, GPU, ARGUMENTS = make_architecture(), make_gpu(), make_arguments()
MODEL = make_llama_model()
BIN_RATIO = 1.125  # the widest bin


def run(trace: Trace, num_replicas: int = 1, **options: bool | float) -> Simulation:
    plan = compute_memory_plan(ARCHITECTURE, GPU, ARGUMENTS)
    model = build_step_time_model(ARCHITECTURE, GPU, ARGUMENTS)
    return simulate(trace, model, plan, ARGUMENTS, num_replicas=num_replicas, **options)  # type: ignore[arg-type]


class TokenTimes(NaiveReplica):
    """Remembers when every token came."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, MODEL)
        self.tokens: list[list[float]] = [[] for _ in self.requests]

    def sample(self, request: Request) -> None:
        self.tokens[request.number].append(self.now)
        super().sample(request)


def simulate_small(workload: Workload) -> Simulation:
    arguments = make_arguments(
        max_num_seqs=workload.max_num_seqs,
        max_num_batched_tokens=workload.max_num_batched_tokens,
        block_size=workload.block_size,
    )
    plan = MemoryPlan(0.0, 0.0, 1.0, workload.num_blocks, workload.block_size)
    trace = make_trace(workload.arrival_s, workload.prompt_tokens, workload.output_tokens)
    return simulate(trace, MODEL, plan, arguments, num_replicas=1, has_itl=True, tick_s=0.25)


def test_every_request_s_own_gaps_are_those_that_a_plain_simulator_sees() -> None:
    num_preempting = 0
    for seed in range(150):
        workload = draw_workload(seed, has_hashes=False, max_requests=30)
        naive = TokenTimes(workload)
        naive.run()
        found = simulate_small(workload)
        assert found.itl_s is not None
        assert found.itl_counts is not None
        gaps = [np.diff(times) for times in naive.tokens]
        counts = np.zeros(NUM_ITL_BINS, np.int64)
        for gap in np.concatenate(gaps):
            counts[find_bin(gap)] += 1
        # a gap on a bin's edge may fall to either side
        assert np.abs(np.cumsum(counts) - np.cumsum(found.itl_counts)).max() <= 0.02 * counts.sum()
        assert found.itl_counts.sum() == counts.sum()
        for own, p50, p99 in zip(gaps, *found.itl_s, strict=True):
            if not own.size:
                assert np.isnan(p50)
                assert np.isnan(p99)
                continue
            for level, value in ((0.5, p50), (0.99, p99)):
                exact = np.quantile(own, level, method="inverted_cdf")
                assert exact / BIN_RATIO <= value <= exact * BIN_RATIO
        num_preempting += any(r.preemptions for r in naive.requests)
    assert num_preempting > 30


def test_bins_join_and_hold_what_they_say() -> None:
    edges = list_itl_edges_s()
    assert (np.diff(edges) > 0).all()
    for b in range(NUM_ITL_BINS):
        assert find_bin(edges[b] * 1.000001) == b
        assert find_bin(edges[b + 1] * 0.999999) == b


def test_the_series_shows_what_the_gauges_would_have_shown() -> None:
    trace = make_conversation(12.0, num_requests=800)
    found = run(trace, 2, tick_s=1.0)
    series = found.series
    assert series is not None
    assert series.num_running.shape[0] == 2
    for rank in range(2):
        own = slice(rank, None, 2)
        for tick in range(5, 60, 7):
            is_present = (trace.arrival_s[own] <= tick) & (found.finished_s[own] > tick)
            is_running = (found.first_scheduled_s[own] <= tick) & (found.finished_s[own] > tick)
            assert series.num_running[rank, tick] == is_running.sum()
            assert series.num_waiting[rank, tick] == (is_present & ~is_running).sum()
    assert series.num_running.max() <= found.stats[:, STAT_RUNNING_MAX].max()
    assert 0 < series.kv_cache_usage_ratio.max() <= 1
    assert not series.is_cut
    names = series.to_metrics(Engine.VLLM)
    assert set(names) == {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
    }
    assert set(series.to_metrics(Engine.TGI)) == {"tgi_batch_current_size", "tgi_queue_size"}


@pytest.mark.parametrize(("factor", "is_unstable"), [(0.5, False), (0.9, False), (3.0, True)])
def test_a_load_above_capacity_is_called_unstable(factor: float, *, is_unstable: bool) -> None:
    """12.4 requests a second are sustainable, 20 or so are served at all."""
    trace = scale_rate(make_conversation(12.0, num_requests=4_000), factor)
    assert run(trace).is_unstable == is_unstable


def hash_run(seed: int) -> str:
    found = run(make_conversation(12.0, num_requests=400, seed=seed), 2, has_itl=True, tick_s=1.0)
    assert found.itl_s is not None
    assert found.series is not None
    columns = (
        found.first_scheduled_s, found.first_token_s, found.finished_s, found.preemptions,
        found.stats, found.itl_s, found.series.num_running, found.series.kv_cache_usage_ratio,
    )  # fmt: skip
    return hashlib.sha256(b"".join(c.tobytes() for c in columns)).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_threads_and_other_processes() -> None:
    alone = [hash_run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(hash_run, range(4))) == alone
    code = "from tests.twin.test_simulator_outputs import hash_run; print(hash_run(2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == alone[2]
    assert len(set(alone)) == 4
