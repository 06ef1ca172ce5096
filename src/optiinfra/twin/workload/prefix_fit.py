"""Prompts that share prefixes, as fitted: who shares, how much of the prompt, with how old a one.

A request of a class of prompt lengths shares something with the fitted probability. It then takes
the first blocks of an earlier request: of those that came about the drawn lag before, the shortest
that is long enough, because what is asked again of one document is about as long. The blocks after
those are its own, until others share them: prefixes form trees. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.workload.prefix_statistics import find_shared_prefixes

_LEVELS = np.linspace(0.0, 1.0, 21)
_MAX_CLASSES = 10
_FEW_IN_CLASS = 100
_NUM_CANDIDATES = 64  # earlier requests looked at, half before and half after the drawn lag
_NUM_ROUNDS = 8  # in which requests look for a parent that nobody else takes
_LEAST_SEEN = 0.05  # of a trace, after a lag: the rarer the longer lags, the less they are known
_TINY = 1e-9
_MAX_HISTORY_REQUESTS = 400_000
_MAX_HISTORY_BLOCKS = 20_000_000


@dataclass(frozen=True)
class PrefixFit:
    """Prefix sharing by class of prompt length.

    `upper_blocks[c]` is the longest prompt of class c in blocks, rising; the last has no end.
    Of the requests of class c a share `hit_ratio[c]` has a prefix seen before, once the stream is
    older than any lag; its share of the prompt's blocks has the quantiles `shared_ratio[c]` at
    levels 0, 0.05 … 1. `lag_s` are the quantiles of the time since the prefix was last used.
    """

    block_tokens: int
    upper_blocks: tuple[int, ...]
    hit_ratio: tuple[float, ...]
    shared_ratio: tuple[tuple[float, ...], ...]
    lag_s: tuple[float, ...]

    def __post_init__(self) -> None:
        num_classes = len(self.upper_blocks)
        if self.block_tokens < 1 or num_classes < 1 or np.any(np.diff(self.upper_blocks) <= 0):
            message = "blocks hold tokens, and classes of prompts rise"
            raise ValueError(message)
        if len(self.hit_ratio) != num_classes or len(self.shared_ratio) != num_classes:
            message = "there is a share of hits and of blocks for each class of prompts"
            raise ValueError(message)
        if any(len(row) != _LEVELS.size for row in (*self.shared_ratio, self.lag_s)):
            message = f"quantiles have {_LEVELS.size} levels"
            raise ValueError(message)
        ratios = np.array([*self.hit_ratio, *np.ravel(self.shared_ratio)])
        if not np.all((ratios >= 0) & (ratios <= 1)):
            message = "shares are within 0..1"
            raise ValueError(message)
        if not np.all(np.isfinite(self.lag_s)) or np.any(np.diff((0.0, *self.lag_s)) < 0):
            message = "lags are not negative and their quantiles do not fall"
            raise ValueError(message)


def fit_prefixes(trace: Trace) -> PrefixFit | None:
    """The prefix sharing of a trace; None where it has no hashes or shares nothing."""
    hashes = trace.prefix_hashes
    if hashes is None:
        return None
    shared = find_shared_prefixes(hashes, trace.arrival_s)
    has_hit = shared.num_shared > 0
    if not has_hit.any():
        return None
    num_classes = min(max(trace.num_requests // _FEW_IN_CLASS, 1), _MAX_CLASSES)
    levels = np.arange(1, num_classes + 1) / num_classes
    upper = np.unique(np.ceil(np.quantile(shared.num_blocks, levels)).astype(np.int64))
    classes = np.minimum(np.searchsorted(upper, shared.num_blocks), upper.size - 1)
    ratios = shared.num_shared / np.maximum(shared.num_blocks, 1)
    # a hit of lag l can only be seen in what comes later than l after the start
    seen_ratio = 1 - np.nan_to_num(shared.lag_s) / max(trace.span_s, _TINY)
    weights = np.where(has_hit, 1 / np.maximum(seen_ratio, _LEAST_SEEN), 0.0)
    rows, hits = [], []
    for k in range(upper.size):
        inside = ratios[(classes == k) & has_hit]
        hits.append(min(float(weights[classes == k].sum() / (classes == k).sum()), 1.0))
        rows.append(tuple(np.quantile(inside, _LEVELS).tolist() if inside.size else [0.0] * 21))
    return PrefixFit(
        block_tokens=hashes.block_tokens,
        upper_blocks=tuple(upper.tolist()),
        hit_ratio=tuple(hits),
        shared_ratio=tuple(rows),
        lag_s=_weigh_quantiles(shared.lag_s[has_hit], weights[has_hit]),
    )


def _weigh_quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, ...]:
    """Quantiles of values that count for more than one, or less."""
    order = np.argsort(values, kind="stable")
    until = np.cumsum(weights[order])
    middle = (until - weights[order] / 2) / until[-1]
    return tuple(np.interp(_LEVELS, middle, values[order]).tolist())


@dataclass
class PrefixDrawer:
    """Draws block ids for request after request; keeps what later requests may share."""

    fit: PrefixFit
    rng: np.random.Generator
    _arrival_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _num_blocks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _has_child: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    _ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _next_id: int = 0
    _started_s: float = 0.0

    def draw(
        self, arrival_s: NDArray[np.float64], prompt_tokens: NDArray[np.int32]
    ) -> PrefixHashes:
        """Hashes of the next requests of the stream, in order."""
        num_old, num_new = self._arrival_s.size, arrival_s.size
        num_blocks = -(-prompt_tokens.astype(np.int64) // self.fit.block_tokens)
        wanted, lag_s = self._draw_wishes(arrival_s, num_blocks)
        all_s = np.concatenate((self._arrival_s, arrival_s))
        all_blocks = np.concatenate((self._num_blocks, num_blocks))
        offsets = np.concatenate(([0], np.cumsum(all_blocks)))
        has_child = np.concatenate((self._has_child, np.zeros(num_new, np.bool_)))
        requests = np.arange(num_old, num_old + num_new)
        parents, shared = _choose_parents(
            all_s, all_blocks, requests, wanted=wanted, lag_s=lag_s, has_child=has_child
        )
        # each block points to the parent's block at its depth, or to itself where it is new
        depth = np.arange(offsets[num_old], offsets[-1]) - np.repeat(
            offsets[num_old:-1], num_blocks
        )
        is_new = depth >= np.repeat(shared, num_blocks)
        source = np.arange(offsets[-1])
        start = int(offsets[num_old])
        source[start:][~is_new] = (np.repeat(offsets[parents], num_blocks) + depth)[~is_new]
        while np.any((further := source[source]) != source):
            source = further
        ids = np.concatenate((self._ids, np.zeros(depth.size, np.int64)))
        ids[start:][is_new] = self._next_id + np.arange(int(is_new.sum()))
        ids = ids[source]
        self._next_id += int(is_new.sum())
        self._keep(all_s, all_blocks, has_child, ids)
        return PrefixHashes(
            offsets[num_old:] - start, ids[start:].astype(np.int32), self.fit.block_tokens
        )

    def _draw_wishes(
        self, arrival_s: NDArray[np.float64], num_blocks: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How many blocks each request would share, 0 for no hit, and with how old a one."""
        fit, size = self.fit, arrival_s.size
        is_hit, ratio_level, lag_level = self.rng.random((3, size))
        last = len(fit.upper_blocks) - 1
        classes = np.minimum(np.searchsorted(fit.upper_blocks, num_blocks), last)
        ratios = np.zeros(size)
        for k, row in enumerate(fit.shared_ratio):
            inside = classes == k
            ratios[inside] = np.interp(ratio_level[inside], _LEVELS, row)
        wanted = np.clip(np.rint(ratios * num_blocks), 1, num_blocks).astype(np.int64)
        wanted[is_hit >= np.array(fit.hit_ratio)[classes]] = 0
        lag_s = np.interp(lag_level, _LEVELS, fit.lag_s)
        wanted[lag_s > arrival_s - self._started_s] = 0  # nothing is older than the stream
        return wanted, lag_s

    def _keep(
        self,
        arrival_s: NDArray[np.float64],
        num_blocks: NDArray[np.int64],
        has_child: NDArray[np.bool_],
        ids: NDArray[np.int64],
    ) -> None:
        """Forget what is older than any lag, or more than memory should hold."""
        first = int(np.searchsorted(arrival_s, arrival_s[-1] - self.fit.lag_s[-1]))
        first = max(first, arrival_s.size - _MAX_HISTORY_REQUESTS)
        num_blocks_until = np.concatenate(([0], np.cumsum(num_blocks)))
        least = num_blocks_until[-1] - _MAX_HISTORY_BLOCKS
        first = max(first, int(np.searchsorted(num_blocks_until, least)))
        self._arrival_s, self._num_blocks = arrival_s[first:], num_blocks[first:]
        self._has_child = has_child[first:]
        self._ids = ids[num_blocks_until[first] :]


