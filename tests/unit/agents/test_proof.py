"""The proof beside each recommendation: intervals, confidence, months, what would make it wrong."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.factories.fleet import (
    make_arguments,
    make_conversation,
    make_deployment,
    make_fleet,
    make_gpu,
    make_trace,
)
from tests.unit.agents.snapshots import (
    adopt,
    make_calm_snapshot,
    make_calm_trace,
    make_mixed_snapshot,
    make_snapshot,
)

from optiinfra.agents.cost.policy import CostSnapshot, plan
from optiinfra.agents.cost.proof import (
    HOURS_PER_MONTH,
    compute_confidence,
    compute_digest,
    compute_monthly_saving,
    describe_observed,
    list_risks,
    vary_assumptions,
)
from optiinfra.domain.analysis import (
    Axis,
    CalibrationState,
    FlagChange,
    Recommendation,
    RecommendationKind,
    Truth,
)
from optiinfra.twin import TWIN_VERSION
from optiinfra.twin.uncertainty import NUM_GROUPS
from optiinfra.twin.workload import scale_lengths, scale_rate

WEEK_S = 604_800.0
CHECKED = Truth(CalibrationState.CHECKED)


def recommend_calmly(**overrides: Any) -> Recommendation:
    return plan(replace(make_calm_snapshot(), **overrides))[0]


def test_effects_have_every_slo_term_inside_its_interval() -> None:
    recommendation = recommend_calmly()
    effects = {effect.metric: effect for effect in recommendation.effects}
    assert list(effects) == [
        "ttft_s_p95",
        "tpot_s_p95",
        "e2e_s_p95",
        "slo_attainment_ratio",
        "goodput_per_s",
        "slo_attainment_ratio_one_lost",
    ]
    for effect in effects.values():
        assert effect.interval.low <= effect.after <= effect.interval.high
        assert effect.interval.coverage_ratio == 0.9
    before, after = recommendation.before, recommendation.after
    assert effects["tpot_s_p95"].before == before.service.tpot_s.p95
    assert effects["tpot_s_p95"].after == after.service.tpot_s.p95
    assert effects["tpot_s_p95"].after > effects["tpot_s_p95"].before  # half the replicas
    assert effects["tpot_s_p95"].interval.low < effects["tpot_s_p95"].interval.high


def test_the_saving_has_a_range_down_to_what_slow_steps_would_leave() -> None:
    interval = recommend_calmly().saving_usd_per_h_interval
    assert interval is not None
    assert interval.high == 5.0
    assert interval.low in {0.0, 2.5, 5.0}
    busy = make_snapshot(
        make_fleet(make_deployment(num_replicas=10)), make_conversation(14.0, num_requests=2_000)
    )
    (recommendation,) = plan(busy)
    interval = recommendation.saving_usd_per_h_interval
    saving = recommendation.saving_usd_per_h
    assert interval is not None
    assert saving is not None
    assert interval.low < interval.high == float(saving), "slow steps need more replicas"


def test_confidence_falls_as_the_load_rises() -> None:
    configuration = recommend_calmly().after.configuration
    stand = make_calm_snapshot().stand
    confidences = []
    for rate in (2.0, 8.0, 11.0, 13.0, 15.0, 40.0):
        trial = stand.with_trace(make_conversation(rate, num_requests=1_000))
        confidence, method = compute_confidence(trial, make_gpu(), configuration)
        assert 0.0 <= confidence <= NUM_GROUPS / (NUM_GROUPS + 1)
        assert "simulated: with one replica lost" in method
        confidences.append(confidence)
    assert confidences == sorted(confidences, reverse=True)
    assert len(set(confidences)) >= 4, "a constant is no confidence"
    assert confidences[-1] < 0.1


def test_what_would_make_it_wrong_is_simulated() -> None:
    snapshot = make_calm_snapshot()
    recommendation = recommend_calmly()
    rows = {(row.axis, row.factor): row for row in recommendation.sensitivities}
    assert set(rows) == {(axis, factor) for axis in Axis for factor in (0.8, 1.2)}
    configuration = recommendation.after.configuration
    stand = snapshot.stand
    for axis, scale in ((Axis.LOAD, scale_rate), (Axis.LENGTHS, scale_lengths)):
        for factor in (0.8, 1.2):
            trial = stand.with_trace(scale(stand.trace, factor))
            row = rows[axis, factor]
            full, lost = (
                trial.attain(make_gpu(), configuration.arguments, count) for count in (2, 1)
            )
            assert (row.slo_attainment_ratio, row.slo_attainment_ratio_one_lost) == (full, lost)
            assert row.saving_usd_per_h == Decimal("5.00")
            assert row.holds == (min(full, lost) >= 0.95)
    assert rows[Axis.PRICE, 0.8].saving_usd_per_h == Decimal("4.00")
    assert rows[Axis.PRICE, 1.2].saving_usd_per_h == Decimal("6.00")
    assert rows[Axis.PRICE, 1.2].slo_attainment_ratio is None
    assert rows[Axis.PRICE, 1.2].holds


def test_a_tight_recommendation_does_not_hold_under_more_load() -> None:
    snapshot = make_snapshot(trace=make_conversation(16.0, num_requests=2_000))
    (recommendation,) = plan(snapshot)
    rows = {(row.axis, row.factor): row for row in recommendation.sensitivities}
    assert rows[Axis.LOAD, 0.8].holds
    assert not rows[Axis.LOAD, 1.2].holds
    assert not rows[Axis.LENGTHS, 1.2].holds


def test_another_price_than_todays_moves_alone() -> None:
    """Today $16.00/h; the alternative at a fifth more than planned leaves that much less."""
    cheapest, _ = plan(make_mixed_snapshot())
    rows = {row.factor: row for row in cheapest.sensitivities if row.axis is Axis.PRICE}
    after = cheapest.after.configuration.list_cost_usd_per_h
    assert after is not None
    assert rows[1.2].saving_usd_per_h == Decimal("16.00") - after * Decimal("1.2")
    assert rows[0.8].saving_usd_per_h == Decimal("16.00") - after * Decimal("0.8")


def test_a_price_may_take_the_gain_away_but_not_from_a_restored_promise() -> None:
    snapshot = make_mixed_snapshot()
    after = plan(snapshot)[0].after
    dear = replace(
        after,
        configuration=replace(after.configuration, list_cost_usd_per_h=Decimal("15.00")),
    )
    gpu = snapshot.get_gpu(after.configuration.gpu)
    for kind, holds in (
        (RecommendationKind.REDUCE_COST, [True, False]),
        (RecommendationKind.RESTORE_SLO, [True, True]),
    ):
        rows = vary_assumptions(snapshot, gpu, dear, kind)
        assert [row.holds for row in rows if row.axis is Axis.PRICE] == holds


def test_longer_requests_than_the_engine_takes_are_cut_not_refused() -> None:
    """Lengths 20 % up would pass max_model_len; the engine would refuse them either way."""
    trace = make_trace(np.arange(300) / 4.0, 900, 100)
    deployment = make_deployment(arguments=make_arguments(max_model_len=1_000))
    (recommendation,) = plan(make_snapshot(make_fleet(deployment), trace))
    rows = [row for row in recommendation.sensitivities if row.axis is Axis.LENGTHS]
    assert all(row.slo_attainment_ratio is not None for row in rows)


@pytest.mark.parametrize(
    ("span_s", "profile", "is_known", "share"),
    [
        (300.0, (), False, "less than 0.1%"),
        (3_600.0, (), False, "0.5%"),
        (WEEK_S - 1.0, (), False, "99.9%"),
        (WEEK_S, (), True, "100.0%"),
        (3_600.0, (1.0,) * 24, True, "0.5%"),
    ],
)
def test_a_month_needs_a_week_or_a_profile(
    span_s: float, profile: tuple[float, ...], *, is_known: bool, share: str
) -> None:
    snapshot = make_calm_snapshot()
    stand = snapshot.stand.with_trace(make_trace([0.0, span_s]))
    fleet = replace(snapshot.fleet, rate_profile=profile)
    trial = replace(snapshot, stand=stand, fleet=fleet)
    monthly, note = compute_monthly_saving(trial, Decimal("5.00"))
    assert monthly == (HOURS_PER_MONTH * Decimal("5.00") if is_known else None)
    assert "the trace covers " in note
    assert f"{share} of a week" in note
    assert compute_monthly_saving(trial, None)[0] is None


def observe(snapshot: CostSnapshot, recommendation: Recommendation) -> tuple[bool, str]:
    return describe_observed(snapshot, recommendation.before, recommendation.after)


def test_inside_or_outside_what_was_observed() -> None:
    snapshot = make_calm_snapshot()
    recommendation = recommend_calmly()
    assert observe(snapshot, recommendation) == (
        False,
        "outside: nothing was measured on this fleet (uncalibrated)",
    )
    checked = replace(snapshot, truth=CHECKED)
    is_inside, note = observe(checked, recommendation)
    assert not is_inside  # one replica takes what four shared
    assert note.startswith("outside: a replica runs up to ")
    busy = replace(snapshot.today.service, num_running_max=10_000)
    seen = replace(recommendation, before=replace(recommendation.before, service=busy))
    assert observe(checked, seen)[0]
    moved = plan(replace(make_mixed_snapshot(), truth=CHECKED))[0]
    assert not moved.is_interpolated
    assert moved.observed_note == "outside: A100-80-SXM was not observed"


def test_headroom_was_not_observed() -> None:
    """Today's batch at the load to be borne is no observation; that at the traced load is."""
    snapshot = replace(make_calm_snapshot(), truth=CHECKED)
    crowded = replace(snapshot.today.service, num_running_max=10_000)
    asked = replace(snapshot, today=replace(snapshot.today, service=crowded))
    (recommendation,) = plan(asked)
    assert not recommendation.is_interpolated
    assert "10000" not in recommendation.observed_note


