"""The state of simulated replicas: plain arrays, so that compiled code can leave off and go on.

A `Replicas` holds a row a replica; a `Requests` a slot a request. A trace in memory gives every
request a slot of its own; a stream gives slots back when requests end. Compiled code changes the
arrays in place, Python reads them between calls. They are few and wide, since every array that a
compiled function takes costs at each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.block_pool import NUM_CACHE_ROWS
from optiinfra.twin.itl import NUM_ITL_BINS

if TYPE_CHECKING:
    from optiinfra.twin.scheduling import Scheduling

# Columns of `Replicas.counts`; the first three are block_pool's FREE, EVICTABLE and SHARED.
MAX_NUM_SEQS = 3
MAX_NUM_BATCHED_TOKENS = 4
NUM_BLOCKS = 5
BLOCK_SIZE = 6
BLOCKS_PER_HASH = 7
NUM_RUNNING = 8
NUM_WAITING = 9
NUM_DECODING = 10
WAITING_HEAD = 11  # slots of the queue's ends, -1: none
WAITING_TAIL = 12
PARTIAL = 13  # slot whose prefill is not complete, always the last of the running list; -1: none
PARTIAL_KV = 14
CONTEXT = 15  # cached tokens of all decoding requests
CLOCK = 16  # decode steps so far
FINISH_SUM = 17  # finish steps of all decoding requests, added up
NUM_ENDED_LAST = 18  # requests that the last step ended
DONE_HEAD = 19  # slots of requests that ended and were not collected, linked; -1: none
STEPS_SINCE_PREFILL = 20
FREE_SEAT = 21  # row of `itl` that nobody marks, the others linked by their first cell; -1: none
NUM_COUNTS = 22

# Columns of `Replicas.figures`: the step time's coefficients, then scheduling, time, statistics.
NUM_COEFFICIENTS = 32  # as many as a step-time model may have
IS_MIXED = 32  # five of `Scheduling.to_array`
RESERVED_SHARE = 33
IS_RESERVING = 34
MIN_STEPS_BETWEEN = 35
WAITING_SHARE = 36
TICK_S = 37  # of `series`
NOW = 38  # end of the step in progress, or of the last
PAUSE = 39  # prefill-only steps since the last decode step
FIRST_STAT = 40
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
NUM_FIGURES = FIRST_STAT + NUM_STATS

# Rows of `Replicas.heaps`, `itl` and `series`.
KEYS, ITEMS, FRESH = 0, 1, 2
ITL_STEPS, ITL_TOTAL, FIRST_SEAT = 0, 1, 2
SERIES_RUNNING, SERIES_BLOCKS = 0, 1

# Columns of `Requests.instants`, seconds since the trace began.
ARRIVAL = 0
FIRST_SCHEDULED = 1
FIRST_TOKEN = 2
FINISHED = 3
LAST_TOKEN = 4  # where a preempted request's last token came
ITL_P50 = 5  # median and 99th percentile of the gaps between its tokens, NaN where it has none
ITL_P99 = 6
NUM_INSTANTS = 7

# Columns of `Requests.cells`.
PROMPT = 0
OUTPUT = 1
KV = 2  # cached tokens; while decoding: minus the clock
SAMPLED = 3  # output tokens so far (recompute keeps them)
HELD = 4  # leading hashed blocks this request references
PLACE = 5  # where a decoding request sits in the heap
SEAT = 6  # its row of `itl`, -1: none
PREEMPTIONS = 7
HASH_START = 8  # the request's hashed blocks in `hash_ids`
NUM_HASHES = 9
AFTER = 10  # running list by admission, queue, or list of the ended
BEFORE = 11
REQUEST = 12  # its number in the stream
NUM_CELLS = 13


class Requests(NamedTuple):
    """Slots of requests: instants float64[m, 7], cells int64[m + replicas, 13], hash_ids int32.

    The last rows of `cells` are anchors: of each replica's running list.
    """

    instants: NDArray[np.float64]
    cells: NDArray[np.int64]
    hash_ids: NDArray[np.int32]


class Replicas(NamedTuple):
    """Rows of replicas, r of them; s is the largest max_num_seqs, h the number of hash ids.

    counts int64[r, 22], figures float64[r, 51], heaps int64[r, 3, s + 1] (finish steps, their
    requests, and whose prefill completes in a step), residues int64[r, block] (decoding requests by
    (cached - clock) mod block), cache int32[r, 4, h + 1] of `block_pool`, itl int64[r, 2 + seats,
    bins] (no bins: gaps between tokens are not wanted), series int32[r, 2, ticks] (no ticks:
    likewise).
    """

    counts: NDArray[np.int64]
    figures: NDArray[np.float64]
    heaps: NDArray[np.int64]
    residues: NDArray[np.int64]
    cache: NDArray[np.int32]
    itl: NDArray[np.int64]
    series: NDArray[np.int32]


def make_slots(num_slots: int, num_replicas: int = 1) -> Requests:
    """Empty slots; the anchor of a replica's empty running list leads to itself."""
    instants = np.zeros((num_slots, NUM_INSTANTS))
    instants[:, ITL_P50:] = np.nan
    cells = np.zeros((num_slots + num_replicas, NUM_CELLS), np.int64)
    cells[:, [PLACE, SEAT, AFTER, BEFORE]] = -1
    anchors = num_slots + np.arange(num_replicas)
    cells[num_slots:, AFTER] = cells[num_slots:, BEFORE] = anchors
    return Requests(instants, cells, np.zeros(0, np.int32))


