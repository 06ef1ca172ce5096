"""Several replicas behind one endpoint: requests dealt out in turn, each replica simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.errors import InputError
from optiinfra.twin.engine_series import MAX_TICKS, EngineSeries, count_present
from optiinfra.twin.scheduling import SCHEDULINGS
from optiinfra.twin.stability import find_is_unstable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.trace import Trace
    from optiinfra.twin.engine_state import Replicas, Requests
    from optiinfra.twin.memory import MemoryPlan
    from optiinfra.twin.step_time import StepTimeModel

DRAIN_TICKS = 3_600  # room in the series after the last arrival


class DoesNotFitError(ValueError):
    """A model, or one of the trace's requests, that the replica's memory cannot hold."""


@dataclass(frozen=True)
class Simulation:
    """Per-request instants in seconds since the trace began, in the trace's order.

    Shapes: float64[n] and int32[n]; `stats` float64[ranks, NUM_STATS], one row a simulated rank
    (replicas times their data parallel size), rows as `engine_state.STAT_*` name them. Gaps between
    tokens are None where they were not asked for: `itl_s` float32[2, n] are the median and 99th
    percentile of each request's own, NaN without gaps; `itl_counts` int64[bins] all of them.
    `arrival_s` are the trace's, or what clients made of it.
    """

    first_scheduled_s: NDArray[np.float64]
    first_token_s: NDArray[np.float64]
    finished_s: NDArray[np.float64]
    preemptions: NDArray[np.int32]
    stats: NDArray[np.float64]
    arrival_s: NDArray[np.float64] | None = None
    itl_s: NDArray[np.float32] | None = None
    itl_counts: NDArray[np.int64] | None = None
    series: EngineSeries | None = None
    is_unstable: bool = False


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


def check_replicas(num_replicas: int) -> None:
    """Raises InputError for a fleet without a replica, which serves nobody."""
    if num_replicas < 1:
        raise InputError(
            f"{num_replicas} replicas cannot serve a trace.",
            remedy="Give at least one replica.",
            field="replicas",
        )


def simulate(
    trace: Trace,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    num_replicas: int,
    is_jumping: bool = True,
    has_itl: bool = False,
    tick_s: float | None = None,
) -> Simulation:
    """Serve the trace on `num_replicas` replicas; request j goes to rank j mod ranks.

    Round robin is what a plain load balancer does, and makes the ranks independent. Prefixes are
    reused where the trace has hashes, the engine caches prefixes, and a hashed block is a whole
    number of KV blocks. `tick_s` samples a series, 1.0 for one a second. Raises DoesNotFitError,
    see `check_fit`, and InputError for no replica.
    """
    from optiinfra.twin.open_arrivals import serve_arrivals  # compiles on import

    def serve(replicas: Replicas, requests: Requests, _: int) -> None:
        serve_arrivals(replicas, requests, is_jumping)

    return _serve_ranks(
        trace, model, plan, arguments, serve, num_replicas=num_replicas, has_itl=has_itl,
        tick_s=tick_s,
    )  # fmt: skip


def simulate_clients(
    trace: Trace,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    num_clients: int,
    num_replicas: int = 1,
    think_s: float = 0.0,
    is_jumping: bool = True,
    has_itl: bool = False,
    tick_s: float | None = None,
) -> Simulation:
    """The trace's requests asked by clients that wait for each answer: a closed loop.

    Arrivals of the trace count for the first request of each client alone; `Simulation.arrival_s`
    says when the others came. Clients and requests are dealt to the ranks in turn. Raises as
    `simulate` does, and InputError for fewer clients than ranks or a negative `think_s`.
    """
    from optiinfra.twin.closed_loop import serve_clients  # compiles on import

    num_ranks = num_replicas * arguments.data_parallel_size
    if num_clients < max(num_ranks, 1) or not 0 <= think_s < float("inf"):
        raise InputError(
            f"{num_clients} clients that think {think_s} s cannot keep {num_ranks} ranks busy.",
            remedy="Give each rank a client and a time to think of 0 s or more.",
            field="clients",
        )

    def serve(replicas: Replicas, requests: Requests, rank: int) -> None:
        own_clients = len(range(rank, num_clients, num_ranks))
        serve_clients(replicas, requests, own_clients, think_s, is_jumping)

    return _serve_ranks(
        trace, model, plan, arguments, serve, num_replicas=num_replicas, has_itl=has_itl,
        tick_s=tick_s,
    )  # fmt: skip


def _serve_ranks(
    trace: Trace,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    serve: Callable[[Replicas, Requests, int], None],
    *,
    num_replicas: int,
    has_itl: bool,
    tick_s: float | None,
) -> Simulation:
    """Each rank's share by `serve`, put together in the trace's order."""
    from optiinfra.twin import engine_state as state
    from optiinfra.twin.itl import NUM_ITL_BINS

    check_replicas(num_replicas)
    check_fit(trace, plan, arguments)
    n = trace.num_requests
    num_ranks = num_replicas * arguments.data_parallel_size
    wanted = 0 if tick_s is None else int(trace.span_s / tick_s) + 1 + DRAIN_TICKS
    num_ticks = min(wanted, MAX_TICKS)
    instants = np.zeros((n, state.NUM_INSTANTS))
    preemptions = np.zeros(n, np.int32)
    stats = np.zeros((num_ranks, state.NUM_STATS))
    itl_counts = np.zeros(NUM_ITL_BINS, np.int64) if has_itl else None
    series = np.zeros((num_ranks, 3, num_ticks), np.int32)
    for rank in range(min(num_ranks, n)):
        own = slice(rank, None, num_ranks)
        requests, replicas = _make_rank(
            trace, model, plan, arguments, rank=rank, num_ranks=num_ranks, has_itl=has_itl,
            num_ticks=num_ticks, tick_s=tick_s or 1.0,
        )  # fmt: skip
        serve(replicas, requests, rank)
        stats[rank] = replicas.figures[0, state.FIRST_STAT :]
        instants[own] = requests.instants
        preemptions[own] = requests.cells[:-1, state.PREEMPTIONS]
        if itl_counts is not None:
            itl_counts += replicas.itl[0, state.ITL_TOTAL]
        if tick_s is not None:
            series[rank, :2] = replicas.series[0]
            series[rank, 2] = count_present(
                requests.instants[:, state.ARRIVAL],
                requests.instants[:, state.FINISHED],
                tick_s=tick_s,
                num_ticks=num_ticks,
            )
    arrival_s = instants[:, state.ARRIVAL].copy()
    scheduled_s = instants[:, state.FIRST_SCHEDULED].copy()
    return Simulation(
        scheduled_s,
        instants[:, state.FIRST_TOKEN].copy(),
        instants[:, state.FINISHED].copy(),
        preemptions,
        stats,
        arrival_s=arrival_s,
        itl_s=instants[:, state.ITL_P50 :].T.astype(np.float32) if has_itl else None,
        itl_counts=itl_counts,
        series=None if tick_s is None else _make_series(series, stats, plan, tick_s),
        is_unstable=find_is_unstable(arrival_s, scheduled_s),
    )


def _make_rank(
    trace: Trace,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    rank: int,
    num_ranks: int,
    has_itl: bool,
    num_ticks: int,
    tick_s: float,
) -> tuple[Requests, Replicas]:
    """One rank's requests and its empty replica."""
    from optiinfra.twin.engine_state import make_replicas, make_requests

    own = slice(rank, None, num_ranks)
    offsets, ids, num_ids, blocks_per_hash = _take_hashes(trace, arguments, rank, num_ranks)
    requests = make_requests(
        trace.arrival_s[own],
        trace.prompt_tokens[own],
        trace.output_tokens[own],
        hash_offsets=offsets,
        hash_ids=ids,
    )
    replicas = make_replicas(
        1,
        model.to_array(),
        SCHEDULINGS[arguments.engine],
        max_num_seqs=arguments.max_num_seqs,
        max_num_batched_tokens=arguments.max_num_batched_tokens,
        num_blocks=plan.num_kv_blocks,
        block_size=plan.block_size,
        num_hash_ids=num_ids,
        blocks_per_hash=blocks_per_hash,
        has_itl=has_itl,
        num_ticks=num_ticks,
        tick_s=tick_s,
    )
    return requests, replicas


def _make_series(
    series: NDArray[np.int32], stats: NDArray[np.float64], plan: MemoryPlan, tick_s: float
) -> EngineSeries:
    """Gauges from running, blocks and present of each rank, cut after the last completion."""
    from optiinfra.twin.engine_state import STAT_END_S

    end_s = float(stats[:, STAT_END_S].max())
    num_ticks = min(int(end_s / tick_s) + 1, series.shape[2])
    running, blocks, present = (series[:, row, :num_ticks] for row in range(3))
    return EngineSeries(
        tick_s=tick_s,
        num_running=running,
        num_waiting=np.maximum(present - running, 0),
        kv_cache_usage_ratio=(blocks / plan.num_kv_blocks).astype(np.float32),
        is_cut=end_s >= (num_ticks + 1) * tick_s,
    )


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