def test_risks_name_what_a_manager_should_know() -> None:
    snapshot = make_mixed_snapshot()
    text = " ".join(plan(snapshot)[0].risks)
    assert "Uncalibrated" in text
    assert "synthetic" in text
    assert "Other hardware: A100-80-SXM" in text
    assert "The trace covers " in text
    recorded = replace(make_calm_trace(), is_synthetic=False)
    calm = replace(
        make_calm_snapshot(), truth=CHECKED, stand=make_calm_snapshot().stand.with_trace(recorded)
    )
    after = recommend_calmly().after
    assert len(list_risks(calm, after)) == 1
    offer = after.configuration.offer
    assert offer is not None
    shared = replace(
        after, configuration=replace(after.configuration, offer=replace(offer, num_gpus=8))
    )
    assert "All 2 replicas share one instance" in list_risks(calm, shared)[0]


def test_the_digest_changes_with_everything_it_covers_and_with_nothing_else() -> None:
    change = (FlagChange("replicas", "4", "2"),)

    def digest_of(change: tuple[FlagChange, ...] = change, *, seed: int = 0, **says: str) -> str:
        base = {"deployment": "chat", "trace_digest": "t", "fleet_digest": "f"}
        return compute_digest(change, seed=seed, **{**base, **says})

    digests = {
        digest_of(),
        digest_of(seed=1),
        digest_of(deployment="search"),
        digest_of(trace_digest="u"),
        digest_of(fleet_digest="g"),
        digest_of((FlagChange("replicas", "4", "3"),)),
        digest_of((FlagChange("replicas", "5", "2"),)),
        digest_of((FlagChange("gpu", "4", "2"),)),
        digest_of(()),
    }
    assert len(digests) == 9
    assert digest_of() in digests


def test_the_evidence_is_of_this_trace_fleet_seed_and_change() -> None:
    snapshot = make_calm_snapshot()
    first = recommend_calmly()
    assert first.evidence.trace_digest == snapshot.stand.trace.digest
    assert first.evidence.fleet_digest == snapshot.fleet.digest
    assert (first.evidence.twin_version, first.evidence.seed) == (TWIN_VERSION, 0)
    assert recommend_calmly(seed=7).evidence.digest != first.evidence.digest
    renamed = replace(make_calm_trace(), source="other.csv", notes=("a note",))
    same = recommend_calmly(stand=snapshot.stand.with_trace(renamed))
    assert same.evidence.digest == first.evidence.digest
    other = make_fleet(make_deployment(num_replicas=5))
    assert plan(make_snapshot(other))[0].evidence.digest != first.evidence.digest


def test_going_back_is_a_fleet_as_it_was() -> None:
    snapshot = make_mixed_snapshot()
    for recommendation in plan(snapshot):
        fleet = adopt(snapshot, recommendation.after.configuration)
        changed = replace(snapshot, deployment=fleet.deployments[0], fleet=fleet)
        back = adopt(changed, recommendation.before.configuration)
        assert back.deployments[0] == snapshot.deployment
