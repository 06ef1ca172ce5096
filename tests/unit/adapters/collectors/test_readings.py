"""Rates, means and quantiles between two pages, and what is left out of a page and why."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.adapters.collectors.readings import START_NS, list_values, read_pages

from optiinfra.adapters.collectors.catalogue import RuleKind, list_rules
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.quantiles import compute_quantiles
from optiinfra.adapters.prometheus_series import find_quantile
from optiinfra.domain.samples import SampleKind

COUNTER = "vllm:generation_tokens_total %s"
HISTOGRAM = """\
vllm:time_to_first_token_seconds_bucket{le="0.1"} %d
vllm:time_to_first_token_seconds_bucket{le="0.5"} %d
vllm:time_to_first_token_seconds_bucket{le="+Inf"} %d
vllm:time_to_first_token_seconds_count %d
vllm:time_to_first_token_seconds_sum %f
"""


def test_a_counter_gives_its_value_and_after_two_pages_a_rate() -> None:
    first, second = read_pages(COUNTER % 100, COUNTER % 400)
    assert list_values(first.batch) == {"output_tokens_total": 100}
    assert list_values(second.batch) == {"output_tokens_total": 400, "output_tokens_per_s": 20}
    kinds = {series.metric: series.kind for series in second.batch.series}
    assert kinds["output_tokens_total"] == SampleKind.COUNTER
    assert kinds["output_tokens_per_s"] == SampleKind.DERIVED


def test_a_counter_that_falls_began_again_from_zero() -> None:
    reading = read_pages(COUNTER % 1000, COUNTER % 30)[1]
    assert list_values(reading.batch)["output_tokens_per_s"] == 2
    assert reading.problems == {ReadingProblem.COUNTER_RESET: 1}


def test_a_restart_is_seen_though_the_counter_is_higher() -> None:
    pages = [
        f"process_start_time_seconds {start}\n{COUNTER % value}"
        for start, value in ((10, 5), (90, 30))
    ]
    reading = read_pages(*pages)[1]
    assert list_values(reading.batch)["output_tokens_per_s"] == 2
    assert reading.problems[ReadingProblem.COUNTER_RESET] == 1


def test_no_rate_over_a_gap() -> None:
    reading = read_pages(COUNTER % 100, COUNTER % 400, step_ns=301 * 10**9)[1]
    assert list_values(reading.batch) == {"output_tokens_total": 400}


def test_a_series_that_was_away_for_a_page_has_a_rate_over_the_longer_time() -> None:
    reading = read_pages(COUNTER % 100, "up 1", COUNTER % 400)[2]
    assert list_values(reading.batch)["output_tokens_per_s"] == 10


def test_a_histogram_gives_mean_and_quantiles_with_the_bounds_of_their_bucket() -> None:
    first, second = read_pages(HISTOGRAM % (1, 1, 1, 1, 9), HISTOGRAM % (5, 101, 101, 101, 19))
    assert list_values(first.batch) == {"ttft_s_count_total": 1, "ttft_s_sum_total": 9}
    values = list_values(second.batch)
    assert values["ttft_s_mean"] == pytest.approx(0.1)
    assert values["ttft_s_p50"] == pytest.approx(0.1 + 0.4 * (50 - 4) / 96)
    assert (values["ttft_s_p50_low"], values["ttft_s_p50_high"]) == (0.1, 0.5)
    assert values["ttft_s_p99"] == pytest.approx(0.1 + 0.4 * (99 - 4) / 96)


def test_above_the_last_edge_only_the_lower_bound_is_known() -> None:
    pages = (HISTOGRAM % (0, 0, 0, 0, 0), HISTOGRAM % (0, 1, 10, 10, 90))
    values = list_values(read_pages(*pages)[1].batch)
    assert values["ttft_s_p99_low"] == 0.5
    assert "ttft_s_p99" not in values
    assert "ttft_s_p99_high" not in values


def test_no_observation_no_quantile() -> None:
    page = HISTOGRAM % (1, 2, 3, 3, 1)
    assert set(list_values(read_pages(page, page)[1].batch)) == {
        "ttft_s_count_total",
        "ttft_s_sum_total",
    }


def test_a_histogram_that_restarted_counts_whole() -> None:
    # the first bucket grew although the process began again: all of it is new
    reading = read_pages(HISTOGRAM % (5, 90, 100, 100, 50), HISTOGRAM % (8, 9, 10, 10, 1))[1]
    values = list_values(reading.batch)
    assert values["ttft_s_mean"] == pytest.approx(0.1)
    assert values["ttft_s_p50"] == pytest.approx(0.1 * 5 / 8)


def test_a_bucket_that_decreases_gives_no_quantile_and_is_counted() -> None:
    reading = read_pages(HISTOGRAM % (0, 0, 0, 0, 0), HISTOGRAM % (5, 3, 10, 10, 2))[1]
    assert reading.problems == {ReadingProblem.BUCKET_DECREASES: 1}
    assert set(list_values(reading.batch)) == {
        "ttft_s_count_total", "ttft_s_sum_total", "ttft_s_mean",
    }  # fmt: skip


def test_buckets_without_the_last_one_give_no_quantile_and_are_counted() -> None:
    page = "\n".join(line for line in HISTOGRAM.split("\n") if "+Inf" not in line)
    reading = read_pages(page % (0, 0, 0, 0), page % (1, 2, 4, 2))[1]
    assert reading.problems == {ReadingProblem.BUCKETS_INCOMPLETE: 1}
    assert list_values(reading.batch)["ttft_s_mean"] == 0.5


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_not_finite_is_left_out_and_counted(value: str) -> None:
    page = f"vllm:num_requests_running {value}\n{COUNTER % 5}"
    (reading,) = read_pages(page)
    assert list_values(reading.batch) == {"output_tokens_total": 5}
    assert reading.problems == {ReadingProblem.NOT_FINITE: 1}


def test_a_negative_counter_is_left_out_and_counted() -> None:
    (reading,) = read_pages(COUNTER % -5)
    assert list_values(reading.batch) == {}
    assert reading.problems == {ReadingProblem.COUNTER_NEGATIVE: 1}


def test_a_series_named_twice_counts_once() -> None:
    (reading,) = read_pages("vllm:num_requests_running 1\nvllm:num_requests_running 2")
    assert list_values(reading.batch) == {"num_requests_running": 1}
    assert reading.problems == {ReadingProblem.DUPLICATE_SERIES: 1}


def test_timestamps_ahead_and_old_are_left_out_and_others_kept() -> None:
    now_ms = START_NS // 10**6
    year_ms = 365 * 86_400_000
    page = f"""\
