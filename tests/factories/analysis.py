"""Test data: Analysis values that look like real answers. Every figure here is made up."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.analysis import (
    Analysis,
    Axis,
    CalibrationState,
    Candidate,
    Configuration,
    DeploymentAnalysis,
    Distribution,
    Effect,
    Evidence,
    FlagChange,
    Histogram,
    Interval,
    MeasuredComparison,
    Recommendation,
    RecommendationKind,
    Sensitivity,
    Service,
    SustainableRate,
    TraceSummary,
    Truth,
    Verdict,
)
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.fleet import SLOTarget
from optiinfra.domain.prices import Offer

SLO = SLOTarget(ttft_s=1.0, tpot_s=0.05, attainment_ratio=0.99)
RATE_PER_S = 5.53
NUM_REQUESTS = 2_000
# Made-up GPUs: price per hour, relative speed.
GPUS = {"H100-SXM": ("2.49", 1.0), "A100-SXM-80GB": ("1.79", 0.55), "L40S": ("0.86", 0.25)}
MODEL_CHANGE = (FlagChange("replicas", "4", "3"), FlagChange("--max-num-seqs", "1024", "256"))
INVERSE_CHANGE = (FlagChange("replicas", "3", "4"), FlagChange("--max-num-seqs", "256", "1024"))


def make_arguments(*, max_num_seqs: int = 1024, tensor_parallel_size: int = 1) -> EngineArguments:
    return EngineArguments(
        engine=Engine.VLLM,
        version="0.11.0",
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=8192,
        gpu_memory_utilization=0.9,
        tensor_parallel_size=tensor_parallel_size,
        assumed=("max_num_batched_tokens", "gpu_memory_utilization"),
    )


def make_offer(gpu: str = "H100-SXM") -> Offer:
    return Offer(
        gpu=gpu,
        cloud="examplecloud",
        instance_type=f"gpu-{gpu.lower()}-1x",
        num_gpus=1,
        list_cost_usd_per_h=Decimal(GPUS[gpu][0]),
        as_of=date(2025, 3, 1),
        source="price book of 2025-03-01",
    )


def make_configuration(
    gpu: str = "H100-SXM",
    *,
    num_replicas: int = 4,
    max_num_seqs: int = 1024,
    tensor_parallel_size: int = 1,
    has_price: bool = True,
) -> Configuration:
    arguments = make_arguments(max_num_seqs=max_num_seqs, tensor_parallel_size=tensor_parallel_size)
    offer = make_offer(gpu) if has_price else None
    cost = (
        None if offer is None else offer.list_cost_usd_per_h * num_replicas * tensor_parallel_size
    )
    return Configuration(
        gpu=gpu, num_replicas=num_replicas, arguments=arguments, offer=offer,
        list_cost_usd_per_h=cost,
    )  # fmt: skip


def _make_distribution(sample: NDArray[np.float64]) -> Distribution:
    p50, p95, p99 = (float(np.quantile(sample, q)) for q in (0.5, 0.95, 0.99))
    return Distribution(mean=float(sample.mean()), p50=p50, p95=p95, p99=p99)


def _make_histogram(sample: NDArray[np.float64], *, low: float, high: float) -> Histogram:
    edges = np.geomspace(low, high, 49)
    counts, _ = np.histogram(np.clip(sample, low, high * 0.999), bins=edges)
    shares = counts / counts.sum()
    return Histogram(edges=tuple(map(float, edges)), shares_ratio=tuple(map(float, shares)))


def make_service(utilisation: float, *, max_num_seqs: int = 1024, seed: int = 7) -> Service:
    """A service whose latencies grow with `utilisation` (load over capacity)."""
    rng = np.random.default_rng(seed)
    crowding = 1 / max(0.03, 1 - min(utilisation, 0.97))
    queue = rng.exponential(0.012 * crowding**1.6, NUM_REQUESTS)
    ttft = queue + rng.lognormal(math.log(0.085 * (1 + 0.6 * utilisation)), 0.55, NUM_REQUESTS)
    tpot = rng.lognormal(math.log(0.011 + 0.012 * utilisation * crowding**0.25), 0.16, NUM_REQUESTS)
    e2e = ttft + tpot * rng.lognormal(math.log(150), 0.7, NUM_REQUESTS)
    meets_ttft, meets_tpot = ttft <= SLO.ttft_s, tpot <= SLO.tpot_s
    attainment = float((meets_ttft & meets_tpot).mean())
    running = min(float(max_num_seqs), 6 + 40 * utilisation * crowding**0.4)
    kv_ratio = min(1.0, 0.08 + 0.4 * utilisation)
    return Service(
        num_requests=19_366,
        ttft_s=_make_distribution(ttft),
        tpot_s=_make_distribution(tpot),
        e2e_s=_make_distribution(e2e),
        queue_s=_make_distribution(queue),
        ttft_attainment_ratio=float(meets_ttft.mean()),
        tpot_attainment_ratio=float(meets_tpot.mean()),
        slo_attainment_ratio=attainment,
        goodput_per_s=RATE_PER_S * attainment,
        output_tokens_per_s=RATE_PER_S * 211,
        kv_cache_usage_ratio_mean=kv_ratio,
        kv_cache_usage_ratio_max=min(1.0, 2.1 * kv_ratio),
        num_running_mean=running,
        num_running_max=math.ceil(3 * running),
        batch_occupancy_ratio_mean=min(1.0, running / max_num_seqs),
        busy_ratio=min(1.0, 0.4 + 0.6 * utilisation),
        num_preemptions=0,
        ttft_s_histogram=_make_histogram(ttft, low=0.02, high=6.0),
        tpot_s_histogram=_make_histogram(tpot, low=0.008, high=0.2),
    )


def make_candidate(
    gpu: str = "H100-SXM",
    *,
    num_replicas: int = 4,
    max_num_seqs: int = 1024,
    tensor_parallel_size: int = 1,
    has_price: bool = True,
) -> Candidate:
    configuration = make_configuration(
        gpu, num_replicas=num_replicas, max_num_seqs=max_num_seqs,
        tensor_parallel_size=tensor_parallel_size, has_price=has_price,
    )  # fmt: skip
    batch_gain = 1.0 - 0.06 * abs(math.log2(max_num_seqs / 256))
    capacity = 3.6 * GPUS[gpu][1] * tensor_parallel_size**0.85 * batch_gain
    service = make_service(RATE_PER_S / capacity / num_replicas, max_num_seqs=max_num_seqs)
    one_lost = None
    if num_replicas > 1:
        one_lost = make_service(RATE_PER_S / capacity / (num_replicas - 1))
    verdict, reason = _judge(service, one_lost)
    key = f"{gpu} x{num_replicas} tp{tensor_parallel_size} seqs{max_num_seqs} tokens8192"
    return Candidate(
        key=key, configuration=configuration, verdict=verdict, reason=reason,
        service=service, service_one_lost=one_lost,
        break_even_usd_per_gpu_h=None if has_price else Decimal("3.32"),
    )  # fmt: skip


def _judge(service: Service, one_lost: Service | None) -> tuple[Verdict, str]:
    if service.slo_attainment_ratio < SLO.attainment_ratio:
        share = service.slo_attainment_ratio
        return Verdict.BREAKS_SLO, f"{share:.1%} of requests meet both objectives, 99 % promised"
    if one_lost is not None and one_lost.slo_attainment_ratio < SLO.attainment_ratio:
        share = one_lost.slo_attainment_ratio
        return Verdict.BREAKS_SLO_ONE_LOST, f"with one replica lost only {share:.1%} meet both"
    return Verdict.KEEPS_SLO, "keeps the SLO with one replica lost"


def _mark_front(candidates: list[Candidate]) -> list[Candidate]:
    def sort_key(candidate: Candidate) -> tuple[Decimal, float]:
        cost = candidate.configuration.list_cost_usd_per_h
        return (cost or Decimal(0), candidate.service.e2e_s.p95 or math.inf)

    best, marked = math.inf, []
    for candidate in sorted(candidates, key=sort_key):
        latency = candidate.service.e2e_s.p95 or math.inf
        is_on_front = candidate.verdict is Verdict.KEEPS_SLO and latency < best
        best = min(best, latency) if is_on_front else best
        marked.append(replace(candidate, is_on_front=is_on_front))
    return marked


@cache  # the values are frozen, and making them costs a third of a second
def make_candidates(*, has_price: bool = True) -> tuple[Candidate, ...]:
    """About a hundred candidates; the first in cost order that keeps the SLO is recommended."""
    candidates = [
        make_candidate(
            gpu, num_replicas=num_replicas, max_num_seqs=seqs, tensor_parallel_size=tp,
            has_price=has_price,
        )
        for gpu in GPUS
        for num_replicas in range(2, 10)
        for seqs in (128, 256, 1024)
        for tp in (1, 2)
    ]  # fmt: skip
    return tuple(
        replace(c, is_today=c.key == "H100-SXM x4 tp1 seqs1024 tokens8192")
        for c in _mark_front(candidates)
    )


def make_trace_summary(
    *, is_synthetic: bool = False, started_at: str | None = None
) -> TraceSummary:
    rng = np.random.default_rng(3)
    minutes = np.arange(58)
    rates = RATE_PER_S * (1 + 0.25 * np.sin(minutes / 9)) + rng.normal(0, 0.45, minutes.size)
    return TraceSummary(
        source="synthetic from Prometheus histograms" if is_synthetic else "requests.csv",
        digest="3f9a" * 16,
        is_synthetic=is_synthetic,
        num_requests=19_366,
        span_s=3_501.7,
        rate_per_s=RATE_PER_S,
        prompt_tokens=Distribution(1154.7, 1020.0, 3420.0, 4090.0),
        output_tokens=Distribution(211.1, 129.0, 580.0, 990.0),
        bin_s=60.0,
        requests_per_s=tuple(float(x) for x in rates),
        tokens_per_s=tuple(float(x) for x in rates * 1366 * rng.uniform(0.9, 1.1, minutes.size)),
        started_at=started_at,
        has_prefix_hashes=False,
        notes=("3 requests of 0 output tokens were left out",),
    )


def make_interval(low: float, high: float) -> Interval:
    return Interval(low, high, 0.9, "bootstrap over 60 s blocks and the twin's error")


def _make_effects(before: Service, after: Service) -> tuple[Effect, ...]:
    pairs = (
        ("ttft_s_p95", before.ttft_s.p95, after.ttft_s.p95),
        ("tpot_s_p95", before.tpot_s.p95, after.tpot_s.p95),
        ("e2e_s_p95", before.e2e_s.p95, after.e2e_s.p95),
        ("slo_attainment_ratio", before.slo_attainment_ratio, after.slo_attainment_ratio),
        ("kv_cache_usage_ratio_mean", before.kv_cache_usage_ratio_mean,
         after.kv_cache_usage_ratio_mean),
    )  # fmt: skip
    return tuple(
        Effect(m, b, a, make_interval(0.85 * a, min(1.0, 1.2 * a) if "ratio" in m else 1.2 * a))
        for m, b, a in pairs
        if b is not None and a is not None
    )


def _make_sensitivities(saving: Decimal | None) -> tuple[Sensitivity, ...]:
    rows = (
        (Axis.LOAD, 0.8, 1.0, 0.9991), (Axis.LOAD, 1.2, 0.9942, 0.9713),
        (Axis.PRICE, 0.8, None, None), (Axis.PRICE, 1.2, None, None),
        (Axis.LENGTHS, 0.8, 1.0, 0.9989), (Axis.LENGTHS, 1.2, 0.9968, 0.9911),
    )  # fmt: skip
    return tuple(
        Sensitivity(axis, factor, both, lost, saving, holds=lost is None or lost >= 0.99)
        for axis, factor, both, lost in rows
    )


def make_recommendation(
    before: Candidate,
    after: Candidate,
    *,
    deployment: str = "chat",
    kind: RecommendationKind = RecommendationKind.REDUCE_COST,
    digest: str = "d1ce" * 16,
) -> Recommendation:
    old, new = before.configuration, after.configuration
    saving = None
    if old.list_cost_usd_per_h is not None and new.list_cost_usd_per_h is not None:
        saving = old.list_cost_usd_per_h - new.list_cost_usd_per_h
    return Recommendation(
        kind=kind,
        title=f"Serve {deployment} with {new.num_replicas} replicas instead of {old.num_replicas}",
        deployment=deployment, before=before, after=after,
        change=MODEL_CHANGE, inverse=INVERSE_CHANGE,
        saving_usd_per_h=saving,
        saving_usd_per_h_interval=(
            None if saving is None else make_interval(float(saving) * 0.9, float(saving))
        ),
        saving_usd_per_month=None,
        saving_month_note="the trace covers 58 minutes; a month needs 7 days or a rate profile",
        relative_gpus_ratio=new.num_gpus / old.num_gpus,
        effects=_make_effects(before.service, after.service),
        confidence_ratio=0.83,
        confidence_method="share of bootstrap draws that keep the SLO with one replica lost",
        is_interpolated=False,
        observed_note="each replica would carry 33 % more load than it was observed under",
        sensitivities=_make_sensitivities(saving),
        risks=("With 20 % more load and one replica lost, the SLO breaks.",
               "The twin is uncalibrated on this fleet."),
        evidence=Evidence("3f9a" * 16, "77aa" * 16, "0.1.0", 0, digest),
    )  # fmt: skip


def make_truth(state: CalibrationState = CalibrationState.UNCALIBRATED) -> Truth:
    if state is CalibrationState.UNCALIBRATED:
        return Truth(state)
    is_inside = state is CalibrationState.CHECKED
    measured = 0.118 if is_inside else 0.41
    comparisons = (
        MeasuredComparison("ttft_s_mean", 0.112, measured, make_interval(0.08, 0.15), is_inside,
                           "bench.json (vllm bench serve)"),
        MeasuredComparison("tpot_s_mean", 0.0171, 0.0169, make_interval(0.015, 0.019),
                           is_inside=True, source="bench.json (vllm bench serve)"),
    )  # fmt: skip
    causes = () if is_inside else ("The engine may run with other flags than the fleet file says.",)
    return Truth(state, comparisons, causes)


def make_deployment(
    name: str = "chat",
    *,
    has_price: bool = True,
    truth: Truth | None = None,
    has_recommendation: bool = True,
    trace: TraceSummary | None = None,
) -> DeploymentAnalysis:
    candidates = make_candidates(has_price=has_price)
    today = next(c for c in candidates if c.is_today)
    after = next(c for c in candidates if c.key == "H100-SXM x3 tp1 seqs256 tokens8192")
    test_first = replace(
        candidates[0], key="L40S x3 tp1 fp8 weights", verdict=Verdict.NEEDS_QUALITY_TEST,
        reason="would halve the cost, but changes the precision of the weights",
        service=after.service, service_one_lost=after.service,
    )  # fmt: skip
    return DeploymentAnalysis(
        name=name,
        model="meta-llama/Llama-3.1-8B-Instruct",
        slo=SLO,
        trace=trace or make_trace_summary(started_at="2025-03-11T18:15:46+00:00"),
        today=today,
        cost_usd_per_million_output_tokens=2.37 if has_price else None,
        cost_usd_per_million_tokens=0.366 if has_price else None,
        sustainable=SustainableRate(all_replicas_per_s=11.8, one_lost_per_s=8.7),
        truth=truth or make_truth(),
        candidates=candidates,
        needs_quality_test=(test_first,),
        recommendations=(
            (make_recommendation(today, after, deployment=name),) if has_recommendation else ()
        ),
        no_recommendation_reason=(
            None if has_recommendation else "no candidate that keeps the SLO costs less than today"
        ),
        num_ruled_out=38,
        ruled_out_reasons=("24 do not fit in the GPU's memory", "14 are not sold in eu-west-1"),
        assumptions=("max_num_batched_tokens 8192: the default of vLLM 0.11.0 on an H100-SXM",
                     "gpu_memory_utilization 0.9: the default of vLLM 0.11.0"),
    )  # fmt: skip


def make_disagreeing_deployment(name: str = "search") -> DeploymentAnalysis:
    return make_deployment(
        name, truth=make_truth(CalibrationState.DISAGREES), has_recommendation=False
    )


def make_analysis(*deployments: DeploymentAnalysis, customer: str = "Example Corp") -> Analysis:
    """An analysis of `deployments`; one with a recommendation when none is given."""
    return Analysis(
        customer=customer,
        fleet_source="fleet.yaml",
        fleet_digest="77aa" * 16,
        twin_version="0.1.0",
        seed=0,
        price_notes=("Price book of 2025-03-01, 11 days old",),
        deployments=deployments or (make_deployment(),),
    )
