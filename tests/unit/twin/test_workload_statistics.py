"""Statistics of traces by hand, and of streams against what they were made of."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.workload import (
    CONVERSATION_LENGTHS,
    RateCurve,
    RequestStream,
    make_constant_rate,
    measure_workload,
)
from optiinfra.twin.workload.dispersion import compute_allan_fading, measure_dispersion
from optiinfra.twin.workload.prefix_statistics import find_shared_prefixes, measure_prefixes

DAY_S = 86_400.0


def make_trace(arrival_s: list[float], **changes: object) -> Trace:
    ones = np.ones(len(arrival_s), np.int32)
    columns: dict[str, object] = {
        "arrival_s": np.array(arrival_s),
        "prompt_tokens": ones,
        "output_tokens": ones,
        "source": "made",
    }
    return Trace(**(columns | changes))  # type: ignore[arg-type]


def make_hashes(*lists: list[int]) -> PrefixHashes:
    offsets = np.cumsum([0, *map(len, lists)])
    return PrefixHashes(offsets, np.array([i for ids in lists for i in ids], np.int32), 16)


def test_dispersion_by_hand() -> None:
    counts = [2, 0, 3, 1, 2, 2, 0, 2]
    arrival_s = np.array([0.1 + k for k, count in enumerate(counts) for _ in range(count)] + [8.0])
    found = measure_dispersion(arrival_s, 1.0)
    assert found is not None
    assert found.num_windows == 8
    assert found.index_of_dispersion == pytest.approx(np.var(counts, ddof=1) / 1.5)
    steps = np.diff(counts)
    assert found.allan_factor == pytest.approx((steps @ steps) / 7 / 2 / 1.5)
    assert measure_dispersion(arrival_s, 1.01) is None


def test_allan_fading_has_its_limits() -> None:
    short, long = compute_allan_fading(np.array([1e-3, 1e3]))
    assert short == pytest.approx(2e-3 / 3, rel=0.01)  # 2x/3: neighbours hardly differ
    assert long == pytest.approx(2e-3, rel=0.01)  # 2/x: windows are independent


def test_shared_prefixes_by_hand() -> None:
    hashes = make_hashes([0, 1, 2], [0, 1, 3], [4], [0, 1, 3, 5], [4], [])
    shared = find_shared_prefixes(hashes, np.array([0.0, 1, 2, 5, 9, 10]))
    assert shared.num_blocks.tolist() == [3, 3, 1, 4, 1, 0]
    assert shared.num_shared.tolist() == [0, 2, 0, 3, 1, 0]
    assert shared.lag_s[[1, 3, 4]].tolist() == [1.0, 4.0, 7.0]
    assert np.isnan(shared.lag_s[[0, 2, 5]]).all()


def test_prefix_statistics_by_hand() -> None:
    hashes = make_hashes([0, 1, 2], [0, 1, 3], [4], [0, 1, 3, 5], [4])
    found = measure_prefixes(make_trace([0.0, 1, 2, 5, 9], prefix_hashes=hashes))
    assert found is not None
    assert (found.block_tokens, found.num_different_blocks) == (16, 6)
    assert found.block_hit_ratio == 6 / 12
    assert found.request_hit_ratio == 3 / 5
    assert found.single_use_ratio == 2 / 6
    assert found.lag_s_quantiles is not None
    assert found.lag_s_quantiles[1] == 4.0
    assert measure_prefixes(make_trace([0.0, 1.0])) is None
    alone = measure_prefixes(make_trace([0.0, 1.0], prefix_hashes=make_hashes([0], [1])))
    assert alone is not None
    assert (alone.request_hit_ratio, alone.lag_s_quantiles) == (0.0, None)


def test_lengths_and_their_dependence_by_hand() -> None:
    trace = make_trace(
        [0.0, 1.0, 3.0, 4.0],
        prompt_tokens=np.array([10, 20, 20, 40], np.int32),
        output_tokens=np.array([9, 5, 7, 1], np.int32),
    )
    found = measure_workload(trace)
    assert found.prompt_tokens.mean == 22.5
    assert found.prompt_tokens.quantiles[2] == 20.0
    assert found.output_tokens.longest == 9
    # ranks 1, 2.5, 2.5, 4 and 4, 2, 3, 1
    assert found.rank_correlation == pytest.approx(-4.5 / np.sqrt(4.5 * 5))
    assert found.output_mean_by_prompt == (9.0, 5.0, 7.0, 1.0)
    assert found.gap_cv == pytest.approx(np.std([1, 2, 1]) / (4 / 3))
    assert (found.hourly_ratio, found.daily_ratio, found.prefixes) == (None, None, None)


def test_days_and_hours_show_the_curve() -> None:
    hours = np.arange(24)
    by_hour = 1 + 0.5 * np.sin(2 * np.pi * hours / 24)
    knots = np.concatenate([(hours + 0.5) * 3600 + day * DAY_S for day in range(3)])
    rate = RateCurve(knots, np.tile(by_hour, 3) * np.repeat([1.0, 2.0, 1.5], 24), 3 * DAY_S)
    stream = RequestStream(rate, CONVERSATION_LENGTHS, 1, "made")
    trace = stream.to_trace()
    found = measure_workload(trace)
    assert found.hourly_ratio == pytest.approx(by_hour, abs=0.1)
    assert found.daily_ratio is None or len(found.daily_ratio) == 2  # the last day is not whole
    at_six = make_trace(
        trace.arrival_s.tolist(), started_at=datetime(2026, 1, 1, 6, 30, tzinfo=UTC)
    )
    assert measure_workload(at_six).hourly_ratio == pytest.approx(np.roll(by_hour, 6), abs=0.1)


def test_small_traces_have_what_they_can_have() -> None:
    found = measure_workload(make_trace([0.0]))
    assert (found.gap_cv, found.dispersion, found.rank_correlation) == (None, (), None)
    assert measure_workload(make_trace([0.0, 0.0, 0.0])).gap_cv is None


def test_a_plain_stream_is_poisson_at_every_window() -> None:
    stream = RequestStream(make_constant_rate(50.0, 1000.0), CONVERSATION_LENGTHS, 2, "made")
    found = measure_workload(stream.to_trace())
    assert found.gap_cv == pytest.approx(1.0, abs=0.02)
    assert [round(at.window_s, 3) for at in found.dispersion] == [0.1, 1.0, 10.0, 60.0]
    for at in found.dispersion[:3]:
        assert at.index_of_dispersion == pytest.approx(1.0, abs=0.35)
        assert at.allan_factor == pytest.approx(1.0, abs=0.35)