vllm:num_requests_running 1 {now_ms + year_ms}
vllm:num_requests_waiting 2 {now_ms - year_ms}
vllm:kv_cache_usage_perc 0.5 {now_ms - 1000}
sglang:token_usage 0.5 NaN
"""
    (reading,) = read_pages(page)
    assert list_values(reading.batch) == {"kv_cache_usage_ratio": 0.5}
    assert reading.problems == {
        ReadingProblem.TIMESTAMP_AHEAD: 2,
        ReadingProblem.TIMESTAMP_OLD: 1,
    }
    assert START_NS - 10**9 in reading.batch.timestamp_ns


def test_a_page_that_repeats_its_own_instant_gives_no_rate() -> None:
    page = f"{COUNTER % 100} {START_NS // 10**6}"
    readings = read_pages(page, page, page)
    assert "output_tokens_per_s" not in list_values(readings[2].batch)


def test_a_page_that_comes_late_is_not_the_one_before() -> None:
    now_ms = START_NS // 10**6
    rows = ((100, 0), (400, 30_000), (250, 15_000), (700, 45_000))
    pages = [f"{COUNTER % value} {now_ms + later_ms}" for value, later_ms in rows]
    assert list_values(read_pages(*pages)[3].batch)["output_tokens_per_s"] == 20


def test_an_unknown_source_is_up_and_says_so() -> None:
    (reading,) = read_pages("my_metric 1")
    assert list_values(reading.batch) == {}
    assert reading.batch.series[reading.batch.series_index[0]].metric == "up"
    assert reading.problems == {ReadingProblem.UNKNOWN_SOURCE: 1}


VALUES = ("0", "1", "-1", "NaN", "+Inf", "-Inf", "1e308", "-1e308", "1e-320", "5", "7.5", "1e18")
EDGES = ("0.1", "0.5", "1", "+Inf", "inf", "NaN", "abc", "", "-1", "1.0", "1e400")
TIMES = ("", "", "", " 1700000000000", " 1700000015000", " NaN", " 99999999999999", " -1")


def make_wild_page(rng: random.Random, names: list[str]) -> str:
    lines = []
    for name in (name for name in names for _ in range(rng.randint(0, 8))):
        labels, suffix = [], ""
        if list_rules()[name].kind == RuleKind.HISTOGRAM:
            suffix = rng.choice(("_bucket", "_bucket", "_bucket", "_sum", "_count"))
            labels += [f'le="{rng.choice(EDGES)}"'] if suffix == "_bucket" else []
        labels += [f'gpu="{rng.randint(0, 1)}"'] if rng.random() < 0.5 else []
        labels += ['mode="idle"'] if rng.random() < 0.3 else []
        text = ",".join(labels)
        lines.append(f"{name}{suffix}{{{text}}} {rng.choice(VALUES)}{rng.choice(TIMES)}")
    lines += [f"process_start_time_seconds {rng.choice(VALUES)}"] if rng.random() < 0.3 else []
    return "\n".join(lines)


def test_no_page_that_can_be_read_breaks_the_reader() -> None:
    for seed in range(150):
        rng = random.Random(seed)
        names = rng.sample(sorted(list_rules()), 6)
        for reading in read_pages(*(make_wild_page(rng, names) for _ in range(4))):
            assert len(reading.batch) >= 1  # `up`; a batch holds finite values only


COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=8)


@given(COUNTS, st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_agree_with_those_of_a_single_histogram(counts: list[int], ratio: float) -> None:
    edges = np.append(np.arange(1, len(counts)) / 4, math.inf)
    found = compute_quantiles(edges, np.cumsum(counts, dtype=np.float64)[None, :], ratio)
    expected = find_quantile(edges, np.array(counts, np.float64), ratio)
    if expected is None:
        assert math.isnan(found.value[0])
    else:
        assert found.value[0] == pytest.approx(expected.value)
        assert (found.low[0], found.high[0]) == (expected.low, expected.high)
