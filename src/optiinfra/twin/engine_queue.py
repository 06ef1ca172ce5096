"""The requests of a replica as linked lists over slots: running and waiting, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.block_pool import release_blocks
from optiinfra.twin.engine_state import (
    AFTER,
    ARRIVAL,
    BEFORE,
    BLOCKS_PER_HASH,
    DONE_HEAD,
    FINISHED,
    HASH_START,
    HELD,
    NOW,
    NUM_RUNNING,
    NUM_WAITING,
    PREEMPTIONS,
    WAITING_HEAD,
    WAITING_TAIL,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optiinfra.twin.engine_state import Replicas, Requests


@njit(cache=True, nogil=True)
def unlink(cells: NDArray[np.int64], i: int) -> None:
    """Take request i out of the running list."""
    before, after = cells[i, BEFORE], cells[i, AFTER]
    cells[before, AFTER] = after
    cells[after, BEFORE] = before


@njit(cache=True, nogil=True)
def link_last(cells: NDArray[np.int64], anchor: int, i: int) -> None:
    """Put request i at the end of the running list that `anchor` closes."""
    last = cells[anchor, BEFORE]
    cells[i, BEFORE] = last
    cells[i, AFTER] = anchor
    cells[last, AFTER] = i
    cells[anchor, BEFORE] = i


@njit(cache=True, nogil=True)
def push_back(counts: NDArray[np.int64], cells: NDArray[np.int64], i: int) -> None:
    """Put request i at the end of the queue."""
    cells[i, AFTER] = -1
    if counts[NUM_WAITING] == 0:
        counts[WAITING_HEAD] = i
    else:
        cells[counts[WAITING_TAIL], AFTER] = i
    counts[WAITING_TAIL] = i
    counts[NUM_WAITING] += 1


@njit(cache=True, nogil=True)
def push_front(counts: NDArray[np.int64], cells: NDArray[np.int64], i: int) -> None:
    """Put request i at the head of the queue."""
    if counts[NUM_WAITING] == 0:
        cells[i, AFTER] = -1
        counts[WAITING_TAIL] = i
    else:
        cells[i, AFTER] = counts[WAITING_HEAD]
    counts[WAITING_HEAD] = i
    counts[NUM_WAITING] += 1


@njit(cache=True, nogil=True)
def requeue(counts: NDArray[np.int64], cells: NDArray[np.int64], is_first: bool, i: int) -> None:
    """Request i was preempted: it waits again, in front of the queue or at its end."""
    cells[i, PREEMPTIONS] += 1
    if is_first:
        push_front(counts, cells, i)
    else:
        push_back(counts, cells, i)


@njit(cache=True, nogil=True)
def give_back(
    counts: NDArray[np.int64],
    cells: NDArray[np.int64],
    hash_ids: NDArray[np.int32],
    cache: NDArray[np.int32],
    i: int,
    num_blocks: int,
) -> None:
    """Request i leaves the batch: of its `num_blocks` the hashed ones stay cached."""
    per_hash = counts[BLOCKS_PER_HASH]
    num_held = cells[i, HELD]
    own = num_blocks - num_held * per_hash
    release_blocks(counts, own, num_held, cells[i, HASH_START], hash_ids, per_hash, cache)
    cells[i, HELD] = 0


@njit(cache=True, nogil=True)
def link_done(
    counts: NDArray[np.int64],
    cells: NDArray[np.int64],
    instants: NDArray[np.float64],
    i: int,
    now: float,
) -> None:
    """Request i has all its tokens: it leaves the running list for that of the ended."""
    unlink(cells, i)
    instants[i, FINISHED] = now
    cells[i, AFTER] = counts[DONE_HEAD]
    counts[DONE_HEAD] = i


@njit(cache=True, nogil=True)
def push_request(replicas: Replicas, requests: Requests, r: int, i: int) -> None:
    """Request i arrives at replica r, which must have been advanced to its arrival."""
    counts = replicas.counts[r]
    if counts[NUM_RUNNING] == 0 and counts[NUM_WAITING] == 0:
        figures = replicas.figures[r]
        figures[NOW] = max(figures[NOW], requests.instants[i, ARRIVAL])
    push_back(counts, requests.cells, i)