def _choose_parents(
    arrival_s: NDArray[np.float64],
    num_blocks: NDArray[np.int64],
    requests: NDArray[np.int64],
    *,
    wanted: NDArray[np.int64],
    lag_s: NDArray[np.float64],
    has_child: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whose first blocks each request takes, and how many of them: 0 where there is nobody.

    A request has one child at most where that can be, marked in `has_child`: the next to share its
    prefix takes it from the child, which used it last. Else prefixes would be younger than drawn.
    """
    parents = np.zeros(requests.size, np.int64)
    shared = np.zeros(requests.size, np.int64)
    asking = np.flatnonzero(wanted)
    first = np.searchsorted(arrival_s, arrival_s[requests[asking]] - lag_s[asking])
    # a short lag leaves few after it: then more before it are looked at
    latest = np.maximum(requests[asking] - _NUM_CANDIDATES, 0)
    first = np.clip(first - _NUM_CANDIDATES // 2, 0, latest)
    for is_free_wanted in (*(True,) * _NUM_ROUNDS, False):
        candidates = first[:, None] + np.arange(_NUM_CANDIDATES)
        is_open = candidates < requests[asking, None]
        candidates = np.where(is_open, candidates, 0)
        if is_free_wanted:
            is_open &= ~has_child[candidates]
        lengths = np.where(is_open, num_blocks[candidates], 0)
        need = wanted[asking, None]
        # the shortest that is long enough; else the longest there is
        cost = np.where(lengths >= need, lengths, 2 * lengths.max(initial=1) + need - lengths)
        best = cost.argmin(axis=1)[:, None]
        chosen = np.take_along_axis(candidates, best, axis=1)[:, 0]
        found = np.minimum(np.take_along_axis(lengths, best, axis=1)[:, 0], wanted[asking])
        is_done = found > 0
        if is_free_wanted:  # of several that want the same one, the first gets it
            is_first = np.zeros(asking.size, np.bool_)
            is_first[np.unique(chosen, return_index=True)[1]] = True
            is_done &= is_first & (found == wanted[asking])
        parents[asking[is_done]], shared[asking[is_done]] = chosen[is_done], found[is_done]
        has_child[chosen[is_done]] = True
        asking, first = asking[~is_done], first[~is_done]
    return parents, shared
