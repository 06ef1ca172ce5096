"""Requests drawn from histograms keep what the histograms say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload import LengthHistogram, draw_from_histograms

EDGES = np.array([1.0, 10.0, 100.0, np.inf])


def draw(prompts: LengthHistogram, outputs: LengthHistogram | None = None, seed: int = 1) -> Trace:
    return draw_from_histograms(
        seed=seed, bin_s=60.0, prompts=prompts, outputs=outputs or prompts, source="made"
    )


def count_in_buckets(tokens: NDArray[np.int32]) -> list[int]:
    return [int(n) for n in np.histogram(tokens, [0.5, 1.5, 10.5, 100.5, 1e9])[0]]


def test_buckets_and_bins_are_kept() -> None:
    counts = np.array([[5.0, 10, 20, 0], [0, 0, 0, 0], [0, 0, 10, 3]])
    trace = draw(LengthHistogram(EDGES, counts))
    assert count_in_buckets(trace.prompt_tokens) == [5, 10, 30, 3]
    minute = (trace.arrival_s // 60).astype(int)
    assert np.bincount(minute[trace.arrival_s < 50])[0] > 20
    assert trace.num_requests == 48
    assert trace.prompt_tokens.max() <= 200
    assert trace.is_synthetic
    assert trace.notes == ("synthetic: drawn from histograms, seed 1",)


def test_prompts_and_outputs_are_independent() -> None:
    trace = draw(LengthHistogram(EDGES, np.array([[0, 5e3, 5e3, 0]])))
    correlation = np.corrcoef(trace.prompt_tokens, trace.output_tokens)[0, 1]
    assert abs(correlation) < 0.05


def test_a_bin_without_outputs_draws_from_all() -> None:
    prompts = LengthHistogram(EDGES, np.array([[0, 100.0, 0, 0], [0, 100.0, 0, 0]]))
    outputs = LengthHistogram(EDGES, np.array([[0, 0, 200.0, 0], [0, 0, 0, 0]]))
    trace = draw(prompts, outputs)
    assert count_in_buckets(trace.output_tokens) == [0, 0, 200, 0]


@given(
    mean=st.floats(0.05, 0.95),
    counts=st.lists(st.floats(0, 3000), min_size=4, max_size=4).filter(lambda c: sum(c) > 500),
    seed=st.integers(0, 2**32),
)
def test_means_and_counts_are_kept(mean: float, counts: list[float], seed: int) -> None:
    lower, width = np.array([0.0, 1, 10, 100]), np.array([1.0, 9, 90, 100])
    shares = np.array(counts) / sum(counts)
    rounding = 0.5 * shares[1:].sum()
    wanted = float(shares @ (lower + width * mean)) + rounding
    trace = draw(LengthHistogram(EDGES, np.array([counts]), wanted), seed=seed)
    assert trace.num_requests == round(sum(counts))
    assert trace.prompt_tokens.mean() == pytest.approx(wanted, rel=0.05, abs=1.5)
    assert trace.prompt_tokens.min() >= 1
    found = np.array(count_in_buckets(trace.prompt_tokens))
    assert np.abs(found - counts).max() <= 2


def test_fractions_of_requests_add_up() -> None:
    trace = draw(LengthHistogram(EDGES, np.full((100, 4), [0, 0.3, 0, 0])))
    assert trace.num_requests == 30


@pytest.mark.parametrize(
    ("edges", "counts", "words"),
    [
        (EDGES, np.zeros((3, 4)), "0 requests"),
        (EDGES, np.zeros((3, 3)), "a column an edge"),
        (EDGES, np.zeros(4), "a column an edge"),
        (EDGES[::-1], np.ones((1, 4)), "edges rise"),
        (EDGES, -np.ones((1, 4)), "not negative"),
        (EDGES, np.full((1, 4), np.nan), "not negative"),
        (EDGES, np.full((1, 4), 1e9), "can be drawn"),
    ],
)
def test_impossible_histograms(
    edges: NDArray[np.float64], counts: NDArray[np.float64], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        draw(LengthHistogram(edges, counts))


def test_both_histograms_have_the_same_bins_and_something_in_them() -> None:
    one = LengthHistogram(EDGES, np.ones((1, 4)))
    with pytest.raises(ValueError, match="same bins"):
        draw(one, LengthHistogram(EDGES, np.ones((2, 4))))
    with pytest.raises(ValueError, match="empty"):
        draw(one, LengthHistogram(EDGES, np.zeros((1, 4))))