def make_requests(
    arrival_s: NDArray[np.float64],
    prompt_tokens: NDArray[np.int32],
    output_tokens: NDArray[np.int32],
    *,
    num_replicas: int = 1,
    hash_offsets: NDArray[np.int64] | None = None,
    hash_ids: NDArray[np.int32] | None = None,
) -> Requests:
    """A slot for each request, in order; nothing happened yet."""
    n = arrival_s.size
    slots = make_slots(n, num_replicas)
    slots.instants[:, ARRIVAL] = arrival_s
    slots.cells[:n, PROMPT] = prompt_tokens
    slots.cells[:n, OUTPUT] = output_tokens
    if hash_offsets is None or hash_ids is None:
        return slots
    slots.cells[:n, HASH_START] = hash_offsets[:-1]
    slots.cells[:n, NUM_HASHES] = np.diff(hash_offsets)
    return slots._replace(hash_ids=np.ascontiguousarray(hash_ids))


def make_replicas(
    num_replicas: int,
    coefficients: NDArray[np.float64],
    scheduling: Scheduling,
    *,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    num_blocks: int,
    block_size: int,
    num_hash_ids: int = 0,
    blocks_per_hash: int = 1,
    has_itl: bool = False,
    num_ticks: int = 0,
    tick_s: float = 1.0,
) -> Replicas:
    """Empty replicas of one kind."""
    r = num_replicas
    num_rows = FIRST_SEAT + 2 * max_num_seqs  # preempted requests keep theirs
    replicas = Replicas(
        counts=np.zeros((r, NUM_COUNTS), np.int64),
        figures=np.zeros((r, NUM_FIGURES)),
        heaps=np.zeros((r, 3, max_num_seqs + 1), np.int64),
        residues=np.zeros((r, block_size), np.int64),
        cache=np.zeros((r, NUM_CACHE_ROWS, num_hash_ids + 1), np.int32),
        itl=np.zeros((r, num_rows, NUM_ITL_BINS) if has_itl else (r, 0, 0), np.int64),
        series=np.zeros((r, 2, num_ticks), np.int32),
    )
    replicas.figures[:, : coefficients.size] = coefficients
    replicas.figures[:, IS_MIXED : WAITING_SHARE + 1] = scheduling.to_array()
    replicas.figures[:, TICK_S] = tick_s
    replicas.counts[:, MAX_NUM_SEQS : BLOCKS_PER_HASH + 1] = (
        max_num_seqs,
        max_num_batched_tokens,
        num_blocks,
        block_size,
        blocks_per_hash,
    )
    for row in range(r):
        empty_replica(replicas, row)
    return replicas


def empty_replica(replicas: Replicas, row: int) -> None:
    """A replica that has just started: no requests, an empty cache, its statistics at zero."""
    counts = replicas.counts[row]
    counts[NUM_RUNNING:] = 0
    counts[[WAITING_HEAD, WAITING_TAIL, PARTIAL, DONE_HEAD]] = -1
    counts[:3] = (counts[NUM_BLOCKS], 0, 0)
    replicas.figures[row, NOW:] = 0.0
    replicas.residues[row] = 0
    replicas.cache[row] = 0
    itl = replicas.itl[row]
    itl[:] = 0
    seats = np.arange(FIRST_SEAT, itl.shape[0])
    counts[FREE_SEAT] = FIRST_SEAT if seats.size else -1
    if seats.size:
        itl[seats, 0] = np.append(seats[1:], -1)
