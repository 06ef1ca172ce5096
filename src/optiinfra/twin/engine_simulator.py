"""One replica, step by step: continuous batching as vLLM V1 schedules it, compiled.

A step first gives every running request its tokens in order of admission (one for a decode, what
the token budget leaves for an unfinished prefill), taking KV blocks; where blocks are missing the
request admitted last is preempted and will be recomputed. Only if none was preempted are waiting
requests admitted, first come first served, while budget, batch slots and blocks last.

Between admissions and completions nothing but the context lengths changes, and the step time is
linear in them; so k steps take k * t + b * k * (k - 1) / 2 seconds, and the loop jumps to the
next completion, to the first step after the next arrival, or to the last step that still finds
blocks, whichever is first. `is_jumping=False` walks every step; both give the same result.

Ages are kept relative to a common clock D of decode steps: a decoding request's finish step and
its (cached tokens - D) are constants, so a step costs nothing per running request.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from optiinfra.twin.block_pool import (
    EVICTABLE,
    FREE,
    SHARED,
    count_decode_demand,
    lru_remove,
    release_blocks,
    take_blocks,
)
from optiinfra.twin.compiled_step import step_s
from optiinfra.twin.finish_heap import remove as heap_remove
from optiinfra.twin.finish_heap import sift_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of the statistics vector that `simulate_replica` returns.
STAT_BUSY_S = 0
STAT_RUNNING_S = 1  # integral of requests in the batch over busy time
STAT_KV_TOKEN_S = 2  # integral of cached tokens in use over busy time
STAT_RUNNING_MAX = 3
STAT_BLOCKS_MAX = 4
STAT_PREEMPTIONS = 5
STAT_STEPS = 6
STAT_EVENTS = 7
STAT_PREFILL_TOKENS = 8
STAT_HIT_TOKENS = 9
STAT_END_S = 10
NUM_STATS = 11


@njit(cache=True, nogil=True)
def _unlink(after: NDArray[np.int64], before: NDArray[np.int64], i: int) -> None:
    """Take request i out of the running list; slot n is the list's anchor."""
    after[before[i]] = after[i]
    before[after[i]] = before[i]


