"""What is recommended: a case worked by hand, the boundaries, and what must always hold."""

from __future__ import annotations

from dataclasses import replace
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
)
from tests.unit.agents.snapshots import (
    ALL_OFFERS,
    H100,
    L40S,
    adopt,
    apply_change,
    make_calm_snapshot,
    make_calm_trace,
    make_mixed_fleet,
    make_mixed_snapshot,
    make_snapshot,
)

from optiinfra.agents.cost.changes import describe_title, list_changes
from optiinfra.agents.cost.policy import (
    CostSnapshot,
    choose_cheapest,
    explain_none,
    is_worthwhile,
    plan,
)
from optiinfra.domain.analysis import (
    CalibrationState,
    Candidate,
    FlagChange,
    RecommendationKind,
    Truth,
    Verdict,
)
from optiinfra.domain.fleet import Limits
from optiinfra.domain.prices import PurchaseOption

WORKLOADS = [(4.0, 0), (12.0, 1), (25.0, 2), (40.0, 3)]


def test_four_replicas_where_two_suffice() -> None:
    """4 requests/s, 16 a replica: one serves them, one may be lost; 2 x $2.50/h are saved."""
    snapshot = make_calm_snapshot()
    (recommendation,) = plan(snapshot)
    assert recommendation.kind is RecommendationKind.REDUCE_COST
    assert recommendation.title == "Serve chat with 2 instead of 4 replicas on H100-SXM"
    assert recommendation.change == (FlagChange("replicas", "4", "2"),)
    assert recommendation.inverse == (FlagChange("replicas", "2", "4"),)
    assert recommendation.saving_usd_per_h == Decimal("5.00")
    assert recommendation.relative_gpus_ratio == 0.5
    assert recommendation.before.configuration.list_cost_usd_per_h == Decimal("10.00")
    assert recommendation.after.configuration.arguments == snapshot.deployment.arguments
    assert recommendation.after.service_one_lost is not None
    assert recommendation.after.service_one_lost.slo_attainment_ratio >= 0.95
    assert recommendation.after.service.ttft_s_histogram is not None


def test_the_same_snapshot_gives_the_same_plan() -> None:
    snapshot = make_mixed_snapshot()
    assert plan(snapshot) == plan(snapshot)
    backwards = replace(snapshot, candidates=snapshot.candidates[::-1])
    assert plan(backwards) == plan(snapshot)


@pytest.mark.parametrize(("rate", "seed"), WORKLOADS)
def test_recommendations_keep_promise_and_limits_and_can_be_undone(rate: float, seed: int) -> None:
    limits = Limits(min_replicas=2, max_replicas=14)
    fleet = make_mixed_fleet(make_deployment(num_replicas=12, offer=ALL_OFFERS[0]), limits=limits)
    snapshot = make_snapshot(fleet, make_conversation(rate, seed=seed))
    recommendations = plan(snapshot)
    assert recommendations
    costs = [r.after.configuration.list_cost_usd_per_h for r in recommendations]
    assert costs == sorted(c for c in costs if c is not None)
    for recommendation in recommendations:
        after = recommendation.after.configuration
        assert recommendation.after.verdict is Verdict.KEEPS_SLO
        assert limits.min_replicas <= after.num_replicas <= limits.max_replicas
        gpu = snapshot.get_gpu(after.gpu)
        for count in (after.num_replicas, after.num_replicas - 1):
            assert snapshot.stand.keeps_slo(gpu, after.arguments, count)
        assert recommendation.saving_usd_per_h is not None
        assert recommendation.saving_usd_per_h > 0
        before = {line.flag: line.before for line in recommendation.change if line.before}
        done = apply_change(before, recommendation.change)
        assert done == {line.flag: line.after for line in recommendation.change if line.after}
        assert apply_change(done, recommendation.inverse) == before


@pytest.mark.parametrize(
    ("today", "rate", "seed"),
    [
        *(("H100-SXM", rate, seed) for rate, seed in WORKLOADS),
        ("L40S", 12.0, 4),
        ("A100-80-SXM", 25.0, 5),
    ],
)
def test_the_recommended_fleet_is_recommended_nothing(today: str, rate: float, seed: int) -> None:
    offer = next(offer for offer in ALL_OFFERS if offer.gpu == today)
    arguments = make_arguments(max_num_seqs=300, max_num_batched_tokens=3_000)
    deployment = make_deployment(
        gpu=make_gpu(today), num_replicas=11, arguments=arguments, offer=offer
    )
    trace = make_conversation(rate, seed=seed, num_requests=400)
    first = make_snapshot(make_mixed_fleet(deployment), trace)
    recommendations = plan(first)
    assert recommendations
    best = recommendations[0].after.configuration
    again = make_snapshot(adopt(first, best), trace)
    assert again.today.verdict is Verdict.KEEPS_SLO
    assert plan(again) == ()
    assert explain_none(again).startswith(
        f"Today's fleet keeps its SLO with one replica lost at ${best.list_cost_usd_per_h}/h"
    )


