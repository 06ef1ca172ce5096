"""Prediction beside measurement: agreement, each way to disagree, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.factories.fleet import make_conversation, make_deployment, make_stand, make_trace

from optiinfra.domain.analysis import CalibrationState, Truth
from optiinfra.domain.measurement import Measurement
from optiinfra.twin.service import compute_latencies
from optiinfra.twin.stand import Stand
from optiinfra.twin.truth import FRONT_END_S, UNCALIBRATED, compare
from optiinfra.twin.uncertainty import (
    LEVELS,
    STEP_RATIO_QUANTILES,
    compute_step_ratio,
    compute_step_ratio_share,
)
from optiinfra.twin.workload import scale_rate

DEPLOYMENT = make_deployment()
STAND = make_stand(make_conversation(20.0))
RATE = STAND.trace.rate_per_s
SERVICE = STAND.serve(DEPLOYMENT.gpu, DEPLOYMENT.arguments, DEPLOYMENT.num_replicas)
AGREEING = Measurement(
    source="bench.json",
    ttft_s_mean=SERVICE.ttft_s.mean,
    ttft_s_p50=SERVICE.ttft_s.p50,
    ttft_s_p95=SERVICE.ttft_s.p95,
    tpot_s_mean=SERVICE.tpot_s.mean,
    tpot_s_p50=SERVICE.tpot_s.p50,
    tpot_s_p95=SERVICE.tpot_s.p95,
    e2e_s_mean=SERVICE.e2e_s.mean,
    kv_cache_usage_ratio_mean=SERVICE.kv_cache_usage_ratio_mean * SERVICE.busy_ratio,
    rate_per_s=RATE,
)


def compare_with(**changes: float | None) -> Truth:
    return compare(STAND, DEPLOYMENT, replace(AGREEING, **changes))  # type: ignore[arg-type]


def test_nothing_measured_is_uncalibrated() -> None:
    assert compare(STAND, DEPLOYMENT, None) == UNCALIBRATED
    empty = Measurement(source="bench.json", rate_per_s=RATE)
    assert compare(STAND, DEPLOYMENT, empty) == UNCALIBRATED
    only_p99 = Measurement(source="bench.json", ttft_s_p99=1.0)
    assert compare(STAND, DEPLOYMENT, only_p99) == UNCALIBRATED


def test_what_was_predicted_is_inside() -> None:
    truth = compare(STAND, DEPLOYMENT, AGREEING)
    assert truth.state is CalibrationState.CHECKED
    assert truth.likely_causes == ()
    metrics = [c.metric for c in truth.comparisons]
    assert len(metrics) == len(set(metrics)) == 8
    for comparison in truth.comparisons:
        assert comparison.is_inside
        assert comparison.source == "bench.json"
        assert comparison.measured == pytest.approx(comparison.predicted)
        assert comparison.interval.low <= comparison.predicted <= comparison.interval.high
        assert comparison.interval.coverage_ratio == 0.9


def test_the_interval_is_over_slow_and_fast_steps_and_what_lies_before_the_engine() -> None:
    truth = compare(STAND, DEPLOYMENT, AGREEING)
    intervals = {c.metric: c.interval for c in truth.comparisons}
    gpu, arguments, count = DEPLOYMENT.gpu, DEPLOYMENT.arguments, DEPLOYMENT.num_replicas
    fast, slow = (
        STAND.with_step_ratio(compute_step_ratio(level)).serve(gpu, arguments, count)
        for level in (0.05, 0.95)
    )
    assert intervals["tpot_s_mean"].low == pytest.approx(fast.tpot_s.mean)
    assert intervals["tpot_s_mean"].high == pytest.approx(slow.tpot_s.mean)
    assert slow.ttft_s.p95 is not None
    assert intervals["ttft_s_p95"].low == pytest.approx(fast.ttft_s.p95)
    assert intervals["ttft_s_p95"].high == pytest.approx(slow.ttft_s.p95 + FRONT_END_S)


def test_a_quantile_from_a_histogram_agrees_where_its_bucket_does() -> None:
    """All between 10 and 25 ms, say; the interpolated middle of the bucket is not a measurement."""
    assert SERVICE.tpot_s.p50 is not None
    truly = SERVICE.tpot_s.p50
    edges = {"tpot_s_p50": (0.8 * truly, 6.0 * truly)}
    measured = replace(AGREEING, tpot_s_p50=3.4 * truly)
    assert compare(STAND, DEPLOYMENT, measured).state is CalibrationState.DISAGREES
    coarse = replace(measured, bucket_edges=edges)
    assert compare(STAND, DEPLOYMENT, coarse).state is CalibrationState.CHECKED
    beyond = replace(measured, bucket_edges={"tpot_s_p50": (3.0 * truly, 6.0 * truly)})
    truth = compare(STAND, DEPLOYMENT, beyond)
    assert truth.state is CalibrationState.DISAGREES
    assert truth.likely_causes[0].startswith("Tokens come slower")


@pytest.mark.parametrize(
    ("metric", "factor", "words"),
    [
        ("tpot_s_mean", 3.0, "Tokens come slower than predicted"),
        ("tpot_s_p95", 0.2, "Tokens come faster than predicted"),
        ("ttft_s_mean", 20.0, "First tokens come later"),
        ("ttft_s_p50", 0.05, "First tokens come earlier"),
        ("kv_cache_usage_ratio_mean", 20.0, "More KV cache is in use"),
        ("kv_cache_usage_ratio_mean", 0.05, "Less KV cache is in use"),
        ("e2e_s_mean", 20.0, "Whole answers take longer"),
        ("e2e_s_mean", 0.05, "Whole answers take less time"),
    ],
)
def test_a_figure_outside_disagrees_and_names_a_cause(
    metric: str, factor: float, words: str
) -> None:
    truth = compare_with(**{metric: getattr(AGREEING, metric) * factor})
    assert truth.state is CalibrationState.DISAGREES
    assert [c.metric for c in truth.comparisons if not c.is_inside] == [metric]
    assert len(truth.likely_causes) == 1
    assert truth.likely_causes[0].startswith(words)


def test_slow_tokens_explain_late_first_tokens() -> None:
    slow = {name: getattr(AGREEING, name) * 20 for name in ("tpot_s_mean", "ttft_s_mean")}
    causes = compare_with(**slow).likely_causes
    assert len(causes) == 1
    assert causes[0].startswith("Tokens come slower")


def test_the_trace_is_replayed_at_the_measured_rate() -> None:
    """Measured at 60 requests/s on a trace of 20: compared at 60, and said so when it disagrees."""
    busy = STAND.with_trace(scale_rate(STAND.trace, 3.0))
    served = busy.serve(DEPLOYMENT.gpu, DEPLOYMENT.arguments, DEPLOYMENT.num_replicas)
    assert served.tpot_s.mean is not None
    measured = Measurement(source="m", tpot_s_mean=served.tpot_s.mean, rate_per_s=3.0 * RATE)
    truth = compare(STAND, DEPLOYMENT, measured)
    assert truth.state is CalibrationState.CHECKED
    assert truth.comparisons[0].predicted == pytest.approx(served.tpot_s.mean)
    off = replace(measured, tpot_s_mean=served.tpot_s.mean * 5)
    causes = compare(STAND, DEPLOYMENT, off).likely_causes
    assert f"taken at {3 * RATE:.2f} requests/s, the trace has {RATE:.2f}" in causes[-1]
    assert "replayed at the measured rate" in causes[-1]
    # Within 5 % the trace is taken as it is.
    near = replace(measured, rate_per_s=1.04 * RATE)
    predicted = compare(STAND, DEPLOYMENT, near).comparisons[0].predicted
    assert predicted == pytest.approx(SERVICE.tpot_s.mean)


def test_a_measurement_without_a_rate_says_what_was_assumed() -> None:
    causes = compare_with(rate_per_s=None, tpot_s_mean=1.0).likely_causes
    assert causes[-1].startswith("The measurement does not say at which rate it was taken")


def test_requests_that_came_all_at_once_are_not_said_to_be_replayed() -> None:
    stand: Stand = make_stand(make_trace([0.0, 0.0]))
    measured = Measurement(source="m", tpot_s_mean=9.0, rate_per_s=2.0)
    truth = compare(stand, DEPLOYMENT, measured)
    assert truth.state is CalibrationState.DISAGREES
    text = " ".join(truth.likely_causes)
    assert "replayed" not in text
    assert "inf" not in text


def test_a_measurement_at_no_rate_is_compared_as_traced() -> None:
    assert compare_with(rate_per_s=0.0).state is CalibrationState.CHECKED


def test_tpot_per_token_weighs_long_answers_more() -> None:
    trace = make_trace([0.0, 0.0, 100.0], [100, 4_000, 100], [50, 50, 2_000])
    stand = make_stand(trace)
    deployment = make_deployment(num_replicas=1)
    simulation = stand.simulate(deployment.gpu, deployment.arguments, 1)
    _, tpot_s, _ = compute_latencies(trace, simulation)
    weighed = float((tpot_s * [49, 49, 1_999]).sum()) / (49 + 49 + 1_999)
    assert abs(weighed / tpot_s.mean() - 1) > 0.05
    measured = Measurement(source="m", tpot_s_mean=weighed, tpot_s_p50=9.0, is_tpot_per_token=True)
    truth = compare(stand, deployment, measured)
    assert truth.state is CalibrationState.CHECKED
    assert [c.metric for c in truth.comparisons] == ["tpot_s_mean"]  # its quantiles are unknown
    assert truth.comparisons[0].predicted == pytest.approx(weighed)


def test_one_token_answers_have_no_tpot_to_compare() -> None:
    stand = make_stand(make_trace(output_tokens=1))
    for is_per_token in (False, True):
        measured = Measurement(source="m", tpot_s_mean=1.0, is_tpot_per_token=is_per_token)
        assert compare(stand, DEPLOYMENT, measured) == UNCALIBRATED


def test_the_table_of_errors_is_a_distribution() -> None:
    assert list(STEP_RATIO_QUANTILES) == sorted(set(STEP_RATIO_QUANTILES))
    assert compute_step_ratio(0.5) == STEP_RATIO_QUANTILES[10]
    assert compute_step_ratio_share(0.1) == 0.0
    assert compute_step_ratio_share(9.0) == 1.0
    for level in LEVELS:
        assert compute_step_ratio_share(compute_step_ratio(level)) == pytest.approx(level)
