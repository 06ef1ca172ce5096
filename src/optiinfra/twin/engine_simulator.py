"""One replica, step by step: continuous batching as engines schedule it, compiled and resumable.

As vLLM V1 does it, a step first gives every running request its tokens in order of admission (one
for a decode, what the token budget leaves for an unfinished prefill), taking KV blocks; where
blocks are missing the request admitted last is preempted and will be recomputed. Only if none was
preempted are waiting requests admitted, first come first served, while budget, batch slots and
blocks last. SGLang and TGI take turns instead: a step prefills, or it decodes (`scheduling`).

Between admissions and completions nothing but the context lengths changes, and the step time is
linear in them: the loop jumps over such steps (`engine_jump`), unless told to walk them.

Ages are kept relative to a common clock D of decode steps: a decoding request's finish step and
its (cached tokens - D) are constants, so a step costs nothing per running request.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.block_pool import (
    EVICTABLE,
    FREE,
    IS_CACHED,
    REFERENCES,
    SHARED,
    count_decode_demand,
    lru_remove,
    take_blocks,
)
from optiinfra.twin.compiled_step import step_s
from optiinfra.twin.engine_jump import count_steps
from optiinfra.twin.engine_queue import give_back, link_done, link_last, requeue, unlink
from optiinfra.twin.engine_record import record_steps
from optiinfra.twin.engine_state import (
    AFTER,
    BEFORE,
    BLOCK_SIZE,
    BLOCKS_PER_HASH,
    CLOCK,
    CONTEXT,
    FINISH_SUM,
    FIRST_SCHEDULED,
    FIRST_STAT,
    FIRST_TOKEN,
    FRESH,
    HASH_START,
    HELD,
    IS_MIXED,
    IS_RESERVING,
    ITEMS,
    ITL_STEPS,
    KEYS,
    KV,
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    MIN_STEPS_BETWEEN,
    NOW,
    NUM_BLOCKS,
    NUM_COEFFICIENTS,
    NUM_DECODING,
    NUM_ENDED_LAST,
    NUM_HASHES,
    NUM_RUNNING,
    NUM_WAITING,
    OUTPUT,
    PARTIAL,
    PARTIAL_KV,
    PAUSE,
    PLACE,
    PREEMPTIONS,
    PROMPT,
    RESERVED_SHARE,
    SAMPLED,
    STAT_END_S,
    STAT_HIT_TOKENS,
    STAT_PREEMPTIONS,
    STEPS_SINCE_PREFILL,
    WAITING_HEAD,
    WAITING_SHARE,
)
from optiinfra.twin.finish_heap import remove as heap_remove
from optiinfra.twin.finish_heap import sift_up
from optiinfra.twin.itl import add_steps
from optiinfra.twin.scheduling import MAX_RESERVED_TOKENS
from optiinfra.twin.token_gaps import end_gaps, pause_gaps, start_gaps

if TYPE_CHECKING:
    from optiinfra.twin.engine_state import Replicas, Requests


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    replicas: Replicas,
    requests: Requests,
    r: int,
    until: float,
    is_stopping: bool,
    is_stopping_at_ends: bool,
    is_jumping: bool,
) -> None:
    """Run replica r until its step in progress ends at `until` or later, or it has no requests.

    Requests that arrived before `until` must have been pushed. The next one arrives at `until`,
    infinity when none does. Where it would have to wait anyway the loop may go beyond `until`, but
    not if `is_stopping`. `is_stopping_at_ends` returns after each step that ends a request.
    """
    counts = replicas.counts[r]
    figures = replicas.figures[r]
    keys = replicas.heaps[r, KEYS]
    items = replicas.heaps[r, ITEMS]
    fresh = replicas.heaps[r, FRESH]
    residues = replicas.residues[r]
    cache = replicas.cache[r]
    itl = replicas.itl[r]
    series = replicas.series[r]
    instants, cells, hash_ids = requests.instants, requests.cells, requests.hash_ids
    c = figures[:NUM_COEFFICIENTS]
    stats = figures[FIRST_STAT:]
    has_itl = itl.shape[1] > 0
    anchor = instants.shape[0] + r
    max_num_seqs = counts[MAX_NUM_SEQS]
    max_num_batched_tokens = counts[MAX_NUM_BATCHED_TOKENS]
    num_blocks = counts[NUM_BLOCKS]
    block = counts[BLOCK_SIZE]
    blocks_per_hash = counts[BLOCKS_PER_HASH]
    hash_tokens = blocks_per_hash * block
    is_mixed = figures[IS_MIXED] > 0.0
    is_reserving = figures[IS_RESERVING] > 0.0
    reserved_share = figures[RESERVED_SHARE]
    min_steps_between = int(figures[MIN_STEPS_BETWEEN])
    waiting_share = figures[WAITING_SHARE]
    num_running = counts[NUM_RUNNING]
    num_decoding = counts[NUM_DECODING]
    partial = counts[PARTIAL]
    partial_kv = counts[PARTIAL_KV]
    context = counts[CONTEXT]
    clock = counts[CLOCK]
    finish_sum = counts[FINISH_SUM]
    steps_since = counts[STEPS_SINCE_PREFILL]
    now = figures[NOW]
    pause = figures[PAUSE]

    while now < until and (num_running > 0 or counts[NUM_WAITING] > 0):
        was_preempted = False
        num_active = 0  # decodes in this step
        num_fresh = 0
        prefill = 0
        prefills = 0
        pairs = 0.0
        past = 0
        used_before = num_blocks - counts[FREE] - counts[EVICTABLE]
        for turn in range(2):
            if (turn == 0) == is_mixed:
                # Decodes. Preempt from the end of the list until they find blocks.
                demand = 0
                if not is_reserving:
                    demand = residues[(-clock) % block]
                    while counts[FREE] + counts[EVICTABLE] < demand:
                        victim = cells[anchor, BEFORE]
                        if victim == partial:
                            partial = -1
                            partial_kv = 0
                            cached = cells[victim, KV]
                        else:
                            cached = cells[victim, KV] + clock
                            finish = keys[cells[victim, PLACE]]
                            cells[victim, SAMPLED] = cells[victim, OUTPUT] - (finish - clock)
                            finish_sum -= finish
                            residues[cells[victim, KV] % block] -= 1
                            if cached % block == 0:
                                demand -= 1
                            num_decoding = heap_remove(
                                keys, items, cells, cells[victim, PLACE], num_decoding
                            )
                            context -= cached
                            if has_itl:
                                pause_gaps(itl, instants, cells, victim, now)
                        give_back(
                            counts, cells, hash_ids, cache, victim, (cached + block - 1) // block
                        )
                        unlink(cells, victim)
                        num_running -= 1
                        requeue(counts, cells, is_mixed, victim)
                        stats[STAT_PREEMPTIONS] += 1
                        was_preempted = True
                num_active = num_decoding
                # Taken now so that prefills see what is left.
                take_blocks(counts, demand, blocks_per_hash, cache)
                continue

            # Go on with the unfinished prefill, then admit the head of the queue.
            budget = max_num_batched_tokens - num_active
            promised = 0
            placed = partial_kv
            is_held_back = (
                num_decoding > 0
                and steps_since < min_steps_between
                and counts[NUM_WAITING] < int(waiting_share * num_running)
            )
            i = partial
            while budget > 0:
                is_new = i < 0
                if is_new:
                    if (
                        was_preempted
                        or is_held_back
                        or num_running >= max_num_seqs
                        or counts[NUM_WAITING] == 0
                    ):
                        break
                    i = counts[WAITING_HEAD]
                total = cells[i, PROMPT] + cells[i, SAMPLED]
                left = cells[i, OUTPUT] - cells[i, SAMPLED]
                start = cells[i, HASH_START]
                num_hashes = cells[i, NUM_HASHES]
                reused = 0
                locked = 0
                if is_new:
                    # At least one token is computed: a prompt cached whole loses a block.
                    limit = min(min(cells[i, PROMPT], total - 1) // hash_tokens, num_hashes)
                    while reused < limit and cache[IS_CACHED, hash_ids[start + reused]] == 1:
                        if cache[REFERENCES, hash_ids[start + reused]] == 0:
                            locked += blocks_per_hash
                        reused += 1
                    cells[i, KV] = reused * hash_tokens
                chunk = min(total - cells[i, KV], budget)
                taken = (cells[i, KV] + block - 1) // block
                need = (cells[i, KV] + chunk + block - 1) // block - taken
                if is_reserving:
                    need = (total + left + block - 1) // block - taken if is_new else 0
                room = counts[FREE] + counts[EVICTABLE] - locked
                is_short = room < need
                if is_new and reserved_share > 0.0 and num_running > 0:
                    running_left = reserved_share * (finish_sum - num_decoding * clock) + promised
                    in_use = context + placed + (locked - counts[SHARED]) * block
                    wanted = total - cells[i, KV] + min(left, MAX_RESERVED_TOKENS)
                    is_short = is_short or wanted > num_blocks * block - in_use - running_left
                if is_short:
                    if not is_new:
                        # The unfinished prefill is itself the last of the list: it is preempted.
                        give_back(counts, cells, hash_ids, cache, i, taken)
                        partial = -1
                        partial_kv = 0
                        unlink(cells, i)
                        num_running -= 1
                        requeue(counts, cells, is_mixed, i)
                        stats[STAT_PREEMPTIONS] += 1
                        was_preempted = True
                    break
                if is_new:
                    for j in range(reused):
                        h = hash_ids[start + j]
                        if cache[REFERENCES, h] == 0:
                            lru_remove(cache, h)
                            counts[EVICTABLE] -= blocks_per_hash
                        else:
                            counts[SHARED] += blocks_per_hash
                        cache[REFERENCES, h] += 1
                    cells[i, HELD] = reused
                    stats[STAT_HIT_TOKENS] += cells[i, KV]
                    counts[WAITING_HEAD] = cells[i, AFTER]
                    counts[NUM_WAITING] -= 1
                    if cells[i, PREEMPTIONS] == 0:
                        instants[i, FIRST_SCHEDULED] = now
                    link_last(cells, anchor, i)
                    num_running += 1
                take_blocks(counts, need, blocks_per_hash, cache)
                promised += left
                placed += chunk + reused * hash_tokens
                pairs += chunk * (cells[i, KV] + 0.5 * chunk)
                past += cells[i, KV]
                prefill += chunk
                prefills += 1
                budget -= chunk
                cells[i, KV] += chunk
                # Blocks of the prompt that are now full can serve others from here on.
                full = min(min(cells[i, KV], cells[i, PROMPT]) // hash_tokens, num_hashes)
                while (
                    cells[i, HELD] < full
                    and cache[IS_CACHED, hash_ids[start + cells[i, HELD]]] == 0
                ):
                    h = hash_ids[start + cells[i, HELD]]
                    cache[IS_CACHED, h] = 1
                    cache[REFERENCES, h] = 1
                    cells[i, HELD] += 1
                if cells[i, KV] == total:
                    fresh[num_fresh] = i
                    num_fresh += 1
                    partial = -1
                    partial_kv = 0
                else:
                    partial = i
                    partial_kv = cells[i, KV]
                i = -1
            if prefill > 0 and not is_mixed:
                steps_since = 0
                break

        if prefill == 0 and num_active == 0:
            continue  # a lone prefill was preempted in favour of nobody: it is admitted anew

        reading = context + num_active if num_active > 0 else 0
        t = step_s(c, num_active, reading + past, prefill, prefills, pairs)
        resident = context + num_active + partial_kv - counts[SHARED] * block
        k = 1
        growth = 0.0
        if is_jumping and prefill == 0 and num_active > 0 and not was_preempted:
            growth = c[8] * num_active
            is_watching = is_stopping or (
                num_running < max_num_seqs and (counts[NUM_WAITING] == 0 or min_steps_between > 0)
            )
            k = count_steps(
                counts, residues, keys[0] - clock, clock, num_active, is_reserving,
                min_steps_between - steps_since,
                t, growth, until - now if is_watching else math.inf,
            )  # fmt: skip
            if k > 1 and not is_reserving:
                more = count_decode_demand(residues, clock + 1, k - 1, block)
                take_blocks(counts, more, blocks_per_hash, cache)
        for f in range(num_fresh):
            resident += cells[fresh[f], KV]
        span = k * t + growth * (0.5 * k * (k - 1.0))
        record_steps(
            figures, series, now, k, t, growth, num_active, num_running, resident, prefill,
            used_before, num_blocks - counts[FREE] - counts[EVICTABLE],
        )  # fmt: skip
        now += span
        if num_active > 0:
            if has_itl:
                add_steps(itl[ITL_STEPS], t + pause, 0.0, 1)
                if k > 1:
                    add_steps(itl[ITL_STEPS], t + growth, growth, k - 1)
            pause = 0.0
            clock += k
            steps_since += k
            context += k * num_active
        elif num_decoding > 0:
            pause += span

        # Decodes whose last token this was.
        num_ended = 0
        while num_decoding > 0 and keys[0] == clock:
            i = items[0]
            num_decoding = heap_remove(keys, items, cells, 0, num_decoding)
            cached = cells[i, KV] + clock
            finish_sum -= clock
            residues[cells[i, KV] % block] -= 1
            context -= cached
            if is_reserving:
                cached = cells[i, PROMPT] + cells[i, OUTPUT]
            give_back(counts, cells, hash_ids, cache, i, (cached + block - 1) // block)
            if has_itl:
                end_gaps(itl, counts, instants, cells, i)
            num_running -= 1
            link_done(counts, cells, instants, i, now)
            num_ended += 1
        # Prefills that completed sample a token; they decode from the next step on, or end here.
        for f in range(num_fresh):
            i = fresh[f]
            cells[i, SAMPLED] += 1
            if cells[i, SAMPLED] == 1:
                instants[i, FIRST_TOKEN] = now
            if has_itl and cells[i, OUTPUT] > 1:
                start_gaps(itl, counts, instants, cells, i, now)
            if cells[i, SAMPLED] < cells[i, OUTPUT]:
                context += cells[i, KV]
                cells[i, KV] -= clock
                residues[cells[i, KV] % block] += 1
                finish = clock + cells[i, OUTPUT] - cells[i, SAMPLED]
                finish_sum += finish
                keys[num_decoding] = finish
                items[num_decoding] = i
                num_decoding += 1
                sift_up(keys, items, cells, num_decoding - 1)
            else:
                cached = cells[i, PROMPT] + cells[i, OUTPUT] if is_reserving else cells[i, KV]
                give_back(counts, cells, hash_ids, cache, i, (cached + block - 1) // block)
                if has_itl:
                    end_gaps(itl, counts, instants, cells, i)
                num_running -= 1
                link_done(counts, cells, instants, i, now)
                num_ended += 1
        counts[NUM_ENDED_LAST] = num_ended
        if num_ended > 0 and is_stopping_at_ends:
            break

    counts[NUM_RUNNING] = num_running
    counts[NUM_DECODING] = num_decoding
    counts[PARTIAL] = partial
    counts[PARTIAL_KV] = partial_kv
    counts[CONTEXT] = context
    counts[CLOCK] = clock
    counts[FINISH_SUM] = finish_sum
    counts[STEPS_SINCE_PREFILL] = steps_since
    stats[STAT_END_S] = now
    figures[NOW] = now
    figures[PAUSE] = pause
