"""What became of a candidate, and which constraint binds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import Binding, Candidate, Configuration, Verdict
from optiinfra.twin.shapes import Shape, describe

if TYPE_CHECKING:
    from optiinfra.domain.analysis import Service
    from optiinfra.domain.fleet import SLOTarget


def judge_candidate(
    shape: Shape,
    num_replicas: int,
    service: Service,
    service_one_lost: Service | None,
    slo: SLOTarget,
    *,
    is_today: bool = False,
) -> Candidate:
    """A candidate with its verdict and the constraint that binds."""
    offer, cost = shape.find_cheapest_offer(num_replicas)
    binding: Binding | None = None
    if service.slo_attainment_ratio < slo.attainment_ratio:
        verdict, reason = Verdict.BREAKS_SLO, explain_breach(service, slo)
        binding = find_breached(service)
    elif service_one_lost is None:
        verdict = Verdict.BREAKS_SLO_ONE_LOST
        reason = "one replica only: nothing serves when it is lost"
        binding = Binding.SPARE
    elif service_one_lost.slo_attainment_ratio < slo.attainment_ratio:
        verdict = Verdict.BREAKS_SLO_ONE_LOST
        reason = f"with one replica lost, {explain_breach(service_one_lost, slo)}"
        binding = find_breached(service_one_lost)
    elif shape.is_precision_changed:
        verdict = Verdict.NEEDS_QUALITY_TEST
        reason = "keeps the SLO, but changes the precision of weights or KV cache"
        binding = Binding.PRECISION
    else:
        verdict = Verdict.KEEPS_SLO
        reason = (
            f"keeps the SLO; {service_one_lost.slo_attainment_ratio:.1%} of requests with one "
            f"replica lost, {slo.attainment_ratio:.1%} are promised"
        )
    return Candidate(
        key=f"{shape.gpu.name} x{num_replicas} {describe(shape.arguments)}",
        configuration=Configuration(
            gpu=shape.gpu.name,
            num_replicas=num_replicas,
            arguments=shape.arguments,
            offer=offer,
            list_cost_usd_per_h=cost,
        ),
        verdict=verdict,
        reason=reason,
        service=service,
        service_one_lost=service_one_lost,
        is_today=is_today,
        binding=binding,
    )


def find_breached(service: Service) -> Binding:
    """The objective that is missed most."""
    is_tpot = service.tpot_attainment_ratio <= service.ttft_attainment_ratio
    return Binding.TPOT if is_tpot else Binding.TTFT


def explain_breach(service: Service, slo: SLOTarget) -> str:
    """Which objective is missed most, in a sentence."""
    if find_breached(service) is Binding.TPOT:
        share, what = service.tpot_attainment_ratio, f"TPOT {slo.tpot_s * 1e3:g} ms"
    else:
        share, what = service.ttft_attainment_ratio, f"TTFT {slo.ttft_s * 1e3:g} ms"
    growing = "; the queue grows as long as requests come" if service.is_unstable else ""
    return (
        f"{share:.1%} of requests meet {what}; {service.slo_attainment_ratio:.1%} meet both "
        f"objectives, {slo.attainment_ratio:.1%} are promised{growing}"
    )


def mark_front(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """The same candidates; those that keep the SLO and that none beats in cost and latency marked.

    Latency is the 95th percentile end to end with all replicas. Expects them sorted by cost.
    """
    best = float("inf")
    front: set[int] = set()
    eligible = [
        (c.configuration.list_cost_usd_per_h, c.service.e2e_s.p95, index)
        for index, c in enumerate(candidates)
        if c.verdict is Verdict.KEEPS_SLO
        and c.configuration.list_cost_usd_per_h is not None
        and c.service.e2e_s.p95 is not None
    ]
    for _, latency_s, index in sorted(eligible):
        if latency_s is not None and latency_s < best:
            best = latency_s
            front.add(index)
    return tuple(
        replace(c, is_on_front=True) if index in front else c for index, c in enumerate(candidates)
    )


def bind_losers(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The same candidates; those that keep the SLO and are not on the front get what beats them.

    Cost, or latency where they cost no more than the cheapest that keeps the SLO. Without a price
    nothing is said to bind.
    """
    costs = [
        c.configuration.list_cost_usd_per_h
        for c in candidates
        if c.verdict is Verdict.KEEPS_SLO and c.configuration.list_cost_usd_per_h is not None
    ]
    if not costs:
        return candidates
    lowest = min(costs)

    def bind(candidate: Candidate) -> Candidate:
        cost = candidate.configuration.list_cost_usd_per_h
        if candidate.verdict is not Verdict.KEEPS_SLO or candidate.is_on_front or cost is None:
            return candidate
        return replace(candidate, binding=Binding.COST if cost > lowest else Binding.LATENCY)

    return tuple(map(bind, candidates))
