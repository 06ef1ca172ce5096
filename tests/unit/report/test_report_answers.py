from dataclasses import replace
from decimal import Decimal

from tests.factories.analysis import (
    make_analysis,
    make_deployment,
    make_disagreeing_deployment,
    make_interval,
)

from optiinfra.domain.analysis import RecommendationKind, Verdict
from optiinfra.report.answers import compose_answer, compose_headline, compose_risk
from optiinfra.report.words import (
    compose_sentence,
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
    assert describe_sustainable(None) == "none of the rates tried"
    assert "only one replica" in describe_sustainable(None, is_possible=False)
