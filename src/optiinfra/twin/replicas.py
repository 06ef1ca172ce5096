"""Several replicas behind one endpoint: requests dealt out in turn, each replica simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.trace import Trace
    from optiinfra.twin.memory import MemoryPlan
    from optiinfra.twin.step_time import StepTimeModel


class DoesNotFitError(ValueError):
    """A model, or one of the trace's requests, that the replica's memory cannot hold."""


@dataclass(frozen=True)
class Simulation:
    """Per-request instants in seconds since the trace began, in the trace's order.

    Shapes: float64[n] and int32[n]; `stats` float64[ranks, NUM_STATS], one row a simulated rank
    (replicas times their data parallel size), rows as `engine_simulator.STAT_*` name them.
    """

    first_scheduled_s: NDArray[np.float64]
    first_token_s: NDArray[np.float64]
    finished_s: NDArray[np.float64]
    preemptions: NDArray[np.int32]
    stats: NDArray[np.float64]


def check_fit(trace: Trace, plan: MemoryPlan, arguments: EngineArguments) -> None:
    """Raises DoesNotFitError when the weights or a request of the trace do not fit."""
    if plan.num_kv_blocks <= 0:
        need_gib = (plan.weight_bytes + plan.reserve_bytes) / 1024**3
        raise DoesNotFitError(
            f"weights and reserve need {need_gib:.1f} GiB a GPU, more than gpu_memory_utilization "
            f"{arguments.gpu_memory_utilization:g} leaves"
        )
    tokens = trace.prompt_tokens.astype(np.int64) + trace.output_tokens
    context = arguments.max_model_len
    limit = plan.kv_capacity_tokens if context is None else min(context, plan.kv_capacity_tokens)
    num_longer = int((tokens > limit).sum())
    if num_longer:
        what = "max_model_len is" if limit == context else "the KV cache holds"
        raise DoesNotFitError(
            f"the longest request has {int(tokens.max())} tokens and {what} {limit}; "
            f"{num_longer} of {trace.num_requests} requests are longer than that"
        )


def simulate(
    trace: Trace,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    num_replicas: int,
    is_jumping: bool = True,
) -> Simulation:
    """Serve the trace on `num_replicas` replicas; request j goes to rank j mod ranks.

    Round robin is what a plain load balancer does, and makes the ranks independent. Prefixes are
    reused where the trace has hashes, the engine caches prefixes, and a hashed block is a whole
    number of KV blocks. Raises DoesNotFitError, see `check_fit`.
    """
    from optiinfra.twin.engine_simulator import NUM_STATS, simulate_replica  # compiles on import

    check_fit(trace, plan, arguments)
    n = trace.num_requests
    num_ranks = num_replicas * arguments.data_parallel_size
    scheduled, first, finished = np.zeros(n), np.zeros(n), np.zeros(n)
    preemptions = np.zeros(n, np.int32)
    stats = np.zeros((num_ranks, NUM_STATS))
    coefficients = model.to_array()
    for rank in range(min(num_ranks, n)):
        own = slice(rank, None, num_ranks)
        arrival = np.ascontiguousarray(trace.arrival_s[own])
        own_scheduled, own_first, own_finished = np.zeros((3, arrival.size))
        out_preemptions = np.zeros(arrival.size, np.int32)
        offsets, ids, num_ids, blocks_per_hash = _take_hashes(trace, arguments, rank, num_ranks)
        stats[rank] = simulate_replica(
            arrival,
            np.ascontiguousarray(trace.prompt_tokens[own]),
            np.ascontiguousarray(trace.output_tokens[own]),
            coefficients,
            arguments.max_num_seqs,
            arguments.max_num_batched_tokens,
            plan.num_kv_blocks,
            plan.block_size,
            offsets,
            ids,
            num_ids,
            blocks_per_hash,
            is_jumping,
            own_scheduled,
            own_first,
            own_finished,
            out_preemptions,
        )
        scheduled[own], first[own], finished[own] = own_scheduled, own_first, own_finished
        preemptions[own] = out_preemptions
    return Simulation(scheduled, first, finished, preemptions, stats)


def _take_hashes(
    trace: Trace, arguments: EngineArguments, rank: int, num_ranks: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], int, int]:
    """Offsets, ids, number of ids and KV blocks a hashed block, for one rank's requests."""
    hashes = trace.prefix_hashes
    num_own = len(range(rank, trace.num_requests, num_ranks))
    if (
        hashes is None
        or not arguments.has_prefix_caching
        or hashes.block_tokens % arguments.block_size
    ):
        return np.zeros(num_own + 1, np.int64), np.zeros(0, np.int32), 0, 1
    blocks_per_hash = hashes.block_tokens // arguments.block_size
    if num_ranks == 1:
        return hashes.offsets, hashes.ids, hashes.num_ids, blocks_per_hash
    lengths = np.diff(hashes.offsets)
    is_own = (np.arange(trace.num_requests) % num_ranks) == rank
    offsets = np.concatenate([[0], np.cumsum(lengths[is_own])]).astype(np.int64)
    return offsets, hashes.ids[np.repeat(is_own, lengths)], hashes.num_ids, blocks_per_hash
