"""The main job on values: fleet, traces and measurements in, an Analysis out. No I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from optiinfra.agents.cost.policy import CostSnapshot, explain_none, plan
from optiinfra.domain.analysis import (
    Analysis,
    CalibrationState,
    Candidate,
    DeploymentAnalysis,
    SustainableRate,
    Verdict,
)
from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.errors import InputError, SLOInfeasibleError
from optiinfra.twin import TWIN_VERSION
from optiinfra.twin.replicas import DoesNotFitError
from optiinfra.twin.search import search
from optiinfra.twin.shapes import Shape, find_obstacle
from optiinfra.twin.stand import Stand, find_sustainable_rate
from optiinfra.twin.truth import compare
from optiinfra.twin.verdicts import judge_candidate
from optiinfra.twin.workload import scale_rate, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from optiinfra.domain.analysis import Recommendation, Service
    from optiinfra.domain.fleet import Deployment, Fleet
    from optiinfra.domain.measurement import Measurement
    from optiinfra.domain.trace import Trace
    from optiinfra.twin.halving import Mapper
    from optiinfra.twin.search import SearchResult
    from optiinfra.twin.shapes import RuledOut

MILLION = 1e6
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SCHEDULING_NOTES = {
    Engine.SGLANG: "SGLang is simulated with prefills before decodes and its ratio of reserved new "
    "tokens at its lowest",
    Engine.TGI: "TGI is simulated with prefills before decodes, its default waiting limits, and "
    "the KV blocks of a whole answer taken on admission",
}
ROUTING = "requests are dealt to the replicas in turn (round robin)"


class Progress(Protocol):
    """Called as work goes on: which phase, how much of it is done, out of how much."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of `total` in `phase`."""


def analyze(
    fleet: Fleet,
    traces: Mapping[str | None, Trace],
    measurements: Mapping[str, Measurement],
    *,
    seed: int,
    price_notes: tuple[str, ...] = (),
    mapper: Mapper = map,
    progress: Progress | None = None,
) -> Analysis:
    """Today, the candidates and the recommendations for each deployment.

    `traces` and `measurements` are keyed by deployment; a single trace under None serves a fleet of
    one deployment. Raises InputError for a trace that is missing or does not fit the fleet,
    SLOInfeasibleError where no candidate keeps the SLO. A disagreement between prediction and
    measurement is not raised: the deployment then has no recommendation.
    """
    matched = match_traces(fleet, traces)
    deployments = tuple(
        analyze_deployment(
            fleet,
            deployment,
            matched[deployment.name],
            measurements.get(deployment.name),
            seed=seed,
            mapper=mapper,
            progress=progress,
        )
        for deployment in fleet.deployments
    )
    return Analysis(
        customer=fleet.customer,
        fleet_source=fleet.source,
        fleet_digest=fleet.digest,
        twin_version=TWIN_VERSION,
        seed=seed,
        price_notes=price_notes,
        deployments=deployments,
    )


def match_traces(fleet: Fleet, traces: Mapping[str | None, Trace]) -> dict[str, Trace]:
    """The trace of each deployment. Raises InputError where one is missing or belongs to none."""
    names = [deployment.name for deployment in fleet.deployments]
    whole = traces.get(None)
    if whole is not None:
        if len(names) == 1:
            return {names[0]: whole}
        raise InputError(
            f"the trace does not say which of the deployments {', '.join(names)} a request is for.",
            remedy="Add a column `deployment` that holds their names.",
            file=whole.source,
            field="deployment",
        )
    unknown = sorted(str(name) for name in traces if name not in names)
    missing = sorted(name for name in names if name not in traces)
    if unknown or missing:
        source = next(iter(traces.values())).source
        parts = [f"names no deployment of the fleet: {', '.join(unknown)}"] if unknown else []
        parts += [f"has no requests for {', '.join(missing)}"] if missing else []
        raise InputError(
            f"the trace {' and '.join(parts)}.",
            remedy=f"The fleet {fleet.source} has the deployments {', '.join(names)}; give each "
            "its requests under its own name.",
            file=source,
            field="deployment",
        )
    return {name: traces[name] for name in names}


