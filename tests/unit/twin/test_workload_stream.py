"""Streams of generated requests: the same whatever the chunks, and of the statistics asked for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiinfra.domain.trace import RequestChunk
from optiinfra.twin.workload import (
    CONVERSATION_LENGTHS,
    Bursts,
    RateCurve,
    RequestStream,
    make_constant_rate,
)
from optiinfra.twin.workload.stream import MAX_REQUESTS

WAVE = RateCurve(np.array([0.0, 500.0, 1000.0]), np.array([50.0, 250.0, 150.0]), 1000.0)


def make_stream(**changes: object) -> RequestStream:
    fields: dict[str, object] = {
        "rate": WAVE,
        "lengths": CONVERSATION_LENGTHS,
        "seed": 7,
        "source": "made",
        "bursts": Bursts(1.2, (20.0,), (0.02,)),
    }
    return RequestStream(**(fields | changes))  # type: ignore[arg-type]


def hash_chunks(chunks: list[RequestChunk]) -> str:
    columns = ("arrival_s", "prompt_tokens", "output_tokens")
    joined = [np.concatenate([getattr(c, name) for c in chunks]) for name in columns]
    return hashlib.sha256(b"".join(column.tobytes() for column in joined)).hexdigest()


@pytest.mark.parametrize("num_requests", [None, 150_000])
def test_chunks_of_any_size_hold_the_same_requests(num_requests: int | None) -> None:
    stream = make_stream(num_requests=num_requests)
    whole = list(stream.iter_chunks(max_requests=10**9))
    assert len(whole) == 1
    for size in (999, 2**16, 100_000):
        chunks = list(stream.iter_chunks(max_requests=size))
        assert hash_chunks(chunks) == hash_chunks(whole)
        assert [c.num_requests for c in chunks[:-1]] == [size] * (len(chunks) - 1)
        assert [c.first_request for c in chunks] == [size * k for k in range(len(chunks))]
    assert num_requests in {None, whole[0].num_requests}


def test_another_process_draws_the_same_bytes() -> None:
    code = """
        from optiinfra.twin.workload import *
        rate = make_constant_rate(5.0, 1000.0)
        bursts = Bursts(1.2, (20.0,), (0.02,))
        print(RequestStream(rate, CONVERSATION_LENGTHS, 7, "made", bursts).to_trace().digest)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    other = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    stream = make_stream(rate=make_constant_rate(5.0, 1000.0))
    assert other == stream.to_trace().digest
    assert other != stream.with_seed(8).to_trace().digest


def test_the_rate_is_that_of_the_curve() -> None:
    trace = make_stream(bursts=Bursts()).to_trace()
    assert WAVE.num_requests_expected == 175_000
    assert trace.num_requests == pytest.approx(175_000, abs=4 * 175_000**0.5)
    counts = np.bincount((trace.arrival_s / 100).astype(int), minlength=10)
    middle_s = np.arange(50, 1000, 100)
    assert counts == pytest.approx(100 * WAVE.compute_rate_per_s(middle_s), rel=0.04)
    assert trace.is_synthetic
    assert trace.notes[0] == "synthetic: made, seed 7"


@pytest.mark.parametrize(("scale_s", "variance"), [(5.0, 0.05), (60.0, 0.1)])
def test_counts_spread_as_the_formula_says(scale_s: float, variance: float) -> None:
    bursts = Bursts(1.3, (scale_s,), (variance,))
    stream = make_stream(rate=make_constant_rate(20.0, 30_000.0), bursts=bursts)
    arrival_s = stream.to_trace().arrival_s
    for window_s in (1.0, 10.0, 50.0):
        counts = np.bincount((arrival_s / window_s).astype(int))[:-1]
        x = window_s / scale_s
        within = 2 * (x - 1 + np.exp(-x)) / x**2
        expected = 1.3**2 + 20.0 * window_s * variance * within
        assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.15)


def test_lengths_come_from_the_table_of_pairs() -> None:
    trace = make_stream(num_requests=200_000).to_trace()
    prompts, outputs = CONVERSATION_LENGTHS.table
    assert trace.prompt_tokens.mean() == pytest.approx(prompts.mean(), rel=0.01)
    assert trace.output_tokens.mean() == pytest.approx(outputs.mean(), rel=0.01)
    rng = np.random.default_rng(3)
    drawn = CONVERSATION_LENGTHS.compute_tokens(*rng.random((2, 200_000)))
    for table, column in zip((prompts, outputs), drawn, strict=True):
        assert table.mean() == pytest.approx(column.mean(), rel=0.01)
        levels = [0.01, 0.1, 0.5, 0.9, 0.99]
        assert np.quantile(table, levels) == pytest.approx(
            np.quantile(column, levels), rel=0.02, abs=1.5
        )
    correlations = [np.corrcoef(*pair)[0, 1] for pair in ((prompts, outputs), drawn)]
    assert correlations[0] == pytest.approx(correlations[1], abs=0.01)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 5))
def test_exact_counts_within_the_span(num_requests: int, size: int, seed: int) -> None:
    stream = make_stream(num_requests=num_requests, seed=seed)
    chunks = list(stream.iter_chunks(max_requests=size))
    assert sum(c.num_requests for c in chunks) == num_requests
    arrival_s = np.concatenate([c.arrival_s for c in chunks])
    assert np.all(np.diff(arrival_s) >= 0)
    assert arrival_s[0] >= 0
    assert arrival_s[-1] <= stream.span_s


def test_no_request_by_chance() -> None:
    stream = make_stream(rate=make_constant_rate(1.0, 1.0), seed=2, bursts=Bursts())
    assert list(stream.iter_chunks()) == []
    with pytest.raises(ValueError, match="no request came"):
        stream.to_trace()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_stream(num_requests=0), "between 1 and"),
        (lambda: make_stream(num_requests=MAX_REQUESTS + 1), "between 1 and"),
        (lambda: make_stream(rate=make_constant_rate(1e5, 1e4)), "between 1 and"),
        (lambda: next(make_stream().iter_chunks(max_requests=0)), "at least one"),
        (lambda: make_constant_rate(0.0, 1.0), "above 0"),
        (lambda: make_constant_rate(float("nan"), 1.0), "not negative"),
        (lambda: make_constant_rate(1.0, float("inf")), "positive time"),
        (lambda: RateCurve(np.array([0.0, 2.0]), np.ones(2), 1.0), "within its span"),
        (lambda: RateCurve(np.array([0.0, 0.0]), np.ones(2), 1.0), "within its span"),
        (lambda: RateCurve(np.zeros(0), np.zeros(0), 1.0), "1 to"),
        (lambda: Bursts(0.0), "variation of gaps"),
        (lambda: Bursts(1.0, (1.0,)), "one variance"),
        (lambda: Bursts(1.0, (0.0,), (1.0,)), "positive"),
        (lambda: Bursts(1.0, (1.0,), (float("nan"),)), "not negative"),
        (lambda: Bursts(1.0, (2.0, 1.0), (1.0, 1.0)), "rise"),
    ],
)
def test_impossible_values(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
