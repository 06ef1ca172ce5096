"""The search: every shape at the fewest replicas that keep the SLO with one replica lost.

Many shapes lose on a short part of the trace already (`halving`); the others are simulated on the
whole of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from optiinfra.twin.fewest import find_fewest_with_spare
from optiinfra.twin.halving import DEFAULT_RUNGS, halve
from optiinfra.twin.shapes import RuledOut, Shape, list_shapes
from optiinfra.twin.verdicts import bind_losers, judge_candidate, mark_front

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optiinfra.domain.analysis import Candidate, DroppedCandidate, Service
    from optiinfra.domain.fleet import Deployment, Fleet, Limits
    from optiinfra.twin.halving import Mapper, Rung
    from optiinfra.twin.stand import Stand


@dataclass(frozen=True)
class SearchResult:
    """Candidates sorted by cost and key, what lost on part of the trace, what never ran."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[RuledOut, ...]
    dropped: tuple[DroppedCandidate, ...] = ()


def search(
    deployment: Deployment,
    fleet: Fleet,
    stand: Stand,
    *,
    mapper: Mapper = map,
    on_progress: Callable[[int, int], None] | None = None,
    rungs: tuple[Rung, ...] = DEFAULT_RUNGS,
) -> SearchResult:
    """The shapes within catalogue and limits that are worth it, simulated on the stand's trace.

    `mapper` may run shapes side by side as long as it keeps their order; the result does not
    depend on it. `on_progress(done, total)` counts shapes. No `rungs`: all on the whole trace.
    """
    shapes, ruled_out = list_shapes(deployment, fleet, stand.trace)
    candidates, dropped = search_shapes(
        shapes, stand, fleet.limits, deployment, mapper=mapper, on_progress=on_progress, rungs=rungs
    )
    return SearchResult(candidates, tuple(ruled_out), dropped)


def search_shapes(
    shapes: Sequence[Shape],
    stand: Stand,
    limits: Limits,
    deployment: Deployment,
    *,
    mapper: Mapper = map,
    on_progress: Callable[[int, int], None] | None = None,
    rungs: tuple[Rung, ...] = DEFAULT_RUNGS,
) -> tuple[tuple[Candidate, ...], tuple[DroppedCandidate, ...]]:
    """Candidates of the shapes that last to the whole trace, sorted by cost, and the dropped."""
    last, dropped = halve(
        shapes, stand, limits, own=deployment.arguments, mapper=mapper, rungs=rungs
    )
    found: list[Candidate] = []
    num_dropped = len(shapes) - len(last)
    results = mapper(lambda shape: explore(shape, stand, limits), last)
    for done, candidates in enumerate(results, start=1):
        found.extend(candidates)
        if on_progress is not None:
            on_progress(num_dropped + done, len(shapes))
    found.sort(key=_get_order)
    return bind_losers(mark_front(found)), dropped


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


def _get_order(candidate: Candidate) -> tuple[bool, Decimal, str]:
    cost = candidate.configuration.list_cost_usd_per_h
    return cost is None, cost if cost is not None else Decimal(0), candidate.key
