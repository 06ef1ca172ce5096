"""A serving engine's scheduler in the plainest Python: the compiled simulator's second opinion.

Written from the rules of vLLM V1 and not from the compiled loop: lists of requests, one step at a
time, no heap, no clock offsets, no jump. A request knows how many of its tokens are computed; what
is missing of prompt + sampled tokens is what it asks for, so decode and prefill are one rule.

Two simplifications are shared with the compiled loop: blocks without content are used before a
cached one is evicted, and a prefix block that somebody else cached meanwhile is not cached twice.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tests.twin.small_workloads import Workload

from optiinfra.twin.step_time import StepTimeModel, compute_step_s


@dataclass
class Request:
    """One request and what it holds; `own` blocks are not shared, `held` are prefix blocks."""

    number: int
    prompt: int
    output: int
    hashes: tuple[int, ...]
    computed: int = 0
    sampled: int = 0
    own: int = 0
    held: list[int] = field(default_factory=list)
    is_decoding: bool = False
    scheduled_s: float = -1.0
    first_token_s: float = -1.0
    finished_s: float = -1.0
    preemptions: int = 0

    @property
    def missing(self) -> int:
        return self.prompt + self.sampled - self.computed


class Pool:
    """KV blocks: free, in use, or cached without a user; the least recently used of those goes."""

    def __init__(self, num_blocks: int, per_hash: int) -> None:
        self.free = num_blocks
        self.num_blocks = num_blocks
        self.per_hash = per_hash
        self.users: dict[int, int] = {}  # of each cached prefix block
        self.idle: OrderedDict[int, None] = OrderedDict()  # cached blocks without a user

    @property
    def available(self) -> int:
        return self.free + len(self.idle) * self.per_hash

    def take(self, count: int) -> None:
        while self.free < count:
            victim, _ = self.idle.popitem(last=False)
            del self.users[victim]
            self.free += self.per_hash
        self.free -= count

    def hold(self, h: int) -> None:
        self.users[h] += 1
        self.idle.pop(h, None)

    def release(self, request: Request) -> None:
        self.free += request.own
        for h in reversed(request.held):
            self.users[h] -= 1
            if self.users[h] == 0:
                self.idle[h] = None
        request.own, request.held, request.computed = 0, [], 0


class NaiveReplica:
    """One replica; `run` serves the workload and leaves the answers in `requests`."""

    def __init__(self, workload: Workload, model: StepTimeModel) -> None:
        self.workload = workload
        self.model = model
        ids = workload.hash_ids or ((),) * workload.num_requests
        self.requests = [
            Request(i, int(prompt), int(output), ids[i])
            for i, (prompt, output) in enumerate(
                zip(workload.prompt_tokens, workload.output_tokens, strict=True)
            )
        ]
        self.pool = Pool(workload.num_blocks, workload.blocks_per_hash)
        self.hash_tokens = workload.blocks_per_hash * workload.block_size
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self.now = 0.0
        self.max_used = 0
        self.hit_tokens = 0
        self.kv_token_s = 0.0  # cached tokens in use, each shared one counted once, over time

    def run(self) -> NaiveReplica:
        arrival_s = self.workload.arrival_s
        upcoming = list(self.requests)
        while upcoming or self.running or self.waiting:
            if not (self.running or self.waiting):
                self.now = max(self.now, float(arrival_s[upcoming[0].number]))
            while upcoming and arrival_s[upcoming[0].number] <= self.now:
                self.waiting.append(upcoming.pop(0))
            self.step()
        return self

    def step(self) -> None:
        was_preempted = self.make_room_for_decodes()
        chunks: dict[int, int] = {}  # tokens of each request in this step
        for request in [r for r in self.running if r.is_decoding]:
            assert self.allocate(request, 1)
            chunks[request.number] = 1
        budget = self.workload.max_num_batched_tokens - sum(chunks.values())
        for request in [r for r in self.running if not r.is_decoding]:
            count = min(request.missing, budget)
            if count < 1:
                continue
            if not self.allocate(request, count):
                self.preempt(request)
                was_preempted = True
                break
            chunks[request.number] = count
            budget -= count
        if not was_preempted:
            self.admit(chunks, budget)
        self.execute(chunks)

    def make_room_for_decodes(self) -> bool:
        """Preempt the request admitted last until all decodes find blocks; whether one was."""
        was_preempted = False
        while True:
            decodes = [r for r in self.running if r.is_decoding]
            if self.pool.available >= sum(self.count_new_blocks(r, 1) for r in decodes):
                return was_preempted
            self.preempt(self.running[-1])
            was_preempted = True

    def admit(self, chunks: dict[int, int], budget: int) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.workload.max_num_seqs:
            request = self.waiting[0]
            cached = self.find_cached(request)
            count = min(request.missing - len(cached) * self.hash_tokens, budget)
            idle = sum(h in self.pool.idle for h in cached) * self.pool.per_hash
            request.computed = len(cached) * self.hash_tokens
            if self.pool.available - idle < self.count_new_blocks(request, count):
                request.computed = 0
                return
            for h in cached:
                self.pool.hold(h)
            request.held = cached
            self.hit_tokens += request.computed
            assert self.allocate(request, count)
            if request.scheduled_s < 0:
                request.scheduled_s = self.now
            self.running.append(self.waiting.pop(0))
            chunks[request.number] = count
            budget -= count

    def find_cached(self, request: Request) -> list[int]:
        """Leading prompt blocks in the cache; at least one token is left to compute."""
        whole = min(request.prompt, request.missing - 1) // self.hash_tokens
        cached: list[int] = []
        for h in request.hashes[:whole]:
            if h not in self.pool.users:
                break
            cached.append(h)
        return cached

    def count_new_blocks(self, request: Request, count: int) -> int:
        block = self.workload.block_size
        return -(-(request.computed + count) // block) - -(-request.computed // block)

    def allocate(self, request: Request, count: int) -> bool:
        """Blocks for the next tokens; full prompt blocks can serve others from now on."""
        need = self.count_new_blocks(request, count)
        if self.pool.available < need:
            return False
        self.pool.take(need)
        request.own += need
        whole = min(request.computed + count, request.prompt) // self.hash_tokens
        for h in request.hashes[len(request.held) : whole]:
            if h in self.pool.users:
                break
            self.pool.users[h] = 1
            request.held.append(h)
            request.own -= self.pool.per_hash
        return True

    def preempt(self, request: Request) -> None:
        assert self.running[-1] is request
        self.running.pop()
        self.pool.release(request)
        request.is_decoding = False
        request.preemptions += 1
        self.waiting.insert(0, request)

    def execute(self, chunks: dict[int, int]) -> None:
        """The step takes its time; requests whose tokens are all computed sample one more."""
        batch = [(r, chunks[r.number]) for r in self.running if r.number in chunks]
        decodes = [r for r, _ in batch if r.is_decoding]
        prefills = [(r, count) for r, count in batch if not r.is_decoding]
        step_s = compute_step_s(
            self.model,
            num_decodes=len(decodes),
            context_tokens=sum(r.computed + 1 for r in decodes)
            + sum(r.computed for r, _ in prefills),
            prefill_tokens=sum(count for _, count in prefills),
            num_prefills=len(prefills),
            attention_pairs=sum(count * (r.computed + 0.5 * count) for r, count in prefills),
        )
        self.now += step_s
        self.max_used = max(self.max_used, self.pool.num_blocks - self.pool.available)
        for request, count in batch:
            request.computed += count
        held = [h for r in self.running for h in r.held]
        num_shared = (len(held) - len(set(held))) * self.hash_tokens
        self.kv_token_s += step_s * (sum(r.computed for r in self.running) - num_shared)
        for request in decodes + [r for r, _ in prefills]:
            if request.missing == 0:
                self.sample(request)

    def sample(self, request: Request) -> None:
        request.sampled += 1
        request.is_decoding = True
        if request.sampled == 1:
            request.first_token_s = self.now
        if request.sampled == request.output:
            request.finished_s = self.now
            self.running.remove(request)
            self.pool.release(request)

    def get_times(self) -> NDArray[np.float64]:
        """Instants of first scheduling, first token and completion, float64[3, n]."""
        return np.array([[r.scheduled_s, r.first_token_s, r.finished_s] for r in self.requests]).T
