"""Successive halving on the length of the trace: most shapes lose on a short part of it.

Every rung tries the shapes that are left on the busiest part of the trace of a certain length and
keeps a fixed number, so that a thousand shapes cost little more than a hundred: the whole trace is
simulated for the last rung's survivors alone. Arrivals are the same for all, so that shapes differ
by what they are and not by chance.

Jamieson and Talwalkar 2016 (successive halving); here the resource is the trace's length and the
number kept does not grow with the number that came.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import Binding, DroppedCandidate
from optiinfra.twin.busiest import take_busiest
from optiinfra.twin.fewest import find_fewest_with_spare
from optiinfra.twin.shapes import describe
from optiinfra.twin.verdicts import explain_breach, find_breached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from decimal import Decimal
    from typing import Any

    from optiinfra.domain.analysis import Service
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.fleet import Limits
    from optiinfra.twin.shapes import Shape
    from optiinfra.twin.stand import Stand

    Mapper = Callable[[Callable[[Shape], Any], Iterable[Shape]], Iterator[Any]]

MIN_REQUESTS = 1_000  # a shorter part says too little of a 95th percentile
MAX_PART = 1 / 3  # a longer part costs about what the whole does


@dataclass(frozen=True, slots=True)
class Rung:
    """Try on this share of the trace, go on with this many shapes."""

    trace_share: float
    num_kept: int


DEFAULT_RUNGS = (Rung(1 / 64, 96), Rung(1 / 16, 48))


@dataclass(frozen=True)
class Probe:
    """One shape on part of the trace: the fewest replicas with one to spare, and what they cost.

    `num_replicas` is None where no count within the limits keeps the SLO; `service` is then that of
    the largest count. `limit_binding` says why one replica less is not enough.
    """

    shape: Shape
    num_replicas: int | None
    cost_usd_per_h: Decimal | None
    service: Service
    limit_binding: Binding
    limit_reason: str

    @property
    def num_gpus(self) -> int:
        """GPUs of all replicas; of one where no count keeps the SLO."""
        return (self.num_replicas or 1) * self.shape.arguments.num_gpus


def halve(
    shapes: Sequence[Shape],
    stand: Stand,
    limits: Limits,
    *,
    own: EngineArguments,
    mapper: Mapper = map,
    rungs: tuple[Rung, ...] = DEFAULT_RUNGS,
) -> tuple[list[Shape], tuple[DroppedCandidate, ...]]:
    """The shapes worth the whole trace, in the order given, and the others with what bound them.

    `own` are the arguments in force: at one cost, shapes that change fewer of them go first. The
    best of every GPU type and precision stays, and so does each rung's front of cost and latency.
    """
    left = list(shapes)
    dropped: list[DroppedCandidate] = []
    n = stand.trace.num_requests
    for rung in rungs:
        num_requests = max(int(n * rung.trace_share), MIN_REQUESTS)
        if num_requests > n * MAX_PART or len(left) <= rung.num_kept:
            continue
        part = stand.with_trace(take_busiest(stand.trace, num_requests))
        probes = list(mapper(partial(probe, stand=part, limits=limits), left))
        kept = choose_survivors(probes, own, num_kept=rung.num_kept)
        best = min(probes, key=lambda p: _get_rank(p, own))
        place = f"on the busiest {num_requests:,} of {n:,} requests"
        dropped += [
            _explain_drop(loser, best, place, num_requests)
            for index, loser in enumerate(probes)
            if index not in kept
        ]
        left = [winner.shape for index, winner in enumerate(probes) if index in kept]
    return left, tuple(dropped)


def probe(shape: Shape, stand: Stand, limits: Limits) -> Probe:
    """The fewest replicas of a shape that keep the SLO on the stand's trace with one lost."""
    services: dict[int, Service] = {}

    def serve(num_replicas: int) -> Service:
        if num_replicas not in services:
            services[num_replicas] = stand.serve(shape.gpu, shape.arguments, num_replicas)
        return services[num_replicas]

    def keeps(num_replicas: int) -> bool:
        return serve(num_replicas).slo_attainment_ratio >= stand.slo.attainment_ratio

    fewest = find_fewest_with_spare(keeps, low=limits.min_replicas, high=limits.max_replicas)
    if fewest is None:
        service = serve(limits.max_replicas)
        lost = serve(max(limits.max_replicas - 1, 1))
        return Probe(
            shape, None, None, service, find_breached(lost), explain_breach(lost, stand.slo)
        )
    _, cost = shape.find_cheapest_offer(fewest)
    if fewest <= limits.min_replicas:
        reason = "fewer replicas are not allowed"
        return Probe(shape, fewest, cost, serve(fewest), Binding.COST, reason)
    if fewest - 2 < 1:
        reason = "one replica alone has none to lose"
        return Probe(shape, fewest, cost, serve(fewest), Binding.SPARE, reason)
    fewer = fewest - 2 if keeps(fewest - 1) else fewest - 1
    below = serve(fewer)
    reason = f"with {fewer}, {explain_breach(below, stand.slo)}"
    return Probe(shape, fewest, cost, serve(fewest), find_breached(below), reason)


