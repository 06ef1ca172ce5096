"""Scaling and summarising traces, and prefix hashes that follow."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.workload import scale_lengths, scale_rate, summarize
from optiinfra.twin.workload.prefixes import (
    fit_prefix_hashes,
    number_densely,
    select_prefix_hashes,
)


def make_trace(**changes: object) -> Trace:
    columns: dict[str, object] = {
        "arrival_s": np.array([0.0, 1.0, 4.0, 10.0]),
        "prompt_tokens": np.array([10, 20, 30, 40], np.int32),
        "output_tokens": np.array([1, 2, 3, 4], np.int32),
        "source": "made",
    }
    return Trace(**(columns | changes))  # type: ignore[arg-type]


def make_hashes() -> PrefixHashes:
    """Blocks of 10 tokens for prompts of 10, 20, 30 and 40; the first block is shared by all."""
    ids = [0, 0, 1, 0, 1, 2, 0, 3, 4, 5]
    return PrefixHashes(np.array([0, 1, 3, 6, 10]), np.array(ids, np.int32), 10)


def test_scale_rate_divides_the_gaps() -> None:
    trace = make_trace(started_at=datetime(2026, 1, 1, tzinfo=UTC), is_synthetic=True)
    faster = scale_rate(trace, 2.0)
    assert faster.arrival_s.tolist() == [0.0, 0.5, 2.0, 5.0]
    assert faster.rate_per_s == 2 * trace.rate_per_s
    assert faster.prompt_tokens is trace.prompt_tokens
    assert (faster.started_at, faster.is_synthetic) == (trace.started_at, True)
    assert faster.notes == ("arrivals scaled: 2 times the rate",)
    assert scale_rate(trace, 1.0) is trace


def test_scale_lengths_rounds_and_keeps_one_token() -> None:
    shorter = scale_lengths(make_trace(), 0.26)
    assert shorter.prompt_tokens.tolist() == [3, 5, 8, 10]
    assert shorter.output_tokens.tolist() == [1, 1, 1, 1]
    assert shorter.prompt_tokens.dtype == np.int32
    assert scale_lengths(make_trace(), 1e9).output_tokens.max() == 10_000_000


def test_scaled_prompts_share_what_is_left_and_nothing_new() -> None:
    trace = make_trace(prefix_hashes=make_hashes())
    shorter = scale_lengths(trace, 0.5).prefix_hashes
    assert shorter is not None
    assert shorter.offsets.tolist() == [0, 1, 2, 4, 6]
    assert shorter.ids.tolist() == [0, 0, 0, 1, 0, 2]
    longer = scale_lengths(trace, 2.0).prefix_hashes
    assert longer is not None
    assert np.diff(longer.offsets).tolist() == [2, 4, 6, 8]
    ids = longer.ids
    assert ids[[0, 2, 6, 12]].tolist() == [0, 0, 0, 0]
    added = np.concatenate((ids[1:2], ids[4:6], ids[9:12], ids[16:20]))
    assert all((ids == one).sum() == 1 for one in added)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_factors_are_positive(factor: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        scale_rate(make_trace(), factor)
    with pytest.raises(ValueError, match="positive"):
        scale_lengths(make_trace(), factor)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_dense_numbers_keep_what_is_equal(ids: list[int]) -> None:
    dense = number_densely(np.array(ids, np.int64)).tolist()
    assert [ids.index(one) for one in ids] == [dense.index(one) for one in dense]
    assert list(dict.fromkeys(dense)) == list(range(len(set(ids))))


@given(st.lists(st.integers(1, 60), min_size=4, max_size=4), st.data())
def test_fitting_and_selecting_keep_the_contract(tokens: list[int], data: st.DataObject) -> None:
    prompts = np.array(tokens, np.int32)
    fitted = fit_prefix_hashes(make_hashes(), prompts)
    assert np.array_equal(np.diff(fitted.offsets), -(-prompts // 10))
    assert fitted.num_ids == len(set(fitted.ids.tolist()))
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=4, max_size=4)))
    selected = select_prefix_hashes(fitted, keep)
    assert np.array_equal(np.diff(selected.offsets), np.diff(fitted.offsets)[keep])
    assert selected.num_ids == len(set(selected.ids.tolist()))


def test_summary_by_hand() -> None:
    trace = make_trace(started_at=datetime(2026, 1, 1, tzinfo=UTC), notes=("a note",))
    summary = summarize(trace, bin_s=4.0)
    assert summary.requests_per_s == (0.5, 0.25, 0.25)
    assert summary.tokens_per_s == ((11 + 22) / 4, 33 / 4, 44 / 4)
    assert summary.prompt_tokens.mean == 25.0
    assert summary.prompt_tokens.p50 == 25.0
    assert summary.output_tokens.p99 == pytest.approx(3.97)
    assert summary.rate_per_s == pytest.approx(0.3)
    assert summary.started_at == "2026-01-01T00:00:00+00:00"
    assert (summary.span_s, summary.digest) == (10.0, trace.digest)
    assert not summary.has_prefix_hashes
    assert summary.notes == ("a note",)


@given(st.lists(st.floats(0, 1e7), min_size=0, max_size=50))
def test_bins_hold_every_request(gaps: list[float]) -> None:
    arrival_s = np.concatenate(([0.0], np.cumsum(gaps)))
    ones = np.ones(arrival_s.size, np.int32)
    summary = summarize(Trace(arrival_s, ones, ones, "x"))
    assert sum(summary.requests_per_s) * summary.bin_s == pytest.approx(arrival_s.size)
    assert 1 <= len(summary.requests_per_s) <= 120
    if summary.span_s >= 0.001:
        assert len(summary.requests_per_s) * summary.bin_s == pytest.approx(summary.span_s)


@pytest.mark.parametrize("bin_s", [0.0, -1.0, 1e-9, float("nan")])
def test_bins_are_bounded(bin_s: float) -> None:
    with pytest.raises(ValueError, match="do not suit"):
        summarize(make_trace(), bin_s)
