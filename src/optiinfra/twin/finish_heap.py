"""A heap of finish steps that knows where each request sits, compiled.

`keys[0:size]` are steps of the common clock, `items` the requests, `cells[request, PLACE]`
its position, so that a preempted request can be taken out of the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.engine_state import PLACE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def sift_up(
    keys: NDArray[np.int64], items: NDArray[np.int64], cells: NDArray[np.int64], i: int
) -> None:
    """Move entry i towards the root to its place."""
    key, item = keys[i], items[i]
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i] = keys[parent]
        items[i] = items[parent]
        cells[items[i], PLACE] = i
        i = parent
    keys[i] = key
    items[i] = item
    cells[item, PLACE] = i


@njit(cache=True, nogil=True)
def sift_down(
    keys: NDArray[np.int64], items: NDArray[np.int64], cells: NDArray[np.int64], i: int, size: int
) -> None:
    """Move entry i away from the root to its place."""
    key, item = keys[i], items[i]
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i] = keys[child]
        items[i] = items[child]
        cells[items[i], PLACE] = i
        i = child
    keys[i] = key
    items[i] = item
    cells[item, PLACE] = i


@njit(cache=True, nogil=True)
def remove(
    keys: NDArray[np.int64], items: NDArray[np.int64], cells: NDArray[np.int64], i: int, size: int
) -> int:
    """Take entry i out of the heap; returns the new size."""
    size -= 1
    if i != size:
        keys[i] = keys[size]
        items[i] = items[size]
        cells[items[i], PLACE] = i
        sift_down(keys, items, cells, i, size)
        sift_up(keys, items, cells, i)
    return size
