from dataclasses import replace
from decimal import Decimal

from tests.factories.analysis import (
    make_analysis,
    make_candidates,
    make_deployment,
    make_disagreeing_deployment,
    make_interval,
)

from optiinfra.domain.analysis import RecommendationKind, Verdict
from optiinfra.report.answers import (
    compose_answer,
    compose_breach,
    compose_headline,
    compose_risk,
    list_break_evens,
)
from optiinfra.report.units import format_percent, format_ratio
from optiinfra.report.words import (
    compose_sentence,
    describe_effect_change,
    describe_effect_interval,
    describe_saving,
    describe_saving_range,
    describe_sustainable,
    name_saving,
)


def test_saving_is_one_plain_sentence() -> None:
    assert compose_headline(make_analysis()) == (
        "You can serve this traffic for $7.47 instead of $9.96 an hour "
        "and keep the promise even with one replica lost."
    )


def test_one_replica_lost_is_never_claimed_without_proof() -> None:
    deployment = make_deployment()
    recommendation = deployment.recommendations[0]
    after = replace(recommendation.after, service_one_lost=None)
    unproved = replace(deployment, recommendations=(replace(recommendation, after=after),))
    assert "one replica lost" not in compose_answer(unproved)
    broken = replace(recommendation.after, verdict=Verdict.BREAKS_SLO_ONE_LOST)
    unproved = replace(deployment, recommendations=(replace(recommendation, after=broken),))
    assert "one replica lost" not in compose_answer(unproved)


def test_without_a_price_the_replicas_are_named() -> None:
    answer = compose_answer(make_deployment(has_price=False))
    assert "3 \N{MULTIPLICATION SIGN} H100-SXM instead of 4" in answer
    assert "unknown" in answer


def test_broken_promise_comes_first() -> None:
    deployment = make_deployment()
    recommendation = replace(deployment.recommendations[0], kind=RecommendationKind.RESTORE_SLO)
    answer = compose_answer(replace(deployment, recommendations=(recommendation,)))
    assert answer.startswith("Today the promise is broken")


def test_no_recommendation_is_said_positively() -> None:
    assert "Nothing to change" in compose_answer(make_deployment(has_recommendation=False))
    assert "No change is recommended yet" in compose_answer(make_disagreeing_deployment())


def test_fleet_of_several_sums_what_is_known() -> None:
    quiet = make_deployment("batch", has_recommendation=False)
    assert compose_headline(make_analysis(make_deployment(), quiet)) == (
        "You can serve this fleet for $17.43 instead of $19.92 an hour "
        "by changing 1 of 2 deployments."
    )
    unpriced = make_deployment("unpriced", has_price=False)
    assert "unknown" in compose_headline(make_analysis(make_deployment(), unpriced))
    text = compose_headline(make_analysis(quiet, make_disagreeing_deployment()))
    assert text == (
        "No change is recommended for any of the 2 deployments. "
        "Measurement and prediction disagree for 1."
    )


def test_risk_names_what_breaks() -> None:
    recommendation = make_deployment().recommendations[0]
    assert compose_risk(recommendation) == (
        "Holds in 5 of 6 simulated what-ifs; not with load +20%."
    )
    assert "unknown" in compose_risk(replace(recommendation, sensitivities=()))


def test_extra_cost_is_not_a_negative_saving() -> None:
    recommendation = replace(
        make_deployment().recommendations[0],
        saving_usd_per_h=Decimal("-2.49"),
        saving_usd_per_h_interval=make_interval(-2.6, -2.4),
    )
    assert name_saving(recommendation) == "Extra cost"
    assert describe_saving(recommendation) == "$2.49/h"
    assert describe_saving_range(recommendation) == "$2.40 to $2.60/h"


def test_notes_become_sentences() -> None:
    assert compose_sentence("each replica") == "Each replica."
    assert compose_sentence("max_num_seqs 256") == "max_num_seqs 256."
    assert compose_sentence("vLLM said so!") == "vLLM said so!"
    assert compose_sentence(None) == ""


