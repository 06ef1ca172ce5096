"""The pool of KV blocks of one replica, compiled.

Blocks are free, in use, or cached: a hashed block of the prompt that nobody references stays until
its room is needed and the least recently used goes first. All arrays belong to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Slots of the pool array.
FREE = 0  # blocks without content
EVICTABLE = 1  # cached blocks that nobody references
SHARED = 2  # references beyond the first to cached blocks, in blocks: counted once in KV use


@njit(cache=True, nogil=True)
def lru_append(newer: NDArray[np.int64], older: NDArray[np.int64], h: int) -> None:
    """Put block h at the newest end; slot 0 is the list's anchor, block h lives in slot h + 1."""
    slot = h + 1
    last = older[0]
    newer[last] = slot
    older[slot] = last
    newer[slot] = 0
    older[0] = slot


@njit(cache=True, nogil=True)
def lru_remove(newer: NDArray[np.int64], older: NDArray[np.int64], h: int) -> None:
    """Take block h out of the list."""
    slot = h + 1
    newer[older[slot]] = newer[slot]
    older[newer[slot]] = older[slot]


@njit(cache=True, nogil=True)
def take_blocks(
    pool: NDArray[np.int64],
    count: int,
    blocks_per_hash: int,
    is_cached: NDArray[np.uint8],
    newer: NDArray[np.int64],
    older: NDArray[np.int64],
) -> None:
    """Take `count` blocks, evicting the least recently used cached ones where none is free."""
    pool[FREE] -= count
    while pool[FREE] < 0:
        h = newer[0] - 1
        lru_remove(newer, older, h)
        is_cached[h] = 0
        pool[EVICTABLE] -= blocks_per_hash
        pool[FREE] += blocks_per_hash


@njit(cache=True, nogil=True)
def release_blocks(
    pool: NDArray[np.int64],
    num_own: int,
    num_held: int,
    start: int,
    hash_ids: NDArray[np.int32],
    blocks_per_hash: int,
    references: NDArray[np.int32],
    newer: NDArray[np.int64],
    older: NDArray[np.int64],
) -> None:
    """Give back own blocks, and references to hashed ones, the last of the prefix first."""
    pool[FREE] += num_own
    for j in range(num_held - 1, -1, -1):
        h = hash_ids[start + j]
        references[h] -= 1
        if references[h] == 0:
            lru_append(newer, older, h)
            pool[EVICTABLE] += blocks_per_hash
        else:
            pool[SHARED] -= blocks_per_hash


@njit(cache=True, nogil=True)
def count_decode_demand(residues: NDArray[np.int64], clock: int, steps: int, block: int) -> int:
    """Blocks that the decoding requests take in the next `steps` steps."""
    whole = steps // block
    demand = 0
    if whole > 0:
        total = 0
        for r in range(block):
            total += residues[r]
        demand = whole * total
    for j in range(whole * block, steps):
        demand += residues[(-(clock + j)) % block]
    return demand
