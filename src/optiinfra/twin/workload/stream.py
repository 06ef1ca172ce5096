"""Requests generated chunk by chunk, so that a week of them needs little memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import RequestChunk, Trace
from optiinfra.twin.workload.bursts import POISSON, Bursts, draw_load
from optiinfra.twin.workload.changes import RegimeChange
from optiinfra.twin.workload.chunks import resize_chunks
from optiinfra.twin.workload.lengths import JointLengths
from optiinfra.twin.workload.prefix_fit import PrefixDrawer, PrefixFit
from optiinfra.twin.workload.rate import RateCurve
from optiinfra.twin.workload.transforms import scale_counts

MAX_REQUESTS = 50_000_000  # as many as a trace may hold
_BLOCK = 2**16  # requests drawn at once, whatever the size of the chunks


@dataclass(frozen=True)
class RequestStream:
    """A generated workload as a value: the same fields give the same requests, chunked or not.

    `num_requests` fixes how many there are; None leaves it to chance, about as many as the curve
    expects. Always synthetic: `source` says what a person would call it and `notes` where its
    figures come from. `regimes` change the lengths from an instant on; the rate is all in `rate`.
    """

    rate: RateCurve
    lengths: JointLengths
    seed: int
    source: str
    bursts: Bursts = POISSON
    prefixes: PrefixFit | None = None
    regimes: tuple[RegimeChange, ...] = ()
    num_requests: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = self.num_requests
        num_requests = self.rate.num_requests_expected if wanted is None else wanted
        if not 1 <= num_requests <= MAX_REQUESTS:
            message = f"{num_requests:.0f} requests: between 1 and {MAX_REQUESTS:,} are generated"
            raise ValueError(message)

    @property
    def span_s(self) -> float:
        """Seconds that the stream covers; its last request comes somewhat earlier."""
        return self.rate.span_s

    def iter_chunks(self, *, max_requests: int = 1_000_000) -> Iterator[RequestChunk]:
        """All requests in order, `max_requests` at a time, fewer in the last chunk.

        However they are cut, the requests are the same. A stream without any yields nothing.
        """
        if max_requests < 1:
            message = "a chunk holds at least one request"
            raise ValueError(message)
        yield from resize_chunks(self._iter_blocks(), max_requests)

    def to_trace(self) -> Trace:
        """All requests at once, shifted so that the first arrives at 0.

        Raises ValueError where chance left the stream without any request.
        """
        for chunk in self.iter_chunks(max_requests=MAX_REQUESTS * 2):
            return Trace(
                arrival_s=chunk.arrival_s - chunk.arrival_s[0],
                prompt_tokens=chunk.prompt_tokens,
                output_tokens=chunk.output_tokens,
                source=self.source,
                is_synthetic=True,
                prefix_hashes=chunk.prefix_hashes,
                notes=(f"synthetic: {self.source}, seed {self.seed}", *self.notes),
            )
        message = f"no request came within {self.span_s:g} s"
        raise ValueError(message)

    def with_seed(self, seed: int) -> RequestStream:
        """The same workload drawn anew."""
        return replace(self, seed=seed)

    def _iter_blocks(self) -> Iterator[RequestChunk]:
        load_rng, gap_rng, length_rng, prefix_rng = map(
            np.random.default_rng, np.random.SeedSequence(self.seed).spawn(4)
        )
        at_s, expected = draw_load(load_rng, self.rate, self.bursts)
        prompts, outputs = self.lengths.table
        drawer = None if self.prefixes is None else PrefixDrawer(self.prefixes, prefix_rng)
        first = 0
        for marks in self._iter_marks(gap_rng, float(expected[-1])):
            if not marks.size:
                continue
            pairs = length_rng.integers(0, prompts.size, _BLOCK, dtype=np.uint16)[: marks.size]
            arrival_s = np.interp(marks, expected, at_s)
            lengths = self._change_lengths(arrival_s, prompts[pairs], outputs[pairs])
            hashes = None if drawer is None else drawer.draw(arrival_s, lengths[0])
            yield RequestChunk(arrival_s, *lengths, first, hashes)
            first += marks.size

    def _change_lengths(
        self, arrival_s: NDArray[np.float64], prompts: NDArray[np.int32], outputs: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        for change in self.regimes:
            if arrival_s[-1] >= change.at_s:
                after = arrival_s >= change.at_s
                prompts = scale_counts(prompts, np.where(after, change.prompt_factor, 1.0))
                outputs = scale_counts(outputs, np.where(after, change.output_factor, 1.0))
        return prompts, outputs

    def _iter_marks(
        self, rng: np.random.Generator, num_expected: float
    ) -> Iterator[NDArray[np.float64]]:
        """Where on the axis of expected counts each request comes, a block at a time."""
        if self.num_requests is None:
            for marks in _iter_renewals(rng, self.bursts.gap_cv):
                if marks[-1] >= num_expected:
                    yield marks[: np.searchsorted(marks, num_expected)]
                    return
                yield marks
            return
        # n + 1 gaps of which the whole span is made: walked once for their sum, once to place them
        num_left = self.num_requests
        state = rng.bit_generator.state
        total = _find_renewal(rng, self.bursts.gap_cv, num_left + 1)
        rng.bit_generator.state = state
        for marks in _iter_renewals(rng, self.bursts.gap_cv):
            yield marks[:num_left] * (num_expected / total)
            num_left -= _BLOCK
            if num_left <= 0:
                return


def _iter_renewals(rng: np.random.Generator, gap_cv: float) -> Iterator[NDArray[np.float64]]:
    """Renewal times with gamma-distributed gaps of mean 1, without end."""
    shape = 1.0 / gap_cv**2
    last = 0.0
    while True:
        if gap_cv == 1.0:
            gaps = rng.standard_exponential(_BLOCK)
        else:
            gaps = rng.standard_gamma(shape, _BLOCK) / shape
        gaps[0] += last
        marks = np.cumsum(gaps)
        last = float(marks[-1])
        yield marks


def _find_renewal(rng: np.random.Generator, gap_cv: float, number: int) -> float:
    """The time of the `number`-th renewal, counted from 1."""
    for marks in _iter_renewals(rng, gap_cv):
        if number <= _BLOCK:
            return float(marks[number - 1])
        number -= _BLOCK
    raise AssertionError  # renewals never end
