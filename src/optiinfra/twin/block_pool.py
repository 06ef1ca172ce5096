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

# Slots of the pool array; it may be longer.
FREE = 0  # blocks without content
EVICTABLE = 1  # cached blocks that nobody references
SHARED = 2  # references beyond the first to cached blocks, in blocks: counted once in KV use

# Rows of the cache array, one column a block and one for the list's anchor.
IS_CACHED = 0
REFERENCES = 1
NEWER = 2  # links of the unreferenced blocks, shifted by one: 0 is the anchor
OLDER = 3
NUM_CACHE_ROWS = 4


@njit(cache=True, nogil=True)
def lru_append(cache: NDArray[np.int32], h: int) -> None:
    """Put block h at the newest end; slot 0 is the list's anchor, block h lives in slot h + 1."""
    slot = h + 1
    last = cache[OLDER, 0]
    cache[NEWER, last] = slot
    cache[OLDER, slot] = last
    cache[NEWER, slot] = 0
    cache[OLDER, 0] = slot


@njit(cache=True, nogil=True)
def lru_remove(cache: NDArray[np.int32], h: int) -> None:
    """Take block h out of the list."""
    slot = h + 1
    cache[NEWER, cache[OLDER, slot]] = cache[NEWER, slot]
    cache[OLDER, cache[NEWER, slot]] = cache[OLDER, slot]


@njit(cache=True, nogil=True)
def take_blocks(
    pool: NDArray[np.int64], count: int, blocks_per_hash: int, cache: NDArray[np.int32]
) -> None:
    """Take `count` blocks, evicting the least recently used cached ones where none is free."""
    pool[FREE] -= count
    while pool[FREE] < 0:
        h = cache[NEWER, 0] - 1
        lru_remove(cache, h)
        cache[IS_CACHED, h] = 0
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
    cache: NDArray[np.int32],
) -> None:
    """Give back own blocks, and references to hashed ones, the last of the prefix first."""
    pool[FREE] += num_own
    for j in range(num_held - 1, -1, -1):
        h = hash_ids[start + j]
        cache[REFERENCES, h] -= 1
        if cache[REFERENCES, h] == 0:
            lru_append(cache, h)
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
