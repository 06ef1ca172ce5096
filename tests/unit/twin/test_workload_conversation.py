"""The generated conversation workload, against itself and against the trace it was read off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.traces import read_traces
from optiinfra.domain.trace import Trace
from optiinfra.twin.workload import generate_conversation


@pytest.fixture(scope="module")
def trace() -> Trace:
    return generate_conversation(seed=1, num_requests=20_000, rate_per_s=5.5)


def test_the_seed_decides(trace: Trace) -> None:
    again = generate_conversation(seed=1, num_requests=20_000, rate_per_s=5.5)
    other = generate_conversation(seed=2, num_requests=20_000, rate_per_s=5.5)
    assert again.digest == trace.digest != other.digest
    assert trace.is_synthetic
    assert trace.notes[0] == "synthetic: generated conversation, seed 1"
    assert trace.prefix_hashes is None


def test_counts_and_rate(trace: Trace) -> None:
    assert trace.num_requests == 20_000
    assert trace.rate_per_s == pytest.approx(5.5, rel=0.01)


def test_load_has_a_wave_and_bursts(trace: Trace) -> None:
    minutes = np.histogram(trace.arrival_s, np.arange(0, 3601, 60))[0]
    assert 0.15 < minutes.std() / minutes.mean() < 0.35
    assert minutes[20:40].mean() > 1.3 * minutes[[*range(10), *range(50, 60)]].mean()
    gaps = np.diff(trace.arrival_s)
    assert 1.0 < gaps.std() / gaps.mean() < 1.2


def test_without_wave_and_bursts_it_is_a_plain_stream() -> None:
    plain = generate_conversation(
        seed=3, num_requests=20_000, rate_per_s=2.0, wave_ratio=0.0, burst_ratio=0.0, gap_cv=1.0
    )
    seconds = np.bincount(plain.arrival_s.astype(int))
    assert seconds.var() / seconds.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("num_requests", [1, 2, 3])
def test_small_ones(num_requests: int) -> None:
    trace = generate_conversation(seed=1, num_requests=num_requests, rate_per_s=0.01)
    assert trace.num_requests == num_requests


@pytest.mark.parametrize(
    "change",
    [
        {"num_requests": 0},
        {"rate_per_s": 0.0},
        {"wave_ratio": 1.0},
        {"burst_ratio": -0.1},
        {"wave_period_s": 0.0},
        {"gap_cv": 0.0},
        {"rate_per_s": float("nan")},
    ],
)
def test_impossible_arguments(change: dict[str, float]) -> None:
    arguments: dict[str, float] = {"seed": 1, "num_requests": 10, "rate_per_s": 1.0}
    with pytest.raises(ValueError, match="positive"):
        generate_conversation(**(arguments | change))  # type: ignore[arg-type]


@pytest.mark.real_data
def test_lengths_are_those_of_the_real_trace(real_data_dir: Path, trace: Trace) -> None:
    path = real_data_dir / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv"
    real = read_traces(path)[None]
    many = generate_conversation(seed=5, num_requests=200_000, rate_per_s=5.5)
    for name in ("prompt_tokens", "output_tokens"):
        wanted, made = getattr(real, name), getattr(many, name)
        assert made.mean() == pytest.approx(wanted.mean(), rel=0.01)
        assert made.std() == pytest.approx(wanted.std(), rel=0.03)
        quantiles = np.quantile(wanted, [0.05, 0.25, 0.5, 0.9, 0.99])
        assert np.quantile(made, [0.05, 0.25, 0.5, 0.9, 0.99]) == pytest.approx(quantiles, rel=0.04)
    correlations = [np.corrcoef(t.prompt_tokens, t.output_tokens)[0, 1] for t in (real, many)]
    assert correlations[1] == pytest.approx(correlations[0], abs=0.02)
    minutes = [np.histogram(t.arrival_s, 58)[0] for t in (real, trace)]
    spread = [count.std() / count.mean() for count in minutes]
    assert spread[1] == pytest.approx(spread[0], abs=0.05)
