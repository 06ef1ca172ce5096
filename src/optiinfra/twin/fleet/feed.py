"""A deployment's traffic, chunk by chunk, checked, and cut where the simulation pauses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.errors import InputError
from optiinfra.twin.fleet.routing import Arrivals
from optiinfra.twin.replicas import DoesNotFitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from optiinfra.domain.trace import RequestChunk

NO_HASHES: NDArray[np.int64] = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Piece:
    """Requests start .. stop of a chunk; `chunk_number` tells chunks apart."""

    arrivals: Arrivals
    hash_ids: NDArray[np.int32] | None
    start: int
    stop: int
    first_number: int
    chunk_number: int


class Feed:
    """Requests in order of arrival, one chunk in memory at a time.

    Raises InputError for arrivals that go back, requests without a prompt or output token, hashed
    blocks beyond `num_hash_ids`, and DoesNotFitError for one longer than `max_tokens`.
    """

    def __init__(
        self, name: str, chunks: Iterator[RequestChunk], *, max_tokens: int, num_hash_ids: int
    ) -> None:
        self._name = name
        self._chunks = chunks
        self._max_tokens = max_tokens
        self._num_hash_ids = num_hash_ids
        self._piece: Piece | None = None
        self._last_s = 0.0
        self._chunk_number = 0
        self.num_taken = 0

    def find_next_s(self) -> float | None:
        """When the next request arrives; None when no more come."""
        piece = self._load()
        return None if piece is None else float(piece.arrivals.arrival_s[piece.start])

    def take_until(self, until_s: float) -> Iterator[Piece]:
        """Requests that arrive before an instant, in pieces of one chunk each."""
        while (piece := self._load()) is not None:
            arrival_s = piece.arrivals.arrival_s
            stop = piece.start + int(np.searchsorted(arrival_s[piece.start :], until_s))
            if stop == piece.start:
                return
            self.num_taken += stop - piece.start
            yield Piece(
                piece.arrivals,
                piece.hash_ids,
                piece.start,
                stop,
                piece.first_number,
                piece.chunk_number,
            )
            self._piece = Piece(
                piece.arrivals,
                piece.hash_ids,
                stop,
                piece.stop,
                piece.first_number,
                piece.chunk_number,
            )

    def _load(self) -> Piece | None:
        while self._piece is None or self._piece.start >= self._piece.stop:
            chunk = next(self._chunks, None)
            if chunk is None:
                return None
            if chunk.num_requests:
                self._chunk_number += 1
                self._piece = self._check(chunk)
        return self._piece

    def _check(self, chunk: RequestChunk) -> Piece:
        arrival_s = np.ascontiguousarray(chunk.arrival_s, np.float64)
        prompts = np.ascontiguousarray(chunk.prompt_tokens, np.int32)
        outputs = np.ascontiguousarray(chunk.output_tokens, np.int32)
        is_back = np.diff(arrival_s, prepend=self._last_s) < 0
        if is_back.any() or not np.isfinite(arrival_s[-1]):
            number = chunk.first_request + int(np.argmax(is_back))
            self._refuse(number, "arrives before the one before it, or never", "Sort the requests.")
        is_empty = (prompts < 1) | (outputs < 1)
        if is_empty.any():
            number = chunk.first_request + int(np.argmax(is_empty))
            self._refuse(number, "has no prompt or no output token", "Leave such requests out.")
        tokens = prompts.astype(np.int64) + outputs
        if int(tokens.max()) > self._max_tokens:
            number = chunk.first_request + int(np.argmax(tokens))
            raise DoesNotFitError(
                f"request {number:,} of {self._name} has {int(tokens.max())} tokens, and a replica "
                f"takes {self._max_tokens} of one request at most"
            )
        self._last_s = float(arrival_s[-1])
        hashes = chunk.prefix_hashes
        starts, ids = NO_HASHES, None
        if hashes is not None and self._num_hash_ids > 0:
            starts, ids = hashes.offsets, hashes.ids
            if ids.size and int(ids.max()) >= self._num_hash_ids:
                self._refuse(
                    chunk.first_request,
                    f"or a later one has the hashed block {int(ids.max())}",
                    f"Ids below {self._num_hash_ids} were announced; announce more.",
                )
        arrivals = Arrivals(arrival_s, prompts, outputs, starts)
        return Piece(arrivals, ids, 0, chunk.num_requests, chunk.first_request, self._chunk_number)

    def _refuse(self, number: int, problem: str, remedy: str) -> None:
        raise InputError(
            f"request {number:,} of {self._name} {problem}.", remedy=remedy, field=self._name
        )
