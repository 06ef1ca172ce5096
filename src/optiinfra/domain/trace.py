"""A request trace: when requests arrived, how long their prompts and outputs were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray


@dataclass(frozen=True)
class PrefixHashes:
    """Prompt block hashes of every request, one after the other.

    Request i owns `ids[offsets[i]:offsets[i + 1]]`: one id for each *full or partial* block of
    `block_tokens` prompt tokens from the start of the prompt; equal ids mean equal prompt prefixes
    up to and including that block. Ids are dense: 0 .. `num_ids` - 1.

    Shapes: offsets int64[n + 1], ids int32[offsets[n]].
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    block_tokens: int

    @cached_property
    def num_ids(self) -> int:
        """How many different blocks occur."""
        return int(self.ids.max()) + 1 if self.ids.size else 0


@dataclass(frozen=True)
class Trace:
    """Requests of one deployment in order of arrival.

    arrival_s float64[n], non-decreasing, the first is 0.0; prompt_tokens int32[n] >= 1;
    output_tokens int32[n] >= 1. `started_at` is the instant of arrival_s 0 (aware UTC) where the
    source had one. `source` says what a person would call the input, never an absolute path.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    source: str
    is_synthetic: bool = False
    started_at: datetime | None = None
    prefix_hashes: PrefixHashes | None = None
    notes: tuple[str, ...] = ()  # e.g. "3 requests of 0 output tokens were left out"

    def __post_init__(self) -> None:
        n = self.arrival_s.size
        if n == 0:
            message = "a trace holds at least one request"
            raise ValueError(message)
        if not (self.prompt_tokens.size == self.output_tokens.size == n):
            message = "the columns of a trace have one length"
            raise ValueError(message)
        if self.arrival_s[0] != 0.0 or (n > 1 and float(np.diff(self.arrival_s).min()) < 0):
            message = "arrivals start at 0 and never go back"
            raise ValueError(message)
        if int(self.prompt_tokens.min()) < 1 or int(self.output_tokens.min()) < 1:
            message = "a request has at least one prompt token and one output token"
            raise ValueError(message)

    @property
    def num_requests(self) -> int:
        """How many requests arrived."""
        return int(self.arrival_s.size)

    @property
    def span_s(self) -> float:
        """Time from the first to the last arrival, in seconds."""
        return float(self.arrival_s[-1])

    @property
    def rate_per_s(self) -> float:
        """Mean arrivals per second over the span; infinite when all arrive at once."""
        return (self.num_requests - 1) / self.span_s if self.span_s > 0 else float("inf")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the columns: equal traffic has an equal digest whatever file it came in."""
        sha = hashlib.sha256(b"optiinfra-trace-1")
        for column in (self.arrival_s, self.prompt_tokens, self.output_tokens):
            sha.update(np.ascontiguousarray(column).tobytes())
        if self.prefix_hashes is not None:
            sha.update(np.int64(self.prefix_hashes.block_tokens).tobytes())
            sha.update(np.ascontiguousarray(self.prefix_hashes.offsets).tobytes())
            sha.update(np.ascontiguousarray(self.prefix_hashes.ids).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class RequestChunk:
    """Some consecutive requests of a stream too long to be held whole; at least one.

    arrival_s float64[n], non-decreasing, in seconds since the start of the *stream*, so it goes on
    from chunk to chunk; prompt_tokens int32[n] >= 1; output_tokens int32[n] >= 1. `first_request`
    is the number in the stream, from 0, of the first of them. Ids of `prefix_hashes` mean the same
    in every chunk of the stream, so they are not dense within one.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    first_request: int = 0
    prefix_hashes: PrefixHashes | None = None

    @property
    def num_requests(self) -> int:
        """How many requests are in this chunk."""
        return int(self.arrival_s.size)
