"""Prediction beside measurement: does the twin know this fleet well enough to advise?"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from optiinfra.domain.analysis import CalibrationState, Interval, MeasuredComparison, Truth
from optiinfra.twin.service import compute_latencies, summarize_service
from optiinfra.twin.uncertainty import (
    COVERAGE_RATIO,
    HIGH_LEVEL,
    LOW_LEVEL,
    METHOD,
    compute_step_ratio,
)
from optiinfra.twin.workload import scale_rate

if TYPE_CHECKING:
    from optiinfra.domain.fleet import Deployment
    from optiinfra.domain.measurement import Measurement
    from optiinfra.twin.stand import Stand

UNCALIBRATED = Truth(state=CalibrationState.UNCALIBRATED)
# Network, HTTP and tokenising lie outside the engine and are not simulated; the twin is held to
# max(15 %, 50 ms) on TTFT, so a measurement may lie that much later.
FRONT_END_S = 0.050
RATE_TOLERANCE = 0.05  # beyond it the trace is replayed at the rate of the measurement


def compare(stand: Stand, deployment: Deployment, measurement: Measurement | None) -> Truth:
    """Today's configuration, simulated, beside what was measured; the range is over step times.

    The state is DISAGREES when any figure lies outside its interval, UNCALIBRATED when there is no
    measurement or it has no figure to compare. A quantile known only by its histogram's bucket is
    inside where any of the bucket is.
    """
    if measurement is None:
        return UNCALIBRATED
    rate = measurement.rate_per_s
    if rate is not None and not 0 < rate < float("inf"):
        rate = None  # no stream of requests was measured
    traced = stand.trace.rate_per_s
    if _is_other_rate(rate, traced):
        stand = stand.with_trace(scale_rate(stand.trace, rate / traced))
    predicted = _predict(stand, deployment, is_tpot_per_token=measurement.is_tpot_per_token)
    ends = [
        _predict(
            stand.with_step_ratio(compute_step_ratio(level)),
            deployment,
            is_tpot_per_token=measurement.is_tpot_per_token,
        )
        for level in (LOW_LEVEL, HIGH_LEVEL)
    ]
    comparisons: list[MeasuredComparison] = []
    for metric, value in predicted.items():
        measured = getattr(measurement, metric)
        if measured is None or value is None:
            continue
        range_ = [v for v in (value, *(end[metric] for end in ends)) if v is not None]
        allowance = FRONT_END_S if metric.startswith(("ttft", "e2e")) else 0.0
        interval = Interval(min(range_), max(range_) + allowance, COVERAGE_RATIO, METHOD)
        low, high = measurement.bucket_edges.get(metric, (measured, measured))
        comparisons.append(
            MeasuredComparison(
                metric=metric,
                predicted=value,
                measured=measured,
                interval=interval,
                is_inside=interval.low <= high and low <= interval.high,
                source=measurement.source,
            )
        )
    if not comparisons:
        return UNCALIBRATED
    if all(c.is_inside for c in comparisons):
        return Truth(CalibrationState.CHECKED, tuple(comparisons), notes=measurement.notes)
    return Truth(
        CalibrationState.DISAGREES,
        tuple(comparisons),
        likely_causes=_list_causes(comparisons, rate, traced),
        notes=measurement.notes,
    )


def _predict(
    stand: Stand, deployment: Deployment, *, is_tpot_per_token: bool
) -> dict[str, float | None]:
    """The figures of a Measurement that the twin predicts; None where no request has one."""
    gpu, arguments = deployment.gpu, deployment.arguments
    simulation = stand.simulate(gpu, arguments, deployment.num_replicas)
    plan = stand.plan_memory(gpu, arguments)
    service = summarize_service(stand.trace, simulation, stand.slo, plan, arguments)
    tpot = {
        "tpot_s_mean": service.tpot_s.mean,
        "tpot_s_p50": service.tpot_s.p50,
        "tpot_s_p95": service.tpot_s.p95,
    }
    if is_tpot_per_token:
        _, tpot_s, has_tpot = compute_latencies(stand.trace, simulation)
        gaps = stand.trace.output_tokens[has_tpot] - 1
        mean = float(np.average(tpot_s, weights=gaps)) if gaps.size else None
        tpot = {"tpot_s_mean": mean}
    return {
        "ttft_s_mean": service.ttft_s.mean,
        "ttft_s_p50": service.ttft_s.p50,
        "ttft_s_p95": service.ttft_s.p95,
        **tpot,
        "e2e_s_mean": service.e2e_s.mean,
        # A gauge is averaged over all time, the simulation's mean is over busy time.
        "kv_cache_usage_ratio_mean": service.kv_cache_usage_ratio_mean * service.busy_ratio,
    }


def _list_causes(
    comparisons: list[MeasuredComparison], rate: float | None, traced: float
) -> tuple[str, ...]:
    """What usually explains the direction of each difference, most specific first."""
    outside = {c.metric: c for c in comparisons if not c.is_inside}
    slow = {name.split("_")[0] for name, c in outside.items() if c.measured > c.interval.high}
    fast = {name.split("_")[0] for name, c in outside.items() if c.measured < c.interval.low}
    causes: list[str] = []
    if "tpot" in slow:
        causes.append(
            "Tokens come slower than predicted: the GPU may be shared, power-capped or a slower "
            "edition, the engine may run eagerly (--enforce-eager) or another version, or an "
            "argument in the fleet file is not the one in force."
        )
    if "tpot" in fast:
        causes.append(
            "Tokens come faster than predicted: speculative decoding (not simulated), quantised "
            "weights that the fleet file does not name, or a faster edition of the GPU."
        )
    if "ttft" in slow and "tpot" not in slow:
        causes.append(
            "First tokens come later while the rest comes as predicted: fewer replicas may have "
            "served than the fleet file says, requests wait before the engine (gateway, uneven "
            "routing), or they arrive in bursts that the trace does not have."
        )
    if "ttft" in fast and "tpot" not in fast:
        causes.append(
            "First tokens come earlier than predicted: prefixes may be cached for which the trace "
            "has no hashes, or the measurement was taken under less load."
        )
    if "kv" in slow:
        causes.append(
            "More KV cache is in use than predicted: a smaller KV cache (gpu_memory_utilization, "
            "other processes on the GPU), longer requests, or cached prefixes counted as used."
        )
    if "kv" in fast:
        causes.append(
            "Less KV cache is in use than predicted: shorter requests than the trace has, shared "
            "prefixes, or fewer requests at once."
        )
    if "e2e" in slow and not slow & {"tpot", "ttft"}:
        causes.append(
            "Whole answers take longer while their tokens come as predicted: the measured answers "
            "may be longer than those of the trace, or wait behind the engine on their way out."
        )
    if "e2e" in fast and not fast & {"tpot", "ttft"}:
        causes.append(
            "Whole answers take less time while their tokens come as predicted: the measured "
            "answers may be shorter than those of the trace."
        )
    return (*causes, *_list_rate_causes(rate, traced))


def _list_rate_causes(rate: float | None, traced: float) -> tuple[str, ...]:
    """What the rate of the measurement has to do with it."""
    if rate is None and traced < float("inf"):
        return (
            (
                "The measurement does not say at which rate it was taken; the trace's "
                f"{traced:.2f} requests/s were assumed."
            ),
        )
    if _is_other_rate(rate, traced):
        return (
            (
                f"The measurement was taken at {rate:.2f} requests/s, the trace has {traced:.2f}; "
                "the trace was replayed at the measured rate, its shape and lengths may still "
                "differ."
            ),
        )
    return ()


def _is_other_rate(rate: float | None, traced: float) -> TypeGuard[float]:
    """Whether the trace has to be replayed; requests that came all at once have no rate."""
    return rate is not None and traced < float("inf") and abs(rate / traced - 1) > RATE_TOLERANCE
