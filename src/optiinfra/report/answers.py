"""The answer in plain sentences, one wording for the page, the terminal and machines."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from optiinfra.domain.analysis import (
    Analysis,
    CalibrationState,
    Candidate,
    Configuration,
    DeploymentAnalysis,
    Recommendation,
    RecommendationKind,
    Verdict,
)
from optiinfra.report.units import format_money, format_ratio
from optiinfra.report.words import describe_configuration, describe_sensitivity


def has_kept_one_lost(candidate: Candidate) -> bool:
    """True when the candidate was shown to keep the SLO with one replica lost."""
    return candidate.verdict is Verdict.KEEPS_SLO and candidate.service_one_lost is not None


def _compose_promise(candidate: Candidate) -> str:
    if has_kept_one_lost(candidate):
        return "keep the promise even with one replica lost"
    return "keep the promise while every replica is up"


def _compose_resources(recommendation: Recommendation) -> str:
    """`for $7.47 instead of $9.96 an hour`, or the replicas where a price is unknown."""
    before, after = recommendation.before.configuration, recommendation.after.configuration
    old, new = before.list_cost_usd_per_h, after.list_cost_usd_per_h
    if old is not None and new is not None:
        return f"for {format_money(new)} instead of {format_money(old)} an hour"
    return f"with {describe_configuration(after)} instead of {describe_configuration(before)}"


def compose_answer(deployment: DeploymentAnalysis) -> str:
    """The answer for one deployment in a plain sentence or two."""
    if deployment.truth.state is CalibrationState.DISAGREES:
        return (
            "No change is recommended yet: what was measured lies outside what the twin predicts."
        )
    if not deployment.recommendations:
        return "Nothing to change: this deployment stays as it is."
    recommendation = deployment.recommendations[0]
    resources = _compose_resources(recommendation)
    promise = _compose_promise(recommendation.after)
    if recommendation.kind is RecommendationKind.RESTORE_SLO:
        share = format_ratio(deployment.today.service.slo_attainment_ratio)
        return (
            f"Today the promise is broken: {share} of requests meet it, "
            f"{format_ratio(deployment.slo.attainment_ratio)} were promised. "
            f"You can serve this traffic {resources} and {promise}."
        )
    sentence = f"You can serve this traffic {resources} and {promise}."
    if recommendation.saving_usd_per_h is None:
        sentence += " What that saves is unknown: a price is missing."
    return sentence


def compose_headline(analysis: Analysis) -> str:
    """The answer for the fleet: the deployment's own sentence when there is only one."""
    deployments = analysis.deployments
    if len(deployments) == 1:
        return compose_answer(deployments[0])
    changed = [d for d in deployments if d.recommendations]
    old = _total(d.today.configuration for d in deployments)
    new = _total(
        d.recommendations[0].after.configuration if d.recommendations else d.today.configuration
        for d in deployments
    )
    count = f"{len(changed)} of {len(deployments)} deployments"
    if not changed:
        text = f"No change is recommended for any of the {len(deployments)} deployments."
    elif old is None or new is None:
        text = f"A change is recommended for {count}; what it saves in all is unknown."
    else:
        prices = f"{format_money(new)} instead of {format_money(old)} an hour"
        text = f"You can serve this fleet for {prices} by changing {count}."
    num_broken = sum(d.recommendations[0].kind is RecommendationKind.RESTORE_SLO for d in changed)
    if num_broken:
        verb = "breaks its" if num_broken == 1 else "break their"
        text += f" Today {num_broken} of them {verb} promise."
    num_open = sum(d.truth.state is CalibrationState.DISAGREES for d in deployments)
    if num_open:
        text += f" Measurement and prediction disagree for {num_open}."
    return text


def _total(configurations: Iterable[Configuration]) -> Decimal | None:
    """List cost an hour of all of them; None when one is unknown."""
    costs = [configuration.list_cost_usd_per_h for configuration in configurations]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def compose_risk(recommendation: Recommendation) -> str:
    """How many of the simulated what-ifs hold, and which do not."""
    sensitivities = recommendation.sensitivities
    if not sensitivities:
        return "No what-if was simulated: unknown."
    broken = [describe_sensitivity(s) for s in sensitivities if not s.holds]
    if not broken:
        return f"Holds in all {len(sensitivities)} simulated what-ifs."
    num_held = len(sensitivities) - len(broken)
    return (
        f"Holds in {num_held} of {len(sensitivities)} simulated what-ifs; "
        f"not with {' or '.join(broken)}."
    )
