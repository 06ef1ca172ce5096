"""The search: every shape at the fewest replicas that keep the SLO with one replica lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import Candidate, Configuration, Verdict
from optiinfra.twin.shapes import RuledOut, Shape, describe, list_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from optiinfra.domain.analysis import Service
    from optiinfra.domain.fleet import Deployment, Fleet, Limits, SLOTarget
    from optiinfra.twin.stand import Stand

    Mapper = Callable[
        [Callable[[Shape], list[Candidate]], Iterable[Shape]], Iterator[list[Candidate]]
    ]


@dataclass(frozen=True)
class SearchResult:
    """Candidates sorted by cost and key, and what was never simulated."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[RuledOut, ...]


def search(
    deployment: Deployment,
    fleet: Fleet,
    stand: Stand,
    *,
    mapper: Mapper = map,
    on_progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Every shape within catalogue and limits, simulated on the stand's trace.

    `mapper` may run shapes side by side as long as it keeps their order; the result does not
    depend on it. `on_progress(done, total)` counts shapes.
    """
    shapes, ruled_out = list_shapes(deployment, fleet, stand.trace)
    found: list[Candidate] = []
    results = mapper(lambda shape: explore(shape, stand, fleet.limits), shapes)
    for done, candidates in enumerate(results, start=1):
        found.extend(candidates)
        if on_progress is not None:
            on_progress(done, len(shapes))
    found.sort(key=_get_order)
    return SearchResult(mark_front(found), tuple(ruled_out))


def explore(shape: Shape, stand: Stand, limits: Limits) -> list[Candidate]:
    """The fewest replicas of a shape that keep the SLO with one lost, and the count just below.

    When no count within the limits does, the one at `min_replicas` says why.
    """
    services: dict[int, Service] = {}

    def serve(num_replicas: int) -> Service:
        if num_replicas not in services:
            services[num_replicas] = stand.serve(shape.gpu, shape.arguments, num_replicas)
        return services[num_replicas]

    def keeps(num_replicas: int) -> bool:
        return serve(num_replicas).slo_attainment_ratio >= stand.slo.attainment_ratio

    def judge(num_replicas: int) -> Candidate:
        lost = serve(num_replicas - 1) if num_replicas > 1 else None
        return judge_candidate(shape, num_replicas, serve(num_replicas), lost, stand.slo)

    num_replicas = find_fewest_with_spare(keeps, low=limits.min_replicas, high=limits.max_replicas)
    if num_replicas is None:
        return [judge(limits.min_replicas)]
    counts = [num_replicas]
    if num_replicas > limits.min_replicas:
        counts.append(num_replicas - 1)
    return [judge(count) for count in counts]


def find_fewest_with_spare(keeps: Callable[[int], bool], *, low: int, high: int) -> int | None:
    """Fewest replicas in `low` .. `high` that keep the SLO, also with one lost; None: none do.

    A larger fleet need not serve better in a simulation: from the count that bisection finds, it
    walks up until one and one less do.
    """
    fewest = find_fewest(keeps, high - 1)
    if fewest is None:
        return None
    counts = range(max(fewest + 1, low), high + 1)
    return next((count for count in counts if keeps(count) and keeps(count - 1)), None)


def find_fewest(keeps: Callable[[int], bool], limit: int) -> int | None:
    """Smallest count in 1 .. limit that keeps, by doubling and bisection; None when none does.

    A rhythm in the traffic may load one replica alone at one count and not at the next, which has
    no factor in common with it: none keeps when neither the largest count nor the one below does.
    """
    if limit < 1:
        return None
    if keeps(1):
        return 1
    if not keeps(limit):
        limit -= 1
        if limit <= 1 or not keeps(limit):
            return None
    low, high = 1, 2
    while high < limit and not keeps(high):
        low, high = high, high * 2
    high = min(high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        if keeps(middle):
            high = middle
        else:
            low = middle
    return high


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
    if service.slo_attainment_ratio < slo.attainment_ratio:
        verdict, reason = Verdict.BREAKS_SLO, explain_breach(service, slo)
    elif service_one_lost is None:
        verdict = Verdict.BREAKS_SLO_ONE_LOST
        reason = "one replica only: nothing serves when it is lost"
    elif service_one_lost.slo_attainment_ratio < slo.attainment_ratio:
        verdict = Verdict.BREAKS_SLO_ONE_LOST
        reason = f"with one replica lost, {explain_breach(service_one_lost, slo)}"
    elif shape.is_precision_changed:
        verdict = Verdict.NEEDS_QUALITY_TEST
        reason = "keeps the SLO, but changes the precision of weights or KV cache"
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
    )


def explain_breach(service: Service, slo: SLOTarget) -> str:
    """Which objective is missed most, in a sentence."""
    if service.tpot_attainment_ratio <= service.ttft_attainment_ratio:
        share, what = service.tpot_attainment_ratio, f"TPOT {slo.tpot_s * 1e3:g} ms"
    else:
        share, what = service.ttft_attainment_ratio, f"TTFT {slo.ttft_s * 1e3:g} ms"
    return (
        f"{share:.1%} of requests meet {what}; {service.slo_attainment_ratio:.1%} meet both "
        f"objectives, {slo.attainment_ratio:.1%} are promised"
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


def _get_order(candidate: Candidate) -> tuple[bool, Decimal, str]:
    cost = candidate.configuration.list_cost_usd_per_h
    return cost is None, cost if cost is not None else Decimal(0), candidate.key
