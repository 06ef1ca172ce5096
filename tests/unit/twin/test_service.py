"""What users get, from instants worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.factories.fleet import (
    make_arguments,
    make_conversation,
    make_gpu,
    make_slo,
    make_stand,
    make_trace,
)

from optiinfra.domain.analysis import Distribution, Histogram, Service
from optiinfra.domain.fleet import SLOTarget
from optiinfra.domain.trace import Trace
from optiinfra.twin import engine_state as engine
from optiinfra.twin.memory import MemoryPlan
from optiinfra.twin.replicas import Simulation
from optiinfra.twin.service import (
    compute_attainment,
    compute_latencies,
    summarize_service,
    summarize_values,
)

# Four requests. TTFT: 0.5, 2.0, 0.5, 2.0; TPOT: 0.1, 0.1, 0.4 and none.
TRACE = make_trace([0.0, 1.0, 2.0, 3.0], 100, [11, 11, 11, 1])
FIRST_TOKEN_S = np.array([0.5, 3.0, 2.5, 5.0])
FINISHED_S = np.array([1.5, 4.0, 6.5, 5.0])
SLO = make_slo(ttft_s=1.0, tpot_s=0.2)


def make_simulation() -> Simulation:
    stats = np.zeros((2, engine.NUM_STATS))
    stats[0, engine.STAT_BUSY_S] = 4.0
    stats[1, engine.STAT_BUSY_S] = 2.0
    stats[:, engine.STAT_RUNNING_S] = [8.0, 5.0]
    stats[:, engine.STAT_KV_TOKEN_S] = [650.0, 650.0]
    stats[:, engine.STAT_RUNNING_MAX] = [3, 2]
    stats[:, engine.STAT_BLOCKS_MAX] = [40, 60]
    stats[:, engine.STAT_PREEMPTIONS] = [1, 2]
    return Simulation(
        first_scheduled_s=TRACE.arrival_s + 0.25,
        first_token_s=FIRST_TOKEN_S,
        finished_s=FINISHED_S,
        preemptions=np.array([1, 2, 0, 0], np.int32),
        stats=stats,
    )


def summarize(trace: Trace, simulation: Simulation, slo: SLOTarget) -> Service:
    plan = MemoryPlan(0.0, 0.0, 1.0, num_kv_blocks=100, block_size=10)
    arguments = make_arguments(max_num_seqs=4)
    return summarize_service(trace, simulation, slo, plan, arguments, has_histograms=True)


def test_latencies() -> None:
    ttft_s, tpot_s, has_tpot = compute_latencies(TRACE, make_simulation())
    np.testing.assert_allclose(ttft_s, [0.5, 2.0, 0.5, 2.0])
    np.testing.assert_allclose(tpot_s, [0.1, 0.1, 0.4])
    assert has_tpot.tolist() == [True, True, True, False]


def test_attainment_is_joint_and_a_one_token_answer_counts_for_ttft_alone() -> None:
    service = summarize(TRACE, make_simulation(), SLO)
    assert service.ttft_attainment_ratio == 0.5
    assert service.tpot_attainment_ratio == pytest.approx(2 / 3)
    assert service.slo_attainment_ratio == 0.25  # only the first meets both
    assert compute_attainment(TRACE, make_simulation(), SLO) == 0.25
    patient = make_slo(ttft_s=2.0, tpot_s=0.2)
    assert compute_attainment(TRACE, make_simulation(), patient) == 0.75  # now the last as well


def test_a_threshold_that_is_met_exactly_is_met() -> None:
    trace = make_trace([0.0], 100, [3])
    one = Simulation(
        np.zeros(1), np.array([0.5]), np.array([1.0]), np.zeros(1, np.int32), np.zeros((1, 11))
    )
    assert compute_attainment(trace, one, make_slo(ttft_s=0.5, tpot_s=0.25)) == 1.0
    assert compute_attainment(trace, one, make_slo(ttft_s=0.4999, tpot_s=0.25)) == 0.0
    assert compute_attainment(trace, one, make_slo(ttft_s=0.5, tpot_s=0.2499)) == 0.0


def test_rates_and_occupancies() -> None:
    service = summarize(TRACE, make_simulation(), SLO)
    assert service.goodput_per_s == pytest.approx(0.25 * TRACE.rate_per_s)
    assert service.output_tokens_per_s == pytest.approx(34 / 6.5)
    assert service.num_running_mean == pytest.approx(13.0 / 6.0)
    assert service.num_running_max == 3
    assert service.batch_occupancy_ratio_mean == pytest.approx(13.0 / 6.0 / 4)
    assert service.kv_cache_usage_ratio_mean == pytest.approx(1300.0 / 6.0 / 1000)
    assert service.kv_cache_usage_ratio_max == 0.6
    assert service.busy_ratio == pytest.approx(6.0 / (2 * 6.5))
    assert service.num_preemptions == 3
    assert service.queue_s == Distribution(0.25, 0.25, 0.25, 0.25)
    assert service.e2e_s.mean == pytest.approx((1.5 + 3.0 + 4.5 + 2.0) / 4)


def test_distributions() -> None:
    values = np.arange(101, dtype=np.float64)
    assert summarize_values(values) == Distribution(50.0, 50.0, 95.0, 99.0)
    assert summarize_values(np.array([])) == Distribution(None, None, None, None)


def test_only_one_token_answers_have_no_tpot() -> None:
    trace = make_trace(output_tokens=1)
    service = make_stand(trace).serve(make_gpu(), make_arguments(), 1, has_histograms=True)
    assert service.tpot_s == Distribution(None, None, None, None)
    assert service.tpot_s_histogram is None
    assert service.tpot_attainment_ratio == 1.0
    assert service.slo_attainment_ratio == service.ttft_attainment_ratio == 1.0


def assert_whole(histogram: Histogram | None) -> None:
    assert histogram is not None
    assert len(histogram.edges) == len(histogram.shares_ratio) + 1
    assert sum(histogram.shares_ratio) == pytest.approx(1.0, abs=1e-12)
    assert list(histogram.edges) == sorted(set(histogram.edges))


def test_histograms_hold_every_request() -> None:
    service = make_stand(make_conversation(20.0)).serve(
        make_gpu(), make_arguments(), 1, has_histograms=True
    )
    assert_whole(service.ttft_s_histogram)
    assert_whole(service.tpot_s_histogram)
    equal = summarize(TRACE, make_simulation(), SLO)
    assert_whole(equal.ttft_s_histogram)


def test_a_histogram_of_equal_values_has_one_bin_of_all() -> None:
    trace = make_trace([0.0, 10.0])
    service = make_stand(trace).serve(make_gpu(), make_arguments(), 2, has_histograms=True)
    histogram = service.ttft_s_histogram
    assert_whole(histogram)
    assert histogram is not None
    assert max(histogram.shares_ratio) == 1.0


def test_goodput_is_the_rate_of_arrivals_when_all_is_met() -> None:
    patient = make_slo(ttft_s=1e6, tpot_s=1e6)
    service = summarize(TRACE, make_simulation(), patient)
    assert service.goodput_per_s == pytest.approx(TRACE.rate_per_s)
