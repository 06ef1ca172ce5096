"""The week rebuilt from points of four days: by hand, and from the real points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.azure_week import read_azure_week
from optiinfra.twin.workload import PlottedRate, reconstruct_azure_week
from optiinfra.twin.workload.azure_week import LABEL

DAY_S = 86_400.0


def make_plot(
    levels_per_s: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0), range_: float = 0.0
) -> PlottedRate:
    """A point an hour, a level a day."""
    at_s = np.linspace(1800.0, 4 * DAY_S - 1800.0, 96)
    middle = np.repeat(np.array(levels_per_s, np.float64), 24)
    half = np.full(96, range_ / 2)
    return PlottedRate(at_s, middle - half, middle + half)


def test_missing_days_are_like_monday() -> None:
    week = reconstruct_azure_week({"one": make_plot()}, num_requests=None)
    noon_s = (np.arange(7) + 0.5) * DAY_S
    assert week.rate.compute_rate_per_s(noon_s).tolist() == [1, 2, 3, 4, 4, 4, 4]
    assert week.rate.span_s == 7 * DAY_S
    assert "Monday times 1.000" in week.provenance.notes[1]


def test_the_total_is_met_by_the_missing_days() -> None:
    week = reconstruct_azure_week({"one": make_plot()}, num_requests=(10 + 3 * 6) * DAY_S)
    noon_s = [(day + 0.5) * DAY_S for day in (4, 5, 6)]
    assert week.rate.compute_rate_per_s(noon_s) == pytest.approx(6.0, rel=0.01)
    assert week.rate.num_requests_expected == pytest.approx(28 * DAY_S, rel=0.005)
    assert week.rate.compute_rate_per_s([3.5 * DAY_S]) == 4.0
    with pytest.raises(ValueError, match="measured days alone"):
        reconstruct_azure_week({"one": make_plot()}, num_requests=9 * DAY_S)


def test_services_add_up_and_waver_apart() -> None:
    both = {"one": make_plot(range_=0.8), "two": make_plot(range_=0.8)}
    week = reconstruct_azure_week(both, num_requests=None)
    alone = reconstruct_azure_week({"one": both["one"]}, num_requests=None)
    assert week.rate.rate_per_s_mean == pytest.approx(2 * alone.rate.rate_per_s_mean)
    assert week.bursts.variance_ratio[0] == pytest.approx(alone.bursts.variance_ratio[0] / 2)
    other = PlottedRate(*(column[1:] for column in vars(make_plot()).values()))
    with pytest.raises(ValueError, match="same points"):
        reconstruct_azure_week({"one": make_plot(), "two": other})


def test_the_noise_gives_the_plotted_ranges_back() -> None:
    week = reconstruct_azure_week({"one": make_plot((2.0,) * 4, range_=0.8)}, num_requests=None)
    arrival_s = week.make_stream(seed=1).to_trace().arrival_s
    minutes = np.bincount((arrival_s / 60).astype(int))[: 7 * (len(arrival_s) // (7 * 120) - 1)]
    sevens = minutes[: minutes.size // 7 * 7].reshape(-1, 7) / 60
    assert np.ptp(sevens, axis=1).mean() == pytest.approx(0.8, rel=0.05)


@pytest.mark.real_data
def test_the_real_points(real_data_dir: Path) -> None:
    plots = read_azure_week(real_data_dir / "azure_llm_2024_week" / "requests_per_minute.csv")
    assert list(plots) == ["conv", "code"]
    week = reconstruct_azure_week(plots)
    assert week.rate.num_requests_expected == pytest.approx(44.1e6, rel=1e-4)
    assert "Monday times 0.932" in week.provenance.notes[1]
    assert all(LABEL in note for note in week.provenance.notes[:2])
    stream = week.make_stream(seed=1, span_s=7 * DAY_S, num_requests=100_000)
    trace = stream.to_trace()
    assert trace.is_synthetic
    assert "reconstructed" in trace.source
    assert "reconstructed" in trace.notes[0]
    by_day = np.histogram(trace.arrival_s, 7, (0, stream.span_s))[0]
    assert by_day[0] < by_day[1] < by_day[3]