def test_more_options_never_make_the_plan_worse() -> None:
    trace = make_conversation(20.0)
    deployment = make_deployment(num_replicas=10, offer=ALL_OFFERS[0])
    costs = []
    for options in (
        {"gpus": (H100,), "limits": Limits(max_replicas=4)},
        {"gpus": (H100,), "limits": Limits(max_replicas=16)},
        {"gpus": (H100, L40S), "limits": Limits(max_replicas=16)},
        {"limits": Limits(max_replicas=16)},
        {
            "limits": Limits(max_replicas=16),
            "offers": (*ALL_OFFERS, make_offer("A100-80-SXM", "1.50")),
        },
    ):
        recommendations = plan(make_snapshot(make_mixed_fleet(deployment, **options), trace))
        cost = recommendations[0].after.configuration.list_cost_usd_per_h
        assert cost is not None
        costs.append(cost)
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_other_hardware_comes_with_an_alternative_on_todays() -> None:
    # a trace under which the new hardware's own defaults win: of some others a smaller batch does
    trace = make_conversation(seed=3)
    cheapest, alternative = plan(make_snapshot(make_mixed_fleet(), trace))
    assert cheapest.after.configuration.gpu == "A100-80-SXM"
    assert cheapest.title.startswith("Move chat from 4 replicas on H100-SXM to ")
    flags = [line.flag for line in cheapest.change]
    assert flags[:2] == ["gpu", "instance"]
    assert {"--max-num-seqs", "--max-num-batched-tokens"}.isdisjoint(flags)  # said already
    assert alternative.change == (FlagChange("replicas", "4", "2"),)
    assert cheapest.saving_usd_per_h is not None
    assert alternative.saving_usd_per_h is not None
    assert cheapest.saving_usd_per_h > alternative.saving_usd_per_h
    assert cheapest.evidence.digest != alternative.evidence.digest


def test_a_fleet_at_its_cheapest_gets_nothing() -> None:
    snapshot = make_snapshot(make_fleet(make_deployment(num_replicas=2)))
    assert snapshot.today.verdict is Verdict.KEEPS_SLO
    assert plan(snapshot) == ()
    reason = explain_none(snapshot)
    assert "at $5.00/h" in reason
    assert "costs $5.00/h" in reason


@pytest.mark.parametrize(("price", "is_enough"), [("2.46", False), ("2.45", True)])
def test_a_saving_below_two_percent_is_not_worth_a_change(price: str, *, is_enough: bool) -> None:
    offer = make_offer("H100-SXM", price, cloud="other")
    today = make_offer(source="book", as_of=None, purchase_option=PurchaseOption.RESERVED)
    snapshot = make_snapshot(
        make_fleet(make_deployment(num_replicas=2, offer=today), offers=(offer,))
    )
    assert bool(plan(snapshot)) == is_enough
    cheapest = next(c for c in snapshot.candidates if c.verdict is Verdict.KEEPS_SLO)
    assert is_worthwhile(snapshot, cheapest) == is_enough


def test_the_same_configuration_on_a_cheaper_instance_is_called_that() -> None:
    dear = make_offer("H100-SXM", "4.00", purchase_option=PurchaseOption.RESERVED)
    cheap = make_offer("H100-SXM", "2.00", cloud="other", instance_type="h1")
    deployment = make_deployment(num_replicas=2, offer=dear)
    (recommendation,) = plan(make_snapshot(make_fleet(deployment, offers=(cheap,))))
    assert [line.flag for line in recommendation.change] == ["instance"]
    assert recommendation.title == (
        "Run the 2 replicas of chat on other h1 instead of my-cloud one-h100-sxm (reserved)"
    )


@pytest.mark.parametrize("price", ["2.00", "90.00"])
def test_a_fleet_that_breaks_its_promise_is_restored_at_any_cost(price: str) -> None:
    """One replica: nothing serves when it is lost. Two cost twice as much, and are proposed."""
    today = make_offer(price=price)
    deployment = make_deployment(num_replicas=1, offer=today)
    snapshot = make_snapshot(make_fleet(deployment))
    assert snapshot.today.verdict is Verdict.BREAKS_SLO_ONE_LOST
    (recommendation,) = plan(snapshot)
    assert recommendation.kind is RecommendationKind.RESTORE_SLO
    assert recommendation.change == (FlagChange("replicas", "1", "2"),)
    assert recommendation.saving_usd_per_h == -Decimal(price)
    lost = {e.metric: e for e in recommendation.effects}["slo_attainment_ratio_one_lost"]
    assert (lost.before, lost.after > 0.95) == (0.0, True)