def choose_survivors(probes: Sequence[Probe], own: EngineArguments, *, num_kept: int) -> set[int]:
    """Which probes go on: each kind's best and the front, then the cheapest, `num_kept` or more.

    Instances have several GPUs, so that one replica more or less can double a cost: what needs nine
    on the busiest part, and two instances, may do with eight on the whole. So in turn with the
    cheapest of all go on those of each kind that would be cheapest if GPUs were billed one by one;
    of those that served alike the one with the widest limits, which bind last on the whole.
    """
    by_cost = sorted(range(len(probes)), key=lambda i: (_get_rank(probes[i], own), i))
    by_share = _take_turns(_list_different(probes), probes)
    num_kinds = len({_get_kind(each) for each in probes})
    kept = {*_take_turns(by_cost, probes)[:num_kinds], *by_share[:num_kinds]}
    fastest = float("inf")
    for index in by_cost:
        candidate = probes[index]
        latency_s = candidate.service.e2e_s.p95
        if candidate.num_replicas is not None and latency_s is not None and latency_s < fastest:
            fastest = latency_s
            kept.add(index)
    for index in chain.from_iterable(zip_longest(by_cost, by_share)):
        if len(kept) >= num_kept:
            break
        if index is not None:
            kept.add(index)
    return kept


def _list_different(probes: Sequence[Probe]) -> list[int]:
    """By what their GPUs cost, then attainment; of those that served alike one."""
    arguments = [each.shape.arguments for each in probes]
    order = sorted(
        range(len(probes)),
        key=lambda i: (
            _get_share(probes[i]),
            -probes[i].service.slo_attainment_ratio,
            -arguments[i].max_num_seqs,
            -arguments[i].max_num_batched_tokens,
            i,
        ),
    )
    found: dict[object, int] = {}
    for index in order:
        each = probes[index]
        served = (each.num_gpus, each.service.slo_attainment_ratio, each.service.e2e_s.p95)
        found.setdefault((_get_kind(each), _get_share(each), served), index)
    return list(found.values())


def _take_turns(order: Sequence[int], probes: Sequence[Probe]) -> list[int]:
    """The first of each kind in that order, then the second of each, and so on."""
    seen: Counter[tuple[str, str | None, str]] = Counter()
    turns = []
    for place, index in enumerate(order):
        kind = _get_kind(probes[index])
        turns.append((seen[kind], place, index))
        seen[kind] += 1
    return [index for _, _, index in sorted(turns)]


def _get_kind(candidate: Probe) -> tuple[str, str | None, str]:
    arguments = candidate.shape.arguments
    return candidate.shape.gpu.name, arguments.quantization, arguments.kv_cache_dtype


def _get_share(candidate: Probe) -> tuple[bool, bool, float]:
    """Feasible before infeasible, priced before unpriced, then what the GPUs in use cost alone."""
    prices = [
        float(offer.list_cost_usd_per_h) / offer.num_gpus
        for offer in candidate.shape.offers
        if offer.num_gpus >= candidate.shape.arguments.num_gpus
    ]
    return candidate.num_replicas is None, not prices, candidate.num_gpus * min(prices, default=1.0)


def _get_rank(
    candidate: Probe, own: EngineArguments
) -> tuple[bool, bool, float, bool, bool, float]:
    """Feasible before infeasible, priced before unpriced, then cost, sameness, and attainment."""
    arguments = candidate.shape.arguments
    is_own_batch = (arguments.max_num_seqs, arguments.max_num_batched_tokens) == (
        own.max_num_seqs,
        own.max_num_batched_tokens,
    )
    cost = candidate.cost_usd_per_h
    return (
        candidate.num_replicas is None,
        cost is None,
        float(cost) if cost is not None else float(candidate.num_gpus),
        candidate.shape.is_precision_changed,
        not is_own_batch,
        -candidate.service.slo_attainment_ratio,
    )


def _explain_drop(loser: Probe, best: Probe, place: str, num_requests: int) -> DroppedCandidate:
    shape = loser.shape
    name = f"{shape.gpu.name} {describe(shape.arguments)}"
    if loser.num_replicas is None:
        reason = f"{place} no number of replicas keeps the SLO: {loser.limit_reason}"
        return DroppedCandidate(name, loser.limit_binding, reason, num_requests)
    needs = f"{place} it needs {loser.num_replicas} replicas"
    if loser.cost_usd_per_h is not None:
        needs += f" at ${loser.cost_usd_per_h}/h"
    if best.num_replicas is not None:
        needs += f", {best.shape.gpu.name} {describe(best.shape.arguments)} {best.num_replicas}"
        if best.cost_usd_per_h is not None:
            needs += f" at ${best.cost_usd_per_h}/h"
    return DroppedCandidate(
        f"{shape.gpu.name} x{loser.num_replicas} {describe(shape.arguments)}",
        loser.limit_binding,
        f"{needs}; {loser.limit_reason}",
        num_requests,
    )
