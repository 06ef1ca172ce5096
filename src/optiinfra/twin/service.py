"""What users get, from what the simulator returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.analysis import Distribution, Histogram, Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.fleet import SLOTarget
    from optiinfra.domain.trace import Trace
    from optiinfra.twin.memory import MemoryPlan
    from optiinfra.twin.replicas import Simulation

NUM_BINS = 60


def summarize_values(values: NDArray[np.float64]) -> Distribution:
    """Mean and percentiles of a figure; all None when there is none."""
    if values.size == 0:
        return Distribution(None, None, None, None)
    p50, p95, p99 = (float(v) for v in np.percentile(values, (50, 95, 99)))
    return Distribution(float(values.mean()), p50, p95, p99)


def compute_latencies(
    trace: Trace, simulation: Simulation
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """TTFT of every request, TPOT of those with more than one output token, and which those are.

    Shapes float64[n], float64[m], bool[n] with m true entries; seconds.
    """
    ttft_s = simulation.first_token_s - trace.arrival_s
    has_tpot = trace.output_tokens > 1
    decode_s = (simulation.finished_s - simulation.first_token_s)[has_tpot]
    return ttft_s, decode_s / (trace.output_tokens[has_tpot] - 1), has_tpot


def compute_attainment(trace: Trace, simulation: Simulation, slo: SLOTarget) -> float:
    """Share of requests that met both objectives; one output token counts for TTFT only."""
    ttft_s, tpot_s, has_tpot = compute_latencies(trace, simulation)
    return _compute_joint_attainment(ttft_s <= slo.ttft_s, tpot_s <= slo.tpot_s, has_tpot)


def _compute_joint_attainment(
    is_ttft_met: NDArray[np.bool_], is_tpot_met: NDArray[np.bool_], has_tpot: NDArray[np.bool_]
) -> float:
    is_met = is_ttft_met.copy()
    is_met[has_tpot] &= is_tpot_met
    return float(is_met.mean())


def summarize_service(
    trace: Trace,
    simulation: Simulation,
    slo: SLOTarget,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    has_histograms: bool = False,
) -> Service:
    """Distributions, attainment, goodput and occupancy of one simulation.

    Occupancies are means over the time a rank has work. Goodput is attainment times the rate of
    arrivals, so that all met means all that came; where all come at once, and for tokens, the time
    runs to the last completion.
    """
    from optiinfra.twin import engine_state as engine

    ttft_s, tpot_s, has_tpot = compute_latencies(trace, simulation)
    is_ttft_met = ttft_s <= slo.ttft_s
    is_tpot_met = tpot_s <= slo.tpot_s
    attainment = _compute_joint_attainment(is_ttft_met, is_tpot_met, has_tpot)
    stats = simulation.stats
    busy_s = float(stats[:, engine.STAT_BUSY_S].sum())
    span_s = float(simulation.finished_s.max())
    num_running_mean = float(stats[:, engine.STAT_RUNNING_S].sum()) / busy_s
    kv_tokens_mean = float(stats[:, engine.STAT_KV_TOKEN_S].sum()) / busy_s
    return Service(
        num_requests=trace.num_requests,
        ttft_s=summarize_values(ttft_s),
        tpot_s=summarize_values(tpot_s),
        e2e_s=summarize_values(simulation.finished_s - trace.arrival_s),
        queue_s=summarize_values(simulation.first_scheduled_s - trace.arrival_s),
        ttft_attainment_ratio=float(is_ttft_met.mean()),
        tpot_attainment_ratio=float(is_tpot_met.mean()) if tpot_s.size else 1.0,
        slo_attainment_ratio=attainment,
        goodput_per_s=attainment
        * (trace.rate_per_s if trace.span_s > 0 else trace.num_requests / span_s),
        output_tokens_per_s=float(trace.output_tokens.sum(dtype=np.int64)) / span_s,
        kv_cache_usage_ratio_mean=kv_tokens_mean / plan.kv_capacity_tokens,
        kv_cache_usage_ratio_max=float(stats[:, engine.STAT_BLOCKS_MAX].max()) / plan.num_kv_blocks,
        num_running_mean=num_running_mean,
        num_running_max=int(stats[:, engine.STAT_RUNNING_MAX].max()),
        batch_occupancy_ratio_mean=num_running_mean / arguments.max_num_seqs,
        busy_ratio=busy_s / (span_s * stats.shape[0]),
        num_preemptions=int(stats[:, engine.STAT_PREEMPTIONS].sum()),
        is_unstable=simulation.is_unstable,
        ttft_s_histogram=_compute_histogram(ttft_s) if has_histograms else None,
        tpot_s_histogram=_compute_histogram(tpot_s) if has_histograms else None,
    )


def _compute_histogram(values: NDArray[np.float64]) -> Histogram | None:
    """Shares in bins of equal width on a logarithmic axis; None when there is nothing to count."""
    positive = values[values > 0]
    if positive.size == 0:
        return None
    low, high = float(positive.min()), float(positive.max())
    edges = np.geomspace(low, max(high, low * 1.001) * 1.0001, NUM_BINS + 1)
    counts, _ = np.histogram(positive, edges)
    return Histogram(
        edges=tuple(float(e) for e in edges),
        shares_ratio=tuple(float(c) for c in counts / values.size),
    )
