"""The whole search on generated traffic: more options, fewer regrets, one answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from tests.factories.fleet import (
    make_arguments,
    make_conversation,
    make_deployment,
    make_fleet,
    make_gpu,
    make_offer,
    make_slo,
    make_stand,
    make_trace,
)

from optiinfra.domain.analysis import Verdict
from optiinfra.domain.fleet import Fleet, Limits
from optiinfra.twin.search import SearchResult, explore, search
from optiinfra.twin.shapes import Shape

STAND = make_stand(make_conversation(20.0))
OFFERS = (
    make_offer("H100-SXM", "4.00"),
    make_offer("L40S", "1.60"),
    make_offer("A100-80-SXM", "2.40"),
    make_offer("L40S", "5.60", cloud="other", num_gpus=4),
    make_offer("H100-SXM", "3.60", cloud="other"),
)
GPUS = tuple(make_gpu(name) for name in ("H100-SXM", "L40S", "A100-80-SXM"))


def search_with(**overrides: Any) -> SearchResult:
    fleet = make_small_fleet(**overrides)
    return search(fleet.deployments[0], fleet, STAND)


def make_small_fleet(**overrides: Any) -> Fleet:
    deployment = make_deployment(offer=None)
    return make_fleet(deployment, **{"limits": Limits(max_replicas=10), **overrides})


def find_best_cost(result: SearchResult) -> Decimal:
    costs = [
        c.configuration.list_cost_usd_per_h
        for c in result.candidates
        if c.verdict is Verdict.KEEPS_SLO
    ]
    known = [cost for cost in costs if cost is not None]
    return min(known, default=Decimal("Infinity"))


def test_another_offer_or_gpu_type_never_raises_the_best_cost() -> None:
    costs = [
        find_best_cost(search_with(gpus=GPUS[:num_gpus], offers=OFFERS[:num_offers]))
        for num_gpus, num_offers in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (3, 4), (3, 5))
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1], "no option ever mattered"


def test_wider_limits_never_raise_the_best_cost() -> None:
    options = {"gpus": GPUS[:1], "offers": OFFERS}
    costs = [
        find_best_cost(search_with(**options, limits=Limits(max_replicas=most)))
        for most in (2, 4, 10)
    ]
    assert costs == sorted(costs, reverse=True)
    costs = [
        find_best_cost(search_with(**options, limits=Limits(min_replicas=least)))
        for least in (8, 4, 2)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_candidates_keep_to_the_limits_and_are_sorted_by_cost() -> None:
    limits = Limits(min_replicas=3, max_replicas=6, gpus=("H100-SXM", "L40S"), clouds=("other",))
    result = search_with(gpus=GPUS, offers=OFFERS, limits=limits)
    assert result.candidates
    for candidate in result.candidates:
        configuration = candidate.configuration
        assert 3 <= configuration.num_replicas <= 6
        assert configuration.gpu in limits.gpus
        assert configuration.offer is not None
        assert configuration.offer.cloud == "other"
    costs = [c.configuration.list_cost_usd_per_h or Decimal(0) for c in result.candidates]
    assert costs == sorted(costs)
    assert len({c.key for c in result.candidates}) == len(result.candidates)


def test_changed_precision_is_never_said_to_keep_the_slo() -> None:
    result = search_with(gpus=GPUS, offers=OFFERS)
    changed = [
        c
        for c in result.candidates
        if c.configuration.arguments.quantization
        or c.configuration.arguments.kv_cache_dtype != "auto"
    ]
    assert {c.verdict for c in changed} & {Verdict.NEEDS_QUALITY_TEST}
    assert Verdict.KEEPS_SLO not in {c.verdict for c in changed}
    others = [c for c in result.candidates if c not in changed]
    assert Verdict.NEEDS_QUALITY_TEST not in {c.verdict for c in others}


def test_threads_give_the_same_result_and_progress_counts_every_shape() -> None:
    fleet = make_small_fleet(gpus=GPUS, offers=OFFERS)
    alone = search(fleet.deployments[0], fleet, STAND)
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(4) as pool:
        together = search(
            fleet.deployments[0],
            fleet,
            STAND,
            mapper=pool.map,
            on_progress=lambda done, total: seen.append((done, total)),
        )
    assert together == alone
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]
    # 24 batches, and 3 precisions where there is fp8; the L40S also comes by four: two sizes.
    assert len(seen) == 27 + 2 * 27 + 24


def test_what_keeps_the_slo_keeps_it_when_it_is_simulated_again() -> None:
    result = search_with(gpus=GPUS, offers=OFFERS)
    gpus = {gpu.name: gpu for gpu in GPUS}
    keepers = [c for c in result.candidates if c.verdict is Verdict.KEEPS_SLO]
    assert len(keepers) > 20
    for candidate in keepers[::7]:
        configuration = candidate.configuration
        for count in (configuration.num_replicas, configuration.num_replicas - 1):
            assert STAND.keeps_slo(gpus[configuration.gpu], configuration.arguments, count)


@pytest.mark.parametrize("most", [5, 6, 7, 8, 12])
def test_a_rhythm_that_defeats_round_robin_is_seen_and_does_not_hide_what_keeps(most: int) -> None:
    """Every sixth prompt is long: six replicas give all of them to one, five share them."""
    n = 400
    prompts = [8_000 if i % 6 == 0 else 50 for i in range(n)]
    trace = make_trace([i * 0.03 for i in range(n)], prompts, 2)
    stand = make_stand(trace, slo=make_slo(ttft_s=0.6))
    kept = {count for count in range(1, 8) if stand.keeps_slo(GPUS[0], make_arguments(), count)}
    assert kept == {4, 5, 7}
    shape = Shape(GPUS[0], make_arguments(), OFFERS[:1])
    found = explore(shape, stand, Limits(max_replicas=most))
    verdicts = [(c.configuration.num_replicas, c.verdict) for c in found]
    assert verdicts[0] == (5, Verdict.KEEPS_SLO)
