"""Prefix hashes of part of a trace, or of one whose prompts changed length. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import PrefixHashes


def select_prefix_hashes(hashes: PrefixHashes, keep: NDArray[np.bool_]) -> PrefixHashes:
    """The hashes of the requests with `keep`, ids numbered anew in order of first use."""
    return take_prefix_hashes(hashes, np.flatnonzero(keep))


def take_prefix_hashes(hashes: PrefixHashes, requests: NDArray[np.int64]) -> PrefixHashes:
    """The hashes of some requests in the order given, ids numbered anew in order of first use."""
    lengths = np.diff(hashes.offsets)[requests]
    offsets = _to_offsets(lengths)
    starts = np.repeat(hashes.offsets[requests] - offsets[:-1], lengths)
    ids = hashes.ids[starts + np.arange(offsets[-1])]
    return PrefixHashes(offsets, number_densely(ids), hashes.block_tokens)


def append_prefix_hashes(hashes: PrefixHashes, prompt_tokens: NDArray[np.int32]) -> PrefixHashes:
    """The hashes and those of more prompts, which share nothing with anybody."""
    lengths = -(-prompt_tokens.astype(np.int64) // hashes.block_tokens)
    new = hashes.num_ids + np.arange(int(lengths.sum()), dtype=np.int32)
    offsets = np.concatenate((hashes.offsets, hashes.offsets[-1] + np.cumsum(lengths)))
    return PrefixHashes(offsets, np.concatenate((hashes.ids, new)), hashes.block_tokens)


def fit_prefix_hashes(hashes: PrefixHashes, prompt_tokens: NDArray[np.int32]) -> PrefixHashes:
    """The hashes with exactly one id a block of these prompts.

    A shorter prompt loses its last ids: what is left of it is still shared. The added blocks of a
    longer one get ids of their own: nobody is taken to share what was not seen.
    """
    old_lengths = np.diff(hashes.offsets)
    lengths = -(-prompt_tokens.astype(np.int64) // hashes.block_tokens)
    kept = np.minimum(old_lengths, lengths)
    offsets = _to_offsets(lengths)
    within = np.arange(int(kept.sum())) - np.repeat(_to_offsets(kept)[:-1], kept)
    ids = np.arange(hashes.num_ids, hashes.num_ids + int(lengths.sum()), dtype=np.int64)
    ids[np.repeat(offsets[:-1], kept) + within] = hashes.ids[
        np.repeat(hashes.offsets[:-1], kept) + within
    ]
    return PrefixHashes(offsets, number_densely(ids), hashes.block_tokens)


def number_densely(ids: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int32]:
    """Non-negative ids as 0, 1, 2 … in order of first use, so that equal sharing looks equal."""
    if not ids.size:
        return ids.astype(np.int32)
    first_use = np.full(int(ids.max()) + 1, ids.size, np.int64)
    first_use[ids[::-1]] = np.arange(ids.size - 1, -1, -1)
    order = np.argsort(first_use, kind="stable")
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    return np.asarray(rank[ids], np.int32)


def _to_offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