@njit(cache=True, nogil=True)
def simulate_replica(
    arrival: NDArray[np.float64],
    prompt: NDArray[np.int32],
    output: NDArray[np.int32],
    coefficients: NDArray[np.float64],
    max_num_seqs: int,
    max_num_batched_tokens: int,
    num_blocks: int,
    block: int,
    hash_offsets: NDArray[np.int64],
    hash_ids: NDArray[np.int32],
    num_hash_ids: int,
    blocks_per_hash: int,
    is_jumping: bool,
    first_scheduled: NDArray[np.float64],
    first_token: NDArray[np.float64],
    finished: NDArray[np.float64],
    preemptions: NDArray[np.int32],
) -> NDArray[np.float64]:
    """Serve all requests; fills the four per-request arrays, returns the statistics vector.

    arrival float64[n] non-decreasing; prompt, output int32[n] >= 1; coefficients float64[14] as
    `StepTimeModel.to_array` makes them; hash_offsets int64[n + 1] and hash_ids int32 as in
    `PrefixHashes`, or offsets of zeros when prefixes are not cached. A hashed block is
    `blocks_per_hash` KV blocks.
    Out: seconds float64[n] since the trace began, preemptions int32[n].
    Every request must fit: ceil((prompt + output) / block) <= num_blocks, the caller checks.
    """
    n = arrival.size
    stats = np.zeros(NUM_STATS)
    hash_tokens = blocks_per_hash * block

    kv = np.zeros(n, np.int64)  # cached tokens; while decoding: minus the clock
    sampled = np.zeros(n, np.int32)  # output tokens so far (recompute keeps them)
    held = np.zeros(n, np.int32)  # leading hashed blocks this request references
    after = np.full(n + 1, n, np.int64)  # the running list, in order of admission
    before = np.full(n + 1, n, np.int64)
    place = np.full(n, -1, np.int64)  # where a decoding request sits in the heap
    keys = np.empty(max_num_seqs + 1, np.int64)
    items = np.empty(max_num_seqs + 1, np.int64)
    num_decoding = 0
    residues = np.zeros(block, np.int64)  # decoding requests by (cached - clock) mod block
    partial = -1  # the request whose prefill is not complete, always the last of the list
    partial_kv = 0
    num_running = 0

    preempted = np.empty(max_num_seqs + 1, np.int64)  # a stack in front of the queue
    num_preempted = 0
    fresh = np.empty(max_num_seqs + 1, np.int64)  # whose prefill completes in this step
    next_waiting = 0
    num_arrived = 0

    references = np.zeros(num_hash_ids, np.int32)
    is_cached = np.zeros(num_hash_ids, np.uint8)
    newer = np.zeros(num_hash_ids + 1, np.int64)
    older = np.zeros(num_hash_ids + 1, np.int64)
    pool = np.zeros(3, np.int64)
    pool[FREE] = num_blocks

    context = 0  # cached tokens of all decoding requests
    clock = 0
    now = 0.0
    num_finished = 0

    while num_finished < n:
        if num_running == 0 and num_preempted == 0 and next_waiting == num_arrived:
            now = max(now, arrival[num_arrived])
        while num_arrived < n and arrival[num_arrived] <= now:
            num_arrived += 1

        # Running requests first. Preempt from the end of the list until the decodes find blocks.
        was_preempted = False
        demand = residues[(-clock) % block]
        while pool[FREE] + pool[EVICTABLE] < demand:
            victim = before[n]
            if victim == partial:
                partial = -1
                partial_kv = 0
                cached = kv[victim]
            else:
                cached = kv[victim] + clock
                sampled[victim] = output[victim] - (keys[place[victim]] - clock)
                residues[kv[victim] % block] -= 1
                if cached % block == 0:
                    demand -= 1
                num_decoding = heap_remove(keys, items, place, place[victim], num_decoding)
                context -= cached
            own = (cached + block - 1) // block - held[victim] * blocks_per_hash
            release_blocks(
                pool, own, held[victim], hash_offsets[victim], hash_ids,
                blocks_per_hash, references, newer, older,
            )  # fmt: skip
            held[victim] = 0
            _unlink(after, before, victim)
            num_running -= 1
            preempted[num_preempted] = victim
            num_preempted += 1
            preemptions[victim] += 1
            was_preempted = True

        # The decodes' own blocks of this step; taken now so that prefills see what is left.
        take_blocks(pool, demand, blocks_per_hash, is_cached, newer, older)

        budget = max_num_batched_tokens - num_decoding
        num_fresh = 0
        prefill = 0
        prefills = 0
        pairs = 0.0
        past = 0
        i = partial
        while budget > 0:
            # Go on with the unfinished prefill, else admit the head of the queue.
            is_new = i < 0
            if is_new:
                if was_preempted or num_running >= max_num_seqs:
                    break
                if num_preempted > 0:
                    i = preempted[num_preempted - 1]
                elif next_waiting < num_arrived:
                    i = next_waiting
                else:
                    break
            total = prompt[i] + sampled[i]
            start = hash_offsets[i]
            num_hashes = hash_offsets[i + 1] - start
            reused = 0
            locked = 0
            if is_new:
                # At least one token is computed, so a prompt that is cached whole loses a block.
                limit = min(min(prompt[i], total - 1) // hash_tokens, num_hashes)
                while reused < limit and is_cached[hash_ids[start + reused]] == 1:
                    if references[hash_ids[start + reused]] == 0:
                        locked += blocks_per_hash
                    reused += 1
                kv[i] = reused * hash_tokens
            chunk = min(total - kv[i], budget)
            need = (kv[i] + chunk + block - 1) // block - (kv[i] + block - 1) // block
            if pool[FREE] + pool[EVICTABLE] - locked < need:
                if not is_new:
                    # The unfinished prefill is itself the last of the list: it is preempted.
                    own = (kv[i] + block - 1) // block - held[i] * blocks_per_hash
                    release_blocks(
                        pool, own, held[i], start, hash_ids,
                        blocks_per_hash, references, newer, older,
                    )  # fmt: skip
                    held[i] = 0
                    partial = -1
                    partial_kv = 0
                    _unlink(after, before, i)
                    num_running -= 1
                    preempted[num_preempted] = i
                    num_preempted += 1
                    preemptions[i] += 1
                    was_preempted = True
                break
            if is_new:
                for j in range(reused):
                    h = hash_ids[start + j]
                    if references[h] == 0:
                        lru_remove(newer, older, h)
                        pool[EVICTABLE] -= blocks_per_hash
                    else:
                        pool[SHARED] += blocks_per_hash
                    references[h] += 1
                held[i] = reused
                stats[STAT_HIT_TOKENS] += kv[i]
                if num_preempted > 0:
                    num_preempted -= 1
                else:
                    next_waiting += 1
                if preemptions[i] == 0:
                    first_scheduled[i] = now
                before[i] = before[n]
                after[i] = n
                after[before[n]] = i
                before[n] = i
                num_running += 1
            take_blocks(pool, need, blocks_per_hash, is_cached, newer, older)
            pairs += chunk * (kv[i] + 0.5 * chunk)
            past += kv[i]
            prefill += chunk
            prefills += 1
            budget -= chunk
            kv[i] += chunk
            # Blocks of the prompt that are now full can serve others from here on.
            full = min(min(kv[i], prompt[i]) // hash_tokens, num_hashes)
            while held[i] < full and is_cached[hash_ids[start + held[i]]] == 0:
                h = hash_ids[start + held[i]]
                is_cached[h] = 1
                references[h] = 1
                held[i] += 1
            if kv[i] == total:
                fresh[num_fresh] = i
                num_fresh += 1
                partial = -1
                partial_kv = 0
            else:
                partial = i
                partial_kv = kv[i]
            i = -1

        # The step itself, or a run of equal ones.
        stats[STAT_RUNNING_MAX] = max(stats[STAT_RUNNING_MAX], num_running)
        reading = context + num_decoding
        t = step_s(coefficients, num_decoding, reading + past, prefill, prefills, pairs)
        resident = reading + partial_kv - pool[SHARED] * block
        k = 1
        growth = 0.0
        if is_jumping and prefill == 0 and num_decoding > 0 and not was_preempted:
            k = keys[0] - clock
            growth = coefficients[8] * num_decoding
            # Blocks of the first step are taken; find how many more steps find theirs.
            room = pool[FREE]
            if num_preempted == 0 and next_waiting == num_arrived:
                room += pool[EVICTABLE]  # else an eviction may change what the queue's head needs
            if num_decoding * ((k + block - 2) // block) > room:
                low = 1
                high = k
                while low < high:
                    middle = (low + high + 1) >> 1
                    if count_decode_demand(residues, clock + 1, middle - 1, block) <= room:
                        low = middle
                    else:
                        high = middle - 1
                k = low
            if (
                num_arrived < n
                and num_preempted == 0
                and next_waiting == num_arrived
                and num_running < max_num_seqs
            ):
                target = arrival[num_arrived]
                gap = target - now
                half = 0.5 * growth
                linear = t - half
                if k * linear + half * k * k > gap:
                    root = math.sqrt(linear * linear + 4.0 * half * gap)
                    steps = max(int(2.0 * gap / (linear + root)) - 1, 1)
                    while steps < k and now + steps * t + half * steps * (steps - 1) < target:
                        steps += 1
                    k = steps
            if k > 1:
                more = count_decode_demand(residues, clock + 1, k - 1, block)
                take_blocks(pool, more, blocks_per_hash, is_cached, newer, older)
        for f in range(num_fresh):
            resident += kv[fresh[f]]
        pairs_of_steps = 0.5 * k * (k - 1.0)
        span = k * t + growth * pairs_of_steps
        stats[STAT_KV_TOKEN_S] += (
            t * resident * k
            + (growth * resident + t * num_decoding) * pairs_of_steps
            + growth * num_decoding * pairs_of_steps * (2.0 * k - 1.0) / 3.0
        )
        used = num_blocks - pool[FREE] - pool[EVICTABLE]
        stats[STAT_BLOCKS_MAX] = max(stats[STAT_BLOCKS_MAX], used)
        stats[STAT_BUSY_S] += span
        stats[STAT_RUNNING_S] += span * num_running
        stats[STAT_STEPS] += k
        stats[STAT_EVENTS] += 1
        stats[STAT_PREFILL_TOKENS] += prefill
        now += span
        clock += k
        context += k * num_decoding

        # Decodes whose last token this was.
        while num_decoding > 0 and keys[0] == clock:
            i = items[0]
            num_decoding = heap_remove(keys, items, place, 0, num_decoding)
            cached = kv[i] + clock
            residues[kv[i] % block] -= 1
            context -= cached
            own = (cached + block - 1) // block - held[i] * blocks_per_hash
            release_blocks(
                pool, own, held[i], hash_offsets[i], hash_ids,
                blocks_per_hash, references, newer, older,
            )  # fmt: skip
            _unlink(after, before, i)
            num_running -= 1
            finished[i] = now
            num_finished += 1
        # Prefills that completed sample a token; they decode from the next step on, or end here.
        for f in range(num_fresh):
            i = fresh[f]
            sampled[i] += 1
            if sampled[i] == 1:
                first_token[i] = now
            if sampled[i] < output[i]:
                context += kv[i]
                kv[i] -= clock
                residues[kv[i] % block] += 1
                keys[num_decoding] = clock + output[i] - sampled[i]
                items[num_decoding] = i
                num_decoding += 1
                sift_up(keys, items, place, num_decoding - 1)
            else:
                own = (kv[i] + block - 1) // block - held[i] * blocks_per_hash
                release_blocks(
                    pool, own, held[i], hash_offsets[i], hash_ids,
                    blocks_per_hash, references, newer, older,
                )  # fmt: skip
                _unlink(after, before, i)
                num_running -= 1
                finished[i] = now
                num_finished += 1
    for i in range(n):
        stats[STAT_PREEMPTIONS] += preemptions[i]
    stats[STAT_END_S] = now
    return stats
