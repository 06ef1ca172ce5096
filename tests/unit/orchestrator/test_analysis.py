"""The main job on values: what is refused, what is assembled, what stays the same."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
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
    make_trace,
)

from optiinfra.domain.analysis import (
    Analysis,
    CalibrationState,
    RecommendationKind,
    SustainableRate,
    Verdict,
)
from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.errors import InputError, SLOInfeasibleError
from optiinfra.domain.fleet import Fleet, Limits
from optiinfra.domain.measurement import Measurement
from optiinfra.domain.prices import PurchaseOption
from optiinfra.domain.trace import Trace
from optiinfra.orchestrator.analysis import analyze, get_design_factor, match_traces
from optiinfra.report.document import to_json

TRACE = make_conversation(4.0, num_requests=400)


def analyze_fleet(fleet: Fleet, trace: Trace = TRACE, **overrides: Any) -> Analysis:
    values: dict[str, Any] = {"measurements": {}, "seed": 0}
    return analyze(fleet, {None: trace}, **{**values, **overrides})


def test_the_answer_is_whole() -> None:
    fleet = make_fleet()
    analysis = analyze_fleet(fleet, price_notes=("Prices are the customer's own.",))
    assert (analysis.customer, analysis.fleet_digest) == (fleet.customer, fleet.digest)
    assert analysis.price_notes == ("Prices are the customer's own.",)
    (found,) = analysis.deployments
    assert found.trace.digest == TRACE.digest
    assert found.today.is_today
    assert found.today.configuration.list_cost_usd_per_h == Decimal("10.00")
    assert found.candidates[0].is_today
    assert sum(c.is_today for c in found.candidates) == 1
    assert len({c.key for c in found.candidates}) == len(found.candidates)
    assert len(analysis.recommendations) == 1
    assert found.no_recommendation_reason is None
    after = analysis.recommendations[0].after
    assert after.key in {c.key for c in found.candidates}
    tokens = float(TRACE.output_tokens.sum())
    span_s = tokens / found.today.service.output_tokens_per_s
    per_million = 10.0 / 3600 * span_s / tokens * 1e6
    assert found.cost_usd_per_million_output_tokens == pytest.approx(per_million)
    both = tokens + float(TRACE.prompt_tokens.sum())
    assert found.cost_usd_per_million_tokens == pytest.approx(per_million * tokens / both)
    one_lost, whole = found.sustainable.one_lost_per_s, found.sustainable.all_replicas_per_s
    assert one_lost is not None
    assert whole is not None
    assert TRACE.rate_per_s < one_lost < whole


def test_the_same_input_gives_the_same_bytes_on_any_number_of_threads() -> None:
    fleet = make_fleet(gpus=(make_gpu(), make_gpu("L40S")))
    alone = to_json(analyze_fleet(fleet))
    with ThreadPoolExecutor(3) as pool:
        assert to_json(analyze_fleet(fleet, mapper=pool.map)) == alone
    assert to_json(analyze_fleet(fleet)) == alone


def test_progress_goes_through_the_phases() -> None:
    seen: list[tuple[str, int, int]] = []
    analyze_fleet(make_fleet(), progress=lambda *step: seen.append(step))
    phases = list(dict.fromkeys(phase for phase, _, _ in seen))
    assert phases == ["chat: today", "chat: candidates", "chat: proof"]
    assert all(0 <= done <= total for _, done, total in seen)
    for phase in phases:
        done, total = [(d, t) for p, d, t in seen if p == phase][-1]
        assert done == total


def test_every_deployment_is_analysed_on_its_own_trace() -> None:
    fleet = make_fleet(make_deployment(), make_deployment(name="search", num_replicas=2))
    traces: dict[str | None, Trace] = {
        "chat": TRACE,
        "search": make_conversation(3.0, num_requests=200, seed=5),
    }
    analysis = analyze(fleet, traces, {}, seed=0)
    assert [d.name for d in analysis.deployments] == ["chat", "search"]
    assert [d.trace.num_requests for d in analysis.deployments] == [400, 200]
    assert [r.deployment for r in analysis.recommendations] == ["chat"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([None], "does not say which of the deployments chat, search"),
        (["chat"], "has no requests for search"),
        (["chat", "search", "other"], "names no deployment of the fleet: other"),
        (["chat", "other"], "other and has no requests for search"),
    ],
)
def test_a_trace_that_does_not_match_the_fleet_is_refused(
    names: list[str | None], words: str
) -> None:
    fleet = make_fleet(make_deployment(), make_deployment(name="search"))
    with pytest.raises(InputError, match=words) as caught:
        match_traces(fleet, dict.fromkeys(names, TRACE))
    assert caught.value.field == "deployment"
    assert caught.value.file == TRACE.source


def test_what_does_not_fit_today_is_refused() -> None:
    long = make_trace(prompt_tokens=20_000)
    with pytest.raises(
        InputError, match="max_model_len is 16384; 4 of 4 requests are longer"
    ) as caught:
        analyze_fleet(make_fleet(), long)
    assert caught.value.field == "deployments.chat"
    assert caught.value.exit_code == 2


def test_a_promise_that_nobody_keeps_is_an_error_that_names_the_nearest() -> None:
    fleet = make_fleet(make_deployment(slo=make_slo(tpot_s=0.001)))
    with pytest.raises(SLOInfeasibleError, match=r"nearest: H100-SXM x\d+ tp1") as caught:
        analyze_fleet(fleet)
    assert caught.value.exit_code == 3
    assert re.search(r"none of \d+ candidates keeps TTFT 1 s and TPOT 0.001 s", str(caught.value))


def test_what_only_keeps_with_other_precision_is_not_feasible() -> None:
    fleet = make_fleet(make_deployment(slo=make_slo(tpot_s=0.0061)))
    with pytest.raises(SLOInfeasibleError, match="changes the precision"):
        analyze_fleet(fleet)


def test_a_disagreement_recommends_nothing_and_judges_nothing_infeasible() -> None:
    """A twin that does not know the fleet cannot say either that nothing keeps the promise."""
    measured = {"chat": Measurement(source="m", tpot_s_mean=0.5, rate_per_s=TRACE.rate_per_s)}
    for slo in (make_slo(), make_slo(tpot_s=0.001)):
        fleet = make_fleet(make_deployment(slo=slo))
        (found,) = analyze_fleet(fleet, measurements=measured).deployments
        assert found.truth.state is CalibrationState.DISAGREES
        assert found.recommendations == ()
        assert found.no_recommendation_reason is not None
        assert found.no_recommendation_reason.startswith("Prediction and measurement disagree")


def test_today_stays_on_the_front_where_it_belongs() -> None:
    (first,) = analyze_fleet(make_fleet()).deployments
    on_front = next(c for c in first.candidates if c.is_on_front)
    assert not first.today.is_on_front
    deployment = make_deployment(
        num_replicas=on_front.configuration.num_replicas,
        arguments=on_front.configuration.arguments,
    )
    (again,) = analyze_fleet(make_fleet(deployment)).deployments
    assert again.today.key == on_front.key
    assert [c.key for c in again.candidates if c.is_on_front] == [
        c.key for c in first.candidates if c.is_on_front
    ]
    assert again.candidates[0].is_on_front


def test_the_same_configuration_on_another_instance_stays_among_the_candidates() -> None:
    dear = make_offer("H100-SXM", "4.00", purchase_option=PurchaseOption.RESERVED)
    cheap = make_offer("H100-SXM", "2.00", cloud="other")
    fleet = make_fleet(make_deployment(num_replicas=2, offer=dear), offers=(cheap,))
    (found,) = analyze_fleet(fleet).deployments
    (recommendation,) = found.recommendations
    assert [line.flag for line in recommendation.change] == ["instance"]
    assert len({c.key for c in found.candidates}) == len(found.candidates)
    (stored,) = [c for c in found.candidates if c.key == recommendation.after.key]
    assert not stored.is_today
    assert stored.configuration.offer == cheap


def test_a_type_without_a_price_gets_the_price_at_which_it_breaks_even() -> None:
    fleet = make_fleet(gpus=(make_gpu(), make_gpu("A100-80-SXM")))
    (found,) = analyze_fleet(fleet).deployments
    unpriced = [c for c in found.candidates if c.configuration.gpu == "A100-80-SXM"]
    assert unpriced
    for candidate in unpriced:
        gpus = candidate.configuration.num_gpus
        assert candidate.break_even_usd_per_gpu_h == round(Decimal("10.00") / gpus, 4)
    priced = [c for c in found.candidates if c.configuration.gpu == "H100-SXM"]
    assert {c.break_even_usd_per_gpu_h for c in priced} == {None}


def test_quality_tests_are_the_cheapest_of_their_kind_below_todays_cost() -> None:
    fleet = make_fleet(gpus=(make_gpu(), make_gpu("L40S")), offers=(make_offer("L40S", "0.80"),))
    (found,) = analyze_fleet(fleet).deployments
    kinds = [
        (c.configuration.gpu, a.quantization, a.kv_cache_dtype)
        for c in found.needs_quality_test
        for a in [c.configuration.arguments]
    ]
    assert len(kinds) == len(set(kinds)) > 1
    for candidate in found.needs_quality_test:
        assert candidate.verdict is Verdict.NEEDS_QUALITY_TEST
        assert candidate.configuration.list_cost_usd_per_h is not None
        assert candidate.configuration.list_cost_usd_per_h < Decimal("10.00")


def test_one_replica_has_no_rate_with_one_lost() -> None:
    (found,) = analyze_fleet(make_fleet(make_deployment(num_replicas=1))).deployments
    assert found.sustainable.one_lost_per_s is None
    assert found.recommendations[0].kind is RecommendationKind.RESTORE_SLO
    at_once = make_trace([0.0, 0.0, 0.0])
    (found,) = analyze_fleet(make_fleet(), at_once).deployments
    assert found.sustainable == SustainableRate(None, None)


def test_headroom_and_the_peak_of_a_profile_raise_the_load_that_must_be_borne() -> None:
    assert get_design_factor(make_fleet()) == 1.0
    profile = (1.0,) * 23 + (5.0,)
    fleet = make_fleet(limits=Limits(max_replicas=16, headroom_ratio=0.5), rate_profile=profile)
    factor = get_design_factor(fleet)
    assert factor == pytest.approx(1.5 * 5.0 * 24 / 28)
    (plain,) = analyze_fleet(make_fleet()).recommendations
    (raised,) = analyze_fleet(
        replace(fleet, deployments=(make_deployment(num_replicas=12),))
    ).recommendations
    assert plain.after.configuration.num_replicas < raised.after.configuration.num_replicas
    assert raised.saving_usd_per_month == 730 * (raised.saving_usd_per_h or 0)
    # Today is reported at the traced load, whatever it was judged at.
    (found,) = analyze_fleet(fleet).deployments
    assert found.today.service == analyze_fleet(make_fleet()).deployments[0].today.service
    assert any("6.43 times the traced load" in line for line in found.assumptions)


def test_what_was_assumed_is_said() -> None:
    deployment = make_deployment(
        arguments=make_arguments(engine=Engine.SGLANG, version="0.5"), assumed=("said so",)
    )
    (found,) = analyze_fleet(make_fleet(deployment, assumed=("of the fleet",))).deployments
    text = "\n".join(found.assumptions)
    for words in ("of the fleet", "said so", "round robin", "prefills before decodes", "no prefix"):
        assert words in text
