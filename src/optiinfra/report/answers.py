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
    breach = compose_breach(deployment)
    if not deployment.recommendations:
        if breach:
            return f"{breach} No change that mends it can be recommended."
        return "Nothing to change: this deployment stays as it is."
    recommendation = deployment.recommendations[0]
    resources = _compose_resources(recommendation)
    sentence = (
        f"You can serve this traffic {resources} and {_compose_promise(recommendation.after)}."
    )
    if recommendation.kind is RecommendationKind.RESTORE_SLO:
        saving = recommendation.saving_usd_per_h
        if saving is None or saving < 0:
            lost = (
                ", also with one replica lost," if has_kept_one_lost(recommendation.after) else ""
            )
            needed = resources.removeprefix("for ").removeprefix("with ")
            sentence = f"Keeping it{lost} takes {needed}."
        return f"{breach or 'Today the promise is broken.'} {sentence}"
    if recommendation.saving_usd_per_h is None:
        sentence += " What that saves is unknown: a price is missing."
    return sentence


def compose_breach(deployment: DeploymentAnalysis) -> str:
    """How today's configuration falls short of its promise; "" where it does not.

    The verdict is for the load that must be borne, the figures are for the traced load.
    """
    today, promised = deployment.today, deployment.slo.attainment_ratio
    if today.verdict in {Verdict.KEEPS_SLO, Verdict.NEEDS_QUALITY_TEST}:
        return ""
    share, lost = today.service.slo_attainment_ratio, today.service_one_lost
    beyond = "at the traced load, but not at the load asked for (headroom_ratio, rate_profile)."
    if share < promised:
        return (
            f"Today the promise is broken: {format_ratio(share)} of requests meet it, "
            f"{format_ratio(promised)} were promised."
        )
    if today.verdict is Verdict.BREAKS_SLO:
        return f"Today the promise is kept {beyond}"
    if lost is None:
        return "Today the promise hangs on a single replica: nothing serves when it is lost."
    if lost.slo_attainment_ratio < promised:
        return (
            "Today the promise is kept only while every replica is up: with one lost, "
            f"{format_ratio(lost.slo_attainment_ratio)} of requests meet it, "
            f"{format_ratio(promised)} were promised."
        )
    return f"Today the promise is kept with one replica lost {beyond}"


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
        if new > old:
            text = f"Keeping every promise takes {prices}, by changing {count}."
    num_broken = sum(bool(compose_breach(d)) for d in deployments)
    if num_broken:
        verb = "does not keep its" if num_broken == 1 else "do not keep their"
        text += f" Today {num_broken} of {len(deployments)} {verb} promise with one replica lost."
    num_open = sum(d.truth.state is CalibrationState.DISAGREES for d in deployments)
    if num_open:
        text += f" Measurement and prediction disagree for {num_open}."
    return text


def _total(configurations: Iterable[Configuration]) -> Decimal | None:
    """List cost an hour of all of them; None when one is unknown."""
    costs = [configuration.list_cost_usd_per_h for configuration in configurations]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def list_break_evens(deployment: DeploymentAnalysis) -> tuple[str, ...]:
    """Where a price is unknown: the price at which a change would pay, a sentence a GPU type."""
    keepers = [
        c for c in deployment.candidates if c.verdict is Verdict.KEEPS_SLO and not c.is_today
    ]
    today = deployment.today.configuration
    if today.list_cost_usd_per_h is None:
        return _list_todays_break_evens(today, keepers)
    proposed = None
    if deployment.recommendations:
        proposed = deployment.recommendations[0].after.configuration.list_cost_usd_per_h
    unpriced = [
        (c.break_even_usd_per_gpu_h, c) for c in keepers if c.break_even_usd_per_gpu_h is not None
    ]
    lines: dict[str, str] = {}
    for price, candidate in sorted(unpriced, key=lambda entry: (-entry[0], entry[1].key)):
        name = describe_configuration(candidate.configuration)
        line = f"{name} costs less than today below {format_money(price)} a GPU-hour"
        if proposed is not None:
            own = format_money(proposed / candidate.configuration.num_gpus)
            line += f", less than what is recommended below {own}"
        lines.setdefault(candidate.configuration.gpu, f"{line}.")
    return tuple(lines.values())


def _list_todays_break_evens(today: Configuration, keepers: list[Candidate]) -> tuple[str, ...]:
    """What today's GPU-hour would have to cost for the cheapest of each priced GPU type to pay."""
    priced = [
        (c.configuration.list_cost_usd_per_h, c)
        for c in keepers
        if c.configuration.list_cost_usd_per_h is not None
    ]
    lines: dict[str, str] = {}
    for cost, candidate in sorted(priced, key=lambda entry: (entry[0], entry[1].key)):
        name = describe_configuration(candidate.configuration)
        lines.setdefault(
            candidate.configuration.gpu,
            f"{name} at {format_money(cost)} an hour pays where today's {today.gpu} costs more "
            f"than {format_money(cost / today.num_gpus)} a GPU-hour.",
        )
    return tuple(lines.values())


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
