"""Halving on the trace's length finds what the search on the whole trace finds."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.factories.fleet import (
    make_conversation,
    make_deployment,
    make_fleet,
    make_gpu,
    make_offer,
    make_stand,
)

from optiinfra.domain.analysis import Binding, Candidate, Verdict
from optiinfra.domain.fleet import Fleet, Limits
from optiinfra.twin.halving import Rung
from optiinfra.twin.search import SearchResult, search

GPUS = tuple(make_gpu(name) for name in ("H100-SXM", "L40S", "H200-SXM"))
OFFERS = (
    make_offer("H100-SXM", "4.00"),
    make_offer("L40S", "1.60"),
)
NUM_REQUESTS = 8_000
RUNGS = (Rung(1 / 8, 24), Rung(1 / 4, 12))


def make_wide_fleet() -> Fleet:
    deployment = make_deployment(offer=None)
    return make_fleet(deployment, gpus=GPUS, offers=OFFERS, limits=Limits(max_replicas=12))


def find_winner(result: SearchResult) -> Candidate:
    keepers = [c for c in result.candidates if c.verdict is Verdict.KEEPS_SLO]
    return min(
        (c for c in keepers if c.configuration.list_cost_usd_per_h is not None),
        key=lambda c: (c.configuration.list_cost_usd_per_h or Decimal(0), c.service.e2e_s.p95 or 0),
    )


@pytest.mark.parametrize(("seed", "rate_per_s"), [(1, 8.0), (2, 20.0), (3, 50.0)])
def test_the_winner_is_that_of_the_whole_trace(seed: int, rate_per_s: float) -> None:
    fleet = make_wide_fleet()
    stand = make_stand(make_conversation(rate_per_s, seed=seed, num_requests=NUM_REQUESTS))
    whole = search(fleet.deployments[0], fleet, stand, rungs=())
    halved = search(fleet.deployments[0], fleet, stand, rungs=RUNGS)
    assert not whole.dropped
    best, found = find_winner(whole), find_winner(halved)
    assert found.configuration.list_cost_usd_per_h == best.configuration.list_cost_usd_per_h
    assert found.configuration.gpu == best.configuration.gpu
    assert found.configuration.num_replicas == best.configuration.num_replicas
    # what was simulated on the whole trace is the same candidate by candidate
    known = {c.key: c.service for c in whole.candidates}
    assert all(known[c.key] == c.service for c in halved.candidates)
    simulated = {c.key.split()[0] for c in halved.candidates}
    assert simulated == {gpu.name for gpu in GPUS}


def test_every_loser_says_what_bound_it() -> None:
    fleet = make_wide_fleet()
    stand = make_stand(make_conversation(20.0, num_requests=NUM_REQUESTS))
    result = search(fleet.deployments[0], fleet, stand, rungs=RUNGS)
    num_shapes = len({c.key for c in result.dropped}) + len(result.candidates)
    assert len(result.dropped) > 40
    assert num_shapes > 60
    for dropped in result.dropped:
        assert dropped.num_requests in {1_000, 2_000}
        assert f"on the busiest {dropped.num_requests:,} of 8,000 requests" in dropped.reason
    assert {d.binding for d in result.dropped} >= {Binding.TPOT}
    front = [c for c in result.candidates if c.is_on_front]
    assert front
    assert all(c.binding is None for c in front)
    losers = [c for c in result.candidates if c not in front]
    priced = [c for c in losers if c.configuration.list_cost_usd_per_h is not None]
    assert all(c.binding is not None for c in priced)
    lowest = front[0].configuration.list_cost_usd_per_h
    for loser in (c for c in priced if c.verdict is Verdict.KEEPS_SLO):
        is_dearer = loser.configuration.list_cost_usd_per_h != lowest
        assert loser.binding is (Binding.COST if is_dearer else Binding.LATENCY)


def test_a_short_trace_is_not_cut() -> None:
    fleet = make_wide_fleet()
    stand = make_stand(make_conversation(20.0, num_requests=600))
    assert not search(fleet.deployments[0], fleet, stand).dropped