def test_missing_sustainable_rate_says_why() -> None:
    assert describe_sustainable(8.7) == "8.7/s"
    assert describe_sustainable(None).startswith("not found from 1/1,024 to 1,024 times")
    assert "only one replica" in describe_sustainable(None, is_possible=False)


def _break(verdict: Verdict, share: float, lost: float | None) -> str:
    deployment = make_deployment()
    today = deployment.today
    service = replace(today.service, slo_attainment_ratio=share)
    one_lost = None if lost is None else replace(today.service, slo_attainment_ratio=lost)
    broken = replace(today, verdict=verdict, service=service, service_one_lost=one_lost)
    return compose_breach(replace(deployment, today=broken))


def test_a_breach_says_what_is_broken() -> None:
    lost = Verdict.BREAKS_SLO_ONE_LOST
    assert _break(Verdict.KEEPS_SLO, 1.0, 1.0) == ""
    assert "broken: 49% of requests" in _break(Verdict.BREAKS_SLO, 0.49, 0.1)
    assert "but not at the load asked for" in _break(Verdict.BREAKS_SLO, 1.0, 1.0)
    assert "with one lost, 60% of requests" in _break(lost, 1.0, 0.6)
    assert "single replica" in _break(lost, 1.0, None)
    assert "one replica lost at the traced load" in _break(lost, 1.0, 1.0)
    for share, one_lost in ((1.0, 0.6), (1.0, None), (1.0, 1.0)):
        assert "broken" not in _break(lost, share, one_lost)


def test_restoring_a_promise_for_more_is_no_saving() -> None:
    deployment = make_deployment()
    first = deployment.recommendations[0]
    dearer = replace(
        first, kind=RecommendationKind.RESTORE_SLO, saving_usd_per_h=Decimal("-2.49"),
        before=first.after, after=replace(first.before, verdict=Verdict.KEEPS_SLO),
    )  # fmt: skip
    answer = compose_answer(replace(deployment, recommendations=(dearer,)))
    assert answer.endswith("takes $9.96 instead of $7.47 an hour.")
    assert "You can serve" not in answer


def test_a_broken_promise_that_nothing_mends() -> None:
    deployment = make_deployment(has_recommendation=False)
    broken = replace(deployment.today, verdict=Verdict.BREAKS_SLO)
    answer = compose_answer(replace(deployment, today=broken))
    assert "Nothing to change" not in answer
    assert "No change that mends it" in answer


def test_break_even_prices() -> None:
    deployment = make_deployment()
    assert list_break_evens(deployment) == ()
    every = {c.key: c for c in make_candidates(has_price=False)}
    unpriced = every["H100-SXM x3 tp1 seqs256 tokens8192"]
    lines = list_break_evens(replace(deployment, candidates=(deployment.today, unpriced)))
    assert len(lines) == 1
    assert "H100-SXM costs less than today below $3.32 a GPU-hour, " in lines[0]
    assert lines[0].endswith("less than what is recommended below $2.49.")
    unknown = make_deployment(has_price=False)
    priced = make_deployment().recommendations[0].after
    lines = list_break_evens(replace(unknown, candidates=(unknown.today, priced)))
    assert "at $7.47 an hour pays where today's H100-SXM costs more than $1.87" in lines[0]


def test_no_change_is_said_so() -> None:
    effect = replace(
        make_deployment().recommendations[0].effects[0], before=1.0, after=0.9999,
        interval=make_interval(1.0, 1.0),
    )  # fmt: skip
    assert describe_effect_change(effect) == "no change"
    assert describe_effect_change(replace(effect, metric="slo_attainment_ratio", after=1.0)) == (
        "no change"
    )
    assert describe_effect_change(replace(effect, after=0.9)) == "\N{MINUS SIGN}10.0%"
    assert describe_effect_interval(effect) == "1 s"


def test_small_is_not_zero() -> None:
    assert [format_percent(x) for x in (0.0, 0.004, 0.01)] == ["0%", "under 1%", "1%"]
    assert [format_ratio(x) for x in (0.0, 0.00004, 0.0001)] == ["0%", "under 0.01%", "0.01%"]
