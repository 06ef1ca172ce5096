"""How much prompts share with earlier ones, from their block hashes. Pure.

Measured against a cache that forgets nothing: what a real prefix cache can reach at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.workload.prefixes import number_densely


@dataclass(frozen=True)
class SharedPrefixes:
    """What each request shares with the requests before it.

    num_blocks int64[n] of its prompt; num_shared int64[n] of them, from the start, were seen
    before; lag_s float64[n] is the time since the last of those was last used, NaN where none was.
    """

    num_blocks: NDArray[np.int64]
    num_shared: NDArray[np.int64]
    lag_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PrefixStatistics:
    """Prefix sharing of a trace in figures; quantiles are 0.1, 0.5 and 0.9.

    `block_hit_ratio` of all prompt blocks and `request_hit_ratio` of all requests were seen before
    (of a request at least its first block). `shared_ratio` is the share of its blocks that a
    request with a hit has in common, `lag_s` how long ago they were last used. `single_use_ratio`
    of the different blocks are used once only.
    """

    block_tokens: int
    num_different_blocks: int
    block_hit_ratio: float
    request_hit_ratio: float
    shared_ratio_quantiles: tuple[float, float, float] | None
    lag_s_quantiles: tuple[float, float, float] | None
    single_use_ratio: float


_QUANTILES = (0.1, 0.5, 0.9)


def find_shared_prefixes(hashes: PrefixHashes, arrival_s: NDArray[np.float64]) -> SharedPrefixes:
    """What each request shares with those before it."""
    num_blocks = np.diff(hashes.offsets)
    ids = number_densely(hashes.ids).astype(np.int64)
    # numbered in order of first use, an id is new where it is above all before it
    highest = np.maximum.accumulate(np.concatenate(([-1], ids[:-1])))
    num_new_until = np.concatenate(([0], np.cumsum(ids > highest)))
    starts, stops = hashes.offsets[:-1], hashes.offsets[1:]
    first_new = np.searchsorted(num_new_until, num_new_until[starts], side="right") - 1
    num_shared = np.minimum(first_new, stops) - starts
    requests = np.repeat(np.arange(num_blocks.size), num_blocks)
    previous = _find_previous_use(ids)
    lag_s = np.full(num_blocks.size, np.nan)
    has_hit = num_shared > 0
    deepest = (starts + num_shared - 1)[has_hit]
    lag_s[has_hit] = arrival_s[has_hit] - arrival_s[requests[previous[deepest]]]
    return SharedPrefixes(num_blocks, num_shared, lag_s)


def measure_prefixes(trace: Trace) -> PrefixStatistics | None:
    """The prefix sharing of a trace; None where it has no hashes."""
    hashes = trace.prefix_hashes
    if hashes is None:
        return None
    shared = find_shared_prefixes(hashes, trace.arrival_s)
    has_hit = shared.num_shared > 0
    ratios = shared.num_shared[has_hit] / shared.num_blocks[has_hit]
    uses = np.bincount(hashes.ids)
    uses = uses[uses > 0]
    return PrefixStatistics(
        block_tokens=hashes.block_tokens,
        num_different_blocks=int(uses.size),
        block_hit_ratio=float(shared.num_shared.sum() / max(int(shared.num_blocks.sum()), 1)),
        request_hit_ratio=float(has_hit.mean()),
        shared_ratio_quantiles=_take_quantiles(ratios),
        lag_s_quantiles=_take_quantiles(shared.lag_s[has_hit]),
        single_use_ratio=float((uses == 1).mean()) if uses.size else 0.0,
    )


def _find_previous_use(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of the same id before, -1 for the first use."""
    order = np.argsort(ids, kind="stable")
    previous = np.full(ids.size, -1, np.int64)
    is_same = ids[order][1:] == ids[order][:-1]
    previous[order[1:][is_same]] = order[:-1][is_same]
    return previous


def _take_quantiles(values: NDArray[np.float64]) -> tuple[float, float, float] | None:
    if not values.size:
        return None
    low, middle, high = np.quantile(values, _QUANTILES).tolist()
    return low, middle, high