def analyze_deployment(
    fleet: Fleet,
    deployment: Deployment,
    trace: Trace,
    measurement: Measurement | None,
    *,
    seed: int,
    mapper: Mapper = map,
    progress: Progress | None = None,
) -> DeploymentAnalysis:
    """One deployment, step by step: today, truth, candidates, recommendations."""
    notify = progress or _ignore
    phase = f"{deployment.name}: "
    notify(phase + "today", 0, 1)
    stand = Stand(deployment.model, deployment.slo, trace)
    factor = get_design_factor(fleet)
    design = stand if factor == 1.0 else stand.with_trace(scale_rate(trace, factor))
    today = _judge_today(fleet, deployment, design)
    service = _serve_today(fleet, deployment, stand)
    truth = compare(stand, deployment, measurement)
    gpu, arguments, count = deployment.gpu, deployment.arguments, deployment.num_replicas
    sustainable = SustainableRate(
        all_replicas_per_s=find_sustainable_rate(stand, gpu, arguments, count),
        one_lost_per_s=find_sustainable_rate(stand, gpu, arguments, count - 1),
    )
    notify(phase + "today", 1, 1)
    result = search(
        deployment,
        fleet,
        design,
        mapper=mapper,
        on_progress=lambda done, total: notify(phase + "candidates", done, total),
    )
    if truth.state is not CalibrationState.DISAGREES:  # else the twin cannot say what is feasible
        _require_feasible(fleet, deployment, today, result)
    today = _relate_today(today, result.candidates)
    candidates = tuple(_add_break_even(c, today) for c in result.candidates)
    snapshot = CostSnapshot(
        fleet=fleet,
        deployment=deployment,
        stand=stand,
        design_stand=design,
        today=today,
        candidates=candidates,
        truth=truth,
        seed=seed,
    )
    notify(phase + "proof", 0, 1)
    recommendations = plan(snapshot)
    notify(phase + "proof", 1, 1)
    return _assemble(snapshot, result, service, sustainable, recommendations)


def _assemble(
    snapshot: CostSnapshot,
    result: SearchResult,
    service: tuple[Service, Service | None],
    sustainable: SustainableRate,
    recommendations: tuple[Recommendation, ...],
) -> DeploymentAnalysis:
    """Everything found about a deployment, for the reader; `service` is today's as traced."""
    fleet, deployment = snapshot.fleet, snapshot.deployment
    today, candidates, trace = snapshot.today, snapshot.candidates, snapshot.stand.trace
    output_per_s = service[0].output_tokens_per_s
    prompts_per_output = float(trace.prompt_tokens.sum()) / float(trace.output_tokens.sum())
    return DeploymentAnalysis(
        name=deployment.name,
        model=deployment.model.name,
        slo=deployment.slo,
        trace=summarize(trace),
        today=replace(today, service=service[0], service_one_lost=service[1]),
        cost_usd_per_million_output_tokens=_get_unit_cost(today, output_per_s),
        cost_usd_per_million_tokens=_get_unit_cost(today, output_per_s * (1 + prompts_per_output)),
        sustainable=sustainable,
        truth=snapshot.truth,
        candidates=(today, *(c for c in candidates if not _is_as_today(c, today))),
        needs_quality_test=_list_quality_tests(candidates, today),
        recommendations=recommendations,
        no_recommendation_reason=None if recommendations else explain_none(snapshot),
        num_ruled_out=len(result.ruled_out),
        ruled_out_reasons=_count_reasons(result.ruled_out),
        assumptions=_list_assumptions(fleet, deployment, trace, factor=get_design_factor(fleet)),
        dropped=result.dropped,
    )


def _count_reasons(ruled_out: tuple[RuledOut, ...]) -> tuple[str, ...]:
    """How many each reason ruled out, the most frequent first.

    Reasons that differ in a size alone count as one, with the largest size.
    """
    groups: dict[str, list[RuledOut]] = {}
    for entry in ruled_out:
        groups.setdefault(NUMBER.sub("#", entry.reason), []).append(entry)
    reasons = []
    for entries in sorted(groups.values(), key=len, reverse=True):
        sizes = [(tuple(map(float, NUMBER.findall(e.reason))), e.reason) for e in entries]
        names = sorted({entry.what.split()[0] for entry in entries})
        reasons.append(f"{len(entries)} on {', '.join(names)}: {max(sizes)[1]}")
    return tuple(reasons)


def get_design_factor(fleet: Fleet) -> float:
    """How much more load than traced the SLO must hold at: headroom times the profile's peak.

    A rate profile says how hours relate; the trace stands for its mean.
    """
    profile = fleet.rate_profile
    peak = max(profile) * len(profile) / sum(profile) if profile else 1.0
    return (1.0 + fleet.limits.headroom_ratio) * peak


def _judge_today(fleet: Fleet, deployment: Deployment, stand: Stand) -> Candidate:
    """Today's configuration as a candidate at the design load; InputError where it cannot run."""
    offers = () if deployment.offer is None else (deployment.offer,)
    shape = Shape(deployment.gpu, deployment.arguments, offers)
    full, lost = _serve_today(fleet, deployment, stand)
    return judge_candidate(
        shape, deployment.num_replicas, full, lost, deployment.slo, is_today=True
    )


def _serve_today(
    fleet: Fleet, deployment: Deployment, stand: Stand
) -> tuple[Service, Service | None]:
    """With all replicas and with one lost; InputError where model or requests do not fit."""
    gpu, arguments, count = deployment.gpu, deployment.arguments, deployment.num_replicas
    try:
        full = stand.serve(gpu, arguments, count, has_histograms=True)
        lost = stand.serve(gpu, arguments, count - 1, has_histograms=True) if count > 1 else None
    except DoesNotFitError as error:
        raise InputError(
            f"{deployment.model.name} on {gpu.name} cannot serve this trace: {error}.",
            remedy="Check gpu, tensor_parallel_size, quantization, max_model_len and "
            "gpu_memory_utilization against the command the engine was started with, and the "
            f"lengths in {stand.trace.source}.",
            file=fleet.source,
            field=f"deployments.{deployment.name}",
        ) from error
    return full, lost


