"""Traces and fits changed on purpose: time shifted and warped, bursts, regimes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.provenance import Provenance
from optiinfra.twin.workload import (
    CONVERSATION_LENGTHS,
    Bursts,
    LoadBurst,
    PrefixFit,
    RateCurve,
    RegimeChange,
    TimeWarp,
    WorkloadFit,
    change_regime,
    inject_burst,
    scale_lengths,
    scale_rate,
    shift_time,
    warp_time,
)
from optiinfra.twin.workload.change_list import ChangeList, change_fit, change_trace
from optiinfra.twin.workload.fit_transforms import (
    change_fit_regime,
    inject_fit_burst,
    scale_fit_lengths,
    scale_fit_rate,
    shift_fit_time,
    warp_fit_time,
)
from optiinfra.twin.workload.prefixes import append_prefix_hashes, take_prefix_hashes

WARP = TimeWarp(np.array([0.0, 4.0, 10.0]), np.array([0.0, 8.0, 10.0]))


def make_trace() -> Trace:
    ids = [0, 0, 1, 0, 1, 2, 0, 3, 4, 5]
    return Trace(
        arrival_s=np.array([0.0, 1.0, 4.0, 10.0]),
        prompt_tokens=np.array([10, 20, 30, 40], np.int32),
        output_tokens=np.array([1, 2, 3, 4], np.int32),
        source="made",
        prefix_hashes=PrefixHashes(np.array([0, 1, 3, 6, 10]), np.array(ids, np.int32), 10),
        notes=("first",),
    )


def make_fit() -> WorkloadFit:
    sharing = PrefixFit(16, (2, 3, 9), (0.5,) * 3, ((0.5,) * 21,) * 3, (1.0,) * 21)
    rate = RateCurve(np.array([0.0, 50.0, 100.0]), np.array([10.0, 30.0, 10.0]), 100.0)
    provenance = Provenance("made", "digest", 1, 1.0)
    return WorkloadFit(rate, Bursts(), CONVERSATION_LENGTHS, sharing, provenance)


def test_shifted_time_goes_around_the_end() -> None:
    shifted = shift_time(make_trace(), 3.0)
    # 0, 1, 4, 10 become 3, 4, 7, 3 (the last meets the first), and the first of them is 0 again
    assert shifted.arrival_s.tolist() == [0.0, 0.0, 1.0, 4.0]
    assert shifted.prompt_tokens.tolist() == [10, 40, 20, 30]
    assert shifted.prefix_hashes is not None
    assert shifted.prefix_hashes.ids.tolist() == [0, 0, 1, 2, 3, 0, 4, 0, 4, 5]
    assert shifted.notes == ("first", "shifted by 3 s, around the end")
    assert shift_time(trace := make_trace(), 20.0) is trace


def test_warped_time_is_slower_here_and_faster_there() -> None:
    warped = warp_time(make_trace(), WARP)
    assert warped.arrival_s.tolist() == [0.0, 2.0, 8.0, 10.0]
    assert WARP.move([12.0]).tolist() == [12.0]
    assert warped.notes[-1] == "time warped: 0 s to 0 s, 4 s to 8 s, 10 s to 10 s"
    still = TimeWarp(WARP.from_s, WARP.from_s)
    assert warp_time(trace := make_trace(), still) is trace


def test_a_burst_adds_requests_like_those_of_its_time() -> None:
    rng = np.random.default_rng(1)
    burst = inject_burst(make_trace(), LoadBurst(0.5, 4.0, 3.0), rng)
    assert burst.num_requests == 4 + 2 * 2
    assert burst.is_synthetic
    inside = (burst.arrival_s >= 0.5) & (burst.arrival_s < 4.5)
    assert inside.sum() == 6
    assert set(burst.prompt_tokens[inside].tolist()) <= {20, 30}
    assert burst.prefix_hashes is not None
    assert np.diff(burst.prefix_hashes.offsets).tolist() == (burst.prompt_tokens // 10).tolist()
    assert burst.prefix_hashes.num_ids == 6 + int(burst.prompt_tokens.sum() - 100) // 10
    assert burst.notes[-1] == "burst: 3 times the requests for 4 s at 0.5 s"
    again = inject_burst(make_trace(), LoadBurst(0.5, 4.0, 3.0), np.random.default_rng(1))
    assert again.digest == burst.digest


def test_a_lull_takes_requests_away() -> None:
    lull = inject_burst(make_trace(), LoadBurst(0.5, 4.0, 0.0), np.random.default_rng(1))
    assert lull.prompt_tokens.tolist() == [10, 40]
    assert not lull.is_synthetic
    assert lull.arrival_s.tolist() == [0.0, 10.0]
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="no request comes"):
        inject_burst(make_trace(), LoadBurst(5.0, 4.0, 2.0), rng)
    with pytest.raises(ValueError, match="no request would be left"):
        inject_burst(make_trace(), LoadBurst(0.0, 40.0, 0.0), rng)


def test_a_regime_changes_what_comes_after() -> None:
    changed = change_regime(make_trace(), RegimeChange(2.0, 2.0, 0.5, 3.0))
    assert changed.arrival_s.tolist() == [0.0, 1.0, 3.0, 6.0]
    assert changed.prompt_tokens.tolist() == [10, 20, 15, 20]
    assert changed.output_tokens.tolist() == [1, 2, 9, 12]
    assert changed.prefix_hashes is not None
    assert np.diff(changed.prefix_hashes.offsets).tolist() == [1, 2, 2, 2]


@given(st.permutations(range(4)))
def test_taken_hashes_are_those_of_the_requests(order: list[int]) -> None:
    hashes = make_trace().prefix_hashes
    assert hashes is not None
    taken = take_prefix_hashes(hashes, np.array(order))
    back = take_prefix_hashes(taken, np.argsort(order))
    assert np.array_equal(back.offsets, hashes.offsets)
    assert np.array_equal(back.ids, hashes.ids)
    longer = append_prefix_hashes(hashes, np.array([15], np.int32))
    assert longer.ids[-2:].tolist() == [6, 7]


def test_a_fit_keeps_its_clock() -> None:
    fit = make_fit()
    assert scale_fit_rate(fit, 2.0).rate.compute_rate_per_s([50.0])[0] == 60.0
    assert scale_fit_rate(fit, 1.0) is fit
    shifted = shift_fit_time(fit, 25.0)
    assert shifted.rate.compute_rate_per_s([75.0, 50.0, 0.0]) == pytest.approx(
        [30, 20, 20], rel=1e-3
    )
    assert shifted.rate.num_requests_expected == pytest.approx(2000.0, rel=1e-3)
    assert shift_fit_time(fit, 200.0) is fit
    assert shifted.notes == ("shifted by 25 s, around the end",)


def test_a_warped_fit_has_the_same_requests() -> None:
    warp = TimeWarp(np.array([0.0, 50.0, 100.0]), np.array([0.0, 25.0, 125.0]))
    warped = warp_fit_time(make_fit(), warp).rate
    assert warped.span_s == 125.0
    assert warped.num_requests_expected == pytest.approx(2000.0)
    assert warped.compute_rate_per_s([12.5])[0] == pytest.approx(
        40.0, rel=0.01
    )  # 20 in half the time
    assert warped.compute_rate_per_s([75.0])[0] == pytest.approx(10.0, rel=0.01)


def test_bursts_and_regimes_of_a_fit_begin_sharply() -> None:
    burst = inject_fit_burst(make_fit(), LoadBurst(40.0, 20.0, 3.0)).rate
    assert burst.compute_rate_per_s([39.9, 40.0, 59.9, 60.1]) == pytest.approx(
        [26, 78, 78, 26], rel=0.01
    )
    assert burst.num_requests_expected == pytest.approx(2000 + 2 * 20 * 28, rel=1e-3)
    changed = change_fit_regime(make_fit(), RegimeChange(50.0, 2.0, 2.0, 0.5))
    assert changed.rate.num_requests_expected == pytest.approx(3000.0, rel=1e-3)
    trace = changed.make_stream(seed=1).to_trace()
    before, after = trace.arrival_s < 49, trace.arrival_s > 51
    assert trace.prompt_tokens[after].mean() > 1.5 * trace.prompt_tokens[before].mean()
    assert trace.output_tokens[after].mean() < 0.7 * trace.output_tokens[before].mean()
    assert trace.notes[-1].startswith("regime from 50 s on")
    for late in (LoadBurst(100.0, 1.0, 2.0),):
        with pytest.raises(ValueError, match="after the end"):
            inject_fit_burst(make_fit(), late)


def test_longer_lengths_of_a_fit_keep_its_classes_apart() -> None:
    fit = scale_fit_lengths(make_fit(), 0.3)
    assert fit.prefixes is not None
    assert fit.prefixes.upper_blocks == (1, 2, 3)
    means = [f.lengths.table[1].mean() for f in (fit, make_fit())]
    assert means[0] == pytest.approx(0.3 * means[1], rel=0.01)
    assert scale_fit_lengths(fit, 1.0) is fit


def test_several_changes_are_made_in_one_order() -> None:
    changes = ChangeList(
        rate_factor=2.0,
        length_factor=2.0,
        shift_s=1.0,
        warp=TimeWarp(np.array([0.0, 2.0]), np.array([0.0, 3.0])),
        bursts=(LoadBurst(0.0, 3.0, 2.0),),
        regimes=(RegimeChange(4.0, 2.0),),
    )
    rng = np.random.default_rng(1)
    assert changes.warp is not None
    wanted = scale_lengths(scale_rate(make_trace(), 2.0), 2.0)
    wanted = warp_time(shift_time(wanted, 1.0), changes.warp)
    wanted = change_regime(inject_burst(wanted, changes.bursts[0], rng), changes.regimes[0])
    changed = change_trace(make_trace(), changes, np.random.default_rng(1))
    assert (changed.digest, changed.notes) == (wanted.digest, wanted.notes)
    fit = change_fit(make_fit(), changes)
    assert [note.split()[0] for note in fit.notes] == [
        "rate", "prompts", "shifted", "time", "burst:", "regime",
    ]  # fmt: skip
    assert change_trace(trace := make_trace(), ChangeList(), rng) is trace
    assert change_fit(fit, ChangeList()) is fit


@pytest.mark.parametrize(
    "make",
    [
        lambda: LoadBurst(-1.0, 1.0, 1.0),
        lambda: LoadBurst(0.0, 0.0, 1.0),
        lambda: LoadBurst(0.0, 1.0, float("nan")),
        lambda: RegimeChange(float("inf")),
        lambda: RegimeChange(0.0, 0.0),
        lambda: TimeWarp(np.array([0.0, 1.0]), np.array([0.0, 0.0])),
        lambda: TimeWarp(np.array([1.0, 2.0]), np.array([0.0, 1.0])),
        lambda: TimeWarp(np.array([0.0, 2.0]), np.array([0.0])),
        lambda: TimeWarp(np.zeros(0), np.zeros(0)),
        lambda: shift_time(make_trace(), float("nan")),
        lambda: shift_fit_time(make_fit(), float("inf")),
        lambda: scale_fit_rate(make_fit(), 0.0),
        lambda: replace(make_fit().rate, span_s=-1.0),
    ],
)
def test_impossible_changes(make: object) -> None:
    with pytest.raises(ValueError, match=r"positive|rise|shifted|instant"):
        make()  # type: ignore[operator]