def test_an_overload_is_restored() -> None:
    snapshot = make_snapshot(make_fleet(make_deployment(num_replicas=2)), make_conversation(60.0))
    assert snapshot.today.verdict is Verdict.BREAKS_SLO
    (recommendation,) = plan(snapshot)
    assert recommendation.kind is RecommendationKind.RESTORE_SLO
    assert recommendation.after.configuration.num_replicas > 2
    assert recommendation.after.service_one_lost is not None
    assert recommendation.after.service_one_lost.slo_attainment_ratio >= 0.95


def test_without_todays_price_only_fewer_of_the_same_gpus_are_proposed() -> None:
    deployment = make_deployment(offer=None)
    (recommendation,) = plan(make_snapshot(make_mixed_fleet(deployment)))
    assert recommendation.after.configuration.gpu == "H100-SXM"
    assert recommendation.after.configuration.num_replicas == 2
    assert recommendation.saving_usd_per_h is None
    assert recommendation.saving_usd_per_h_interval is None
    assert recommendation.saving_usd_per_month is None
    assert recommendation.saving_month_note.startswith("a price is unknown")
    assert recommendation.relative_gpus_ratio == 0.5
    few = make_snapshot(make_mixed_fleet(make_deployment(offer=None, num_replicas=2)))
    assert plan(few) == ()
    assert explain_none(few) == (
        "No configuration on today's GPU type keeps the SLO with fewer GPUs."
    )


def test_without_todays_price_other_gpu_types_do_not_help() -> None:
    """Only the A100 may be used and keeps the SLO, but nobody can say whether it costs less."""
    fleet = make_mixed_fleet(make_deployment(offer=None), limits=Limits(gpus=("A100-80-SXM",)))
    snapshot = make_snapshot(fleet)
    assert any(c.verdict is Verdict.KEEPS_SLO for c in snapshot.candidates)
    assert plan(snapshot) == ()
    assert "with one replica lost" in explain_none(snapshot)  # not: "with fewer GPUs"


def test_a_type_without_a_price_is_never_proposed() -> None:
    fleet = make_mixed_fleet(offers=ALL_OFFERS[:1], limits=Limits(gpus=("L40S", "A100-80-SXM")))
    snapshot = make_snapshot(fleet)
    assert any(c.verdict is Verdict.KEEPS_SLO for c in snapshot.candidates)
    assert plan(snapshot) == ()
    assert "has a price" in explain_none(snapshot)


def test_a_disagreement_gets_nothing() -> None:
    snapshot = replace(make_calm_snapshot(), truth=Truth(CalibrationState.DISAGREES))
    assert plan(snapshot) == ()
    assert explain_none(snapshot).startswith("Prediction and measurement disagree")


def test_changed_precision_is_never_proposed() -> None:
    """Even where nothing else would keep the SLO, and where it would be the cheapest."""
    slo = make_slo(tpot_s=0.0061)
    snapshot = make_snapshot(make_fleet(make_deployment(slo=slo)), make_calm_trace())
    verdicts = {c.verdict for c in snapshot.candidates}
    assert Verdict.NEEDS_QUALITY_TEST in verdicts
    assert Verdict.KEEPS_SLO not in verdicts
    assert plan(snapshot) == ()


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"num_replicas": 3}, "Serve chat with 3 instead of 4 replicas on H100-SXM"),
        (
            {"num_replicas": 1, "arguments": make_arguments(tensor_parallel_size=2)},
            "Serve chat with 1 replica of 2 GPUs instead of 4 of 1 GPU on H100-SXM",
        ),
        (
            {"arguments": make_arguments(max_num_seqs=64)},
            "Run chat with other engine arguments on H100-SXM",
        ),
        ({"gpu": "L40S"}, "Move chat from 4 replicas on H100-SXM to 4 on L40S"),
    ],
)
def test_titles(changes: dict[str, Any], title: str) -> None:
    snapshot: CostSnapshot = make_calm_snapshot()
    before = snapshot.today.configuration
    after = replace(before, **changes)
    assert describe_title("chat", before, after) == title
    assert list_changes(before, before) == ()


def test_at_one_price_a_choice_with_spare_goes_before_one_with_fewer_changes() -> None:
    snapshot = make_calm_snapshot()
    (recommendation,) = plan(snapshot)
    cost = recommendation.after.configuration.list_cost_usd_per_h

    def tighten(candidate: Candidate) -> Candidate:
        """The plainest choice misses nearly all that the promise lets it miss."""
        lost = candidate.service_one_lost
        if candidate.key != recommendation.after.key or lost is None:
            return candidate
        return replace(candidate, service_one_lost=replace(lost, slo_attainment_ratio=0.951))

    tight = replace(snapshot, candidates=tuple(map(tighten, snapshot.candidates)))
    chosen = choose_cheapest(tight, tight.candidates)
    assert chosen is not None
    assert chosen.key != recommendation.after.key
    assert chosen.configuration.list_cost_usd_per_h == cost
    assert chosen.service_one_lost is not None
    assert chosen.service_one_lost.slo_attainment_ratio >= 0.975