def _relate_today(today: Candidate, candidates: tuple[Candidate, ...]) -> Candidate:
    """Today with its place on the front, and told apart from a candidate on another instance."""
    is_on_front = any(c.is_on_front and _is_as_today(c, today) for c in candidates)
    is_ambiguous = any(c.key == today.key and not _is_as_today(c, today) for c in candidates)
    key = f"{today.key} as today" if is_ambiguous else today.key
    return replace(today, key=key, is_on_front=is_on_front)


def _is_as_today(candidate: Candidate, today: Candidate) -> bool:
    """Whether nothing would change; with an unknown price, the instance is unknown as well."""
    offer = today.configuration.offer
    if offer is None:
        return candidate.key == today.key
    return candidate.configuration == today.configuration


def _require_feasible(
    fleet: Fleet, deployment: Deployment, today: Candidate, result: SearchResult
) -> None:
    """Raises SLOInfeasibleError, naming the nearest miss, when nothing keeps the SLO."""
    keepers = (Verdict.KEEPS_SLO,)
    if today.verdict in keepers or any(c.verdict in keepers for c in result.candidates):
        return
    tried = (today, *result.candidates)
    nearest = max(
        tried,
        key=lambda c: (
            c.service_one_lost.slo_attainment_ratio if c.service_one_lost else 0.0,
            c.service.slo_attainment_ratio,
        ),
    )
    slo = deployment.slo
    num_tried = len(result.candidates) + len(result.dropped)
    raise SLOInfeasibleError(
        f"none of {num_tried} candidates keeps TTFT {slo.ttft_s:g} s and TPOT {slo.tpot_s:g} s for "
        f"{slo.attainment_ratio:.1%} of the requests with one replica lost; "
        f"nearest: {nearest.key}, {nearest.reason}.",
        remedy="Loosen the SLO, raise limits.max_replicas, or allow other GPU types and clouds.",
        file=fleet.source,
        field=f"deployments.{deployment.name}.slo",
    )


def _add_break_even(candidate: Candidate, today: Candidate) -> Candidate:
    """Where a GPU has no price: the price of a GPU-hour at which it would cost what today does."""
    cost = today.configuration.list_cost_usd_per_h
    if candidate.configuration.list_cost_usd_per_h is not None or cost is None:
        return candidate
    price: Decimal = cost / candidate.configuration.num_gpus
    return replace(candidate, break_even_usd_per_gpu_h=round(price, 4))


def _list_quality_tests(
    candidates: tuple[Candidate, ...], today: Candidate
) -> tuple[Candidate, ...]:
    """Candidates that would cost less than today but change precision, cheapest of each GPU."""
    cost = today.configuration.list_cost_usd_per_h
    best: dict[tuple[str, str | None, str], Candidate] = {}
    for candidate in candidates:
        own = candidate.configuration.list_cost_usd_per_h
        if candidate.verdict is not Verdict.NEEDS_QUALITY_TEST:
            continue
        if own is None or cost is None or own >= cost:
            continue
        arguments = candidate.configuration.arguments
        key = (candidate.configuration.gpu, arguments.quantization, arguments.kv_cache_dtype)
        best.setdefault(key, candidate)  # candidates come sorted by cost
    return tuple(best.values())


def _get_unit_cost(today: Candidate, tokens_per_s: float) -> float | None:
    """USD per million tokens at the traced load; None without a price."""
    cost = today.configuration.list_cost_usd_per_h
    return None if cost is None else float(cost) / (tokens_per_s * 3600.0) * MILLION


def _list_assumptions(
    fleet: Fleet, deployment: Deployment, trace: Trace, *, factor: float
) -> tuple[str, ...]:
    """Everything that was taken as given, in sentences."""
    model = deployment.model
    notes = (f"{model.name}: {note}" for note in model.notes)
    lines = [*fleet.assumed, *deployment.assumed, *notes, ROUTING]
    engine = deployment.arguments.engine
    if engine is not Engine.VLLM:
        lines.append(SCHEDULING_NOTES[engine])
    if factor != 1.0:
        lines.append(
            f"candidates were judged at {factor:.2f} times the traced load (headroom_ratio and the "
            "peak of rate_profile)"
        )
    if trace.prefix_hashes is None and deployment.arguments.has_prefix_caching:
        lines.append("the trace has no prefix hashes: no prompt is served from the prefix cache")
    obstacle = find_obstacle(deployment, deployment.gpu, deployment.arguments, trace)
    if obstacle is not None:
        lines.append(f"today's configuration runs, as you say, although by estimate {obstacle}")
    return tuple(lines)


def _ignore(phase: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
