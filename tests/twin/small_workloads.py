"""Small random workloads that press on the KV cache, and the compiled simulator run on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.factories.fleet import make_architecture, make_arguments, make_gpu

from optiinfra.twin.engine_state import (
    FINISHED,
    FIRST_SCHEDULED,
    FIRST_STAT,
    FIRST_TOKEN,
    PREEMPTIONS,
    STAT_PREEMPTIONS,
    make_replicas,
    make_requests,
)
from optiinfra.twin.open_arrivals import serve_arrivals
from optiinfra.twin.scheduling import VLLM_V1, Scheduling
from optiinfra.twin.step_time import StepTimeModel, build_step_time_model

PREFIX_SHARE = 0.4  # of the workloads have prefix hashes
NUM_GROUPS = 3  # of requests that share a prefix


@dataclass(frozen=True)
class Workload:
    """Requests and one replica's limits; ids are () for every request without prefix hashes."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    max_num_seqs: int
    max_num_batched_tokens: int
    num_blocks: int
    block_size: int
    blocks_per_hash: int = 1
    hash_ids: tuple[tuple[int, ...], ...] = ()

    @property
    def num_requests(self) -> int:
        return int(self.arrival_s.size)


@dataclass(frozen=True)
class Run:
    """What a simulator said of a workload."""

    first_scheduled_s: NDArray[np.float64]
    first_token_s: NDArray[np.float64]
    finished_s: NDArray[np.float64]
    preemptions: NDArray[np.int32]
    stats: NDArray[np.float64]

    @property
    def has_preempted(self) -> bool:
        return bool(self.stats[STAT_PREEMPTIONS] > 0)

    def to_bytes(self) -> bytes:
        columns = (self.first_scheduled_s, self.first_token_s, self.finished_s, self.preemptions)
        return b"".join(column.tobytes() for column in (*columns, self.stats))


def make_llama_model() -> StepTimeModel:
    return build_step_time_model(make_architecture(), make_gpu(), make_arguments())


def draw_workload(seed: int, *, has_hashes: bool | None = None, max_requests: int = 60) -> Workload:
    """Bursts or a trickle of short requests on a KV cache that holds one to four of the longest."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, max_requests))
    block = int(rng.choice([1, 4, 16]))
    arrival_s = np.cumsum(rng.exponential(rng.choice([0.001, 0.05, 0.5]), n))
    prompts = rng.integers(1, 200, n).astype(np.int32)
    outputs = rng.integers(1, 100, n).astype(np.int32)
    need = int((-(-(prompts + outputs) // block)).max())
    num_blocks = need + int(rng.integers(0, need * 3))
    max_num_seqs = int(rng.integers(1, 20))
    budget = int(rng.integers(max_num_seqs, 300))
    blocks_per_hash = int(rng.choice([1, 2]))
    drawn = bool(rng.random() < PREFIX_SHARE)
    is_hashed = drawn if has_hashes is None else has_hashes
    ids = _draw_hashes(rng, prompts, blocks_per_hash * block) if is_hashed else ()
    return Workload(
        arrival_s=np.asarray(arrival_s - arrival_s[0], np.float64),
        prompt_tokens=prompts,
        output_tokens=outputs,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=budget,
        num_blocks=num_blocks,
        block_size=block,
        blocks_per_hash=blocks_per_hash,
        hash_ids=ids,
    )


def _draw_hashes(
    rng: np.random.Generator, prompts: NDArray[np.int32], tokens: int
) -> tuple[tuple[int, ...], ...]:
    """An id a block: the first ones shared within a group of requests, the others by nobody."""
    known: dict[tuple[int, ...], int] = {}
    ids: list[tuple[int, ...]] = []
    for i, prompt in enumerate(prompts.tolist()):
        count = -(-prompt // tokens)
        group = int(rng.integers(0, NUM_GROUPS))
        shared = int(rng.integers(0, count + 1))
        keys = [(group, b) if b < shared else (i, b, -1) for b in range(count)]
        ids.append(tuple(known.setdefault(key, len(known)) for key in keys))
    return tuple(ids)


def run_compiled(
    workload: Workload,
    model: StepTimeModel,
    *,
    is_jumping: bool = True,
    scheduling: Scheduling = VLLM_V1,
) -> Run:
    """The compiled simulator on a workload."""
    n = workload.num_requests
    lengths = [len(ids) for ids in workload.hash_ids] or [0] * n
    flat = np.array([h for ids in workload.hash_ids for h in ids], np.int32)
    requests = make_requests(
        workload.arrival_s,
        workload.prompt_tokens,
        workload.output_tokens,
        hash_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        hash_ids=flat,
    )
    replicas = make_replicas(
        1,
        model.to_array(),
        scheduling,
        max_num_seqs=workload.max_num_seqs,
        max_num_batched_tokens=workload.max_num_batched_tokens,
        num_blocks=workload.num_blocks,
        block_size=workload.block_size,
        num_hash_ids=int(flat.max()) + 1 if flat.size else 0,
        blocks_per_hash=workload.blocks_per_hash,
    )
    serve_arrivals(replicas, requests, is_jumping)
    return Run(
        requests.instants[:, FIRST_SCHEDULED].copy(),
        requests.instants[:, FIRST_TOKEN].copy(),
        requests.instants[:, FINISHED].copy(),
        requests.cells[:n, PREEMPTIONS].astype(np.int32),
        replicas.figures[0, FIRST_STAT:].copy(),
    )
