"""Tables of an answer for the terminal, readable at 80 columns and without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from optiinfra.cli.consoles import make_text
from optiinfra.domain.analysis import (
    Axis,
    Candidate,
    DeploymentAnalysis,
    Distribution,
    Recommendation,
    Truth,
    Verdict,
)
from optiinfra.report.units import (
    describe_metric,
    format_metric,
    format_ratio,
    format_seconds,
)
from optiinfra.report.words import (
    VERDICT_WORDS,
    describe_arguments,
    describe_configuration,
    describe_cost,
    describe_effect_change,
    describe_effect_interval,
    describe_precision,
    describe_sensitivity,
    describe_what_if_saving,
    name_saving,
)

NUM_CANDIDATES_SHOWN = 5
NUM_FRONT_SHOWN = 5
NUM_QUALITY_TESTS_SHOWN = 3


def make_table(*columns: str, num_text_columns: int = 1) -> Table:
    """A table with a rule under its head; columns after the first ones hold figures."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="dim")
    for number, column in enumerate(columns):
        is_text = number < num_text_columns
        table.add_column(
            column, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold"
        )
    return table


def make_flag(*, is_good: bool, good: str, bad: str) -> Text:
    """One of two words, coloured."""
    return Text(good, style="green") if is_good else Text(bad, style="red")


def build_latency_table(deployment: DeploymentAnalysis) -> Table:
    """Latency today beside the SLO's thresholds."""
    service, slo = deployment.today.service, deployment.slo
    table = make_table("latency", "mean", "p50", "p95", "p99", "SLO", "met by")
    rows: tuple[tuple[str, Distribution, float | None, float | None], ...] = (
        ("TTFT", service.ttft_s, slo.ttft_s, service.ttft_attainment_ratio),
        ("TPOT", service.tpot_s, slo.tpot_s, service.tpot_attainment_ratio),
        ("end to end", service.e2e_s, None, None),
        ("queue", service.queue_s, None, None),
    )
    for label, figures, threshold, met in rows:
        table.add_row(
            label,
            *(format_seconds(x) for x in (figures.mean, figures.p50, figures.p95, figures.p99)),
            "" if threshold is None else format_seconds(threshold),
            "" if met is None else format_ratio(met),
        )
    attainment = service.slo_attainment_ratio
    style = "green" if attainment >= slo.attainment_ratio else "red"
    joint = Text(format_ratio(attainment), style=style)
    table.add_row("both", "", "", "", "", format_ratio(slo.attainment_ratio), joint)
    return table


def build_truth_table(truth: Truth) -> Table:
    """Prediction beside measurement."""
    table = make_table("figure", "predicted", "interval", "measured", "")
    for comparison in truth.comparisons:
        metric, interval = comparison.metric, comparison.interval
        low, high = format_metric(metric, interval.low), format_metric(metric, interval.high)
        table.add_row(
            make_text(describe_metric(metric)),
            format_metric(metric, comparison.predicted),
            f"{low} to {high}",
            format_metric(metric, comparison.measured),
            make_flag(is_good=comparison.is_inside, good="inside", bad="outside"),
        )
    return table


def build_effects_table(recommendation: Recommendation) -> Table:
    """What users get, today and after."""
    table = make_table("effect", "today", "after", "interval", "change")
    for effect in recommendation.effects:
        table.add_row(
            make_text(describe_metric(effect.metric)),
            format_metric(effect.metric, effect.before),
            format_metric(effect.metric, effect.after),
            describe_effect_interval(effect),
            describe_effect_change(effect),
        )
    return table


def build_sensitivities_table(recommendation: Recommendation) -> Table:
    """What would make the recommendation wrong."""
    amount = name_saving(recommendation).lower()
    table = make_table("if", "attainment", "one lost", amount, "then it")
    for sensitivity in recommendation.sensitivities:
        has_service = sensitivity.axis is not Axis.PRICE  # prices do not change service
        shares = (sensitivity.slo_attainment_ratio, sensitivity.slo_attainment_ratio_one_lost)
        table.add_row(
            describe_sensitivity(sensitivity),
            *(format_ratio(share) if has_service else "unchanged" for share in shares),
            describe_what_if_saving(recommendation, sensitivity),
            make_flag(is_good=sensitivity.holds, good="holds", bad="breaks"),
        )
    return table


def build_candidates_table(
    candidates: Sequence[Candidate], *, chosen: Mapping[str, str], is_wide: bool
) -> Table:
    """Candidates with what they cost and what users get; `is_wide` has room for TTFT and TPOT.

    `chosen` says what is recommended: a word by the candidate's key.
    """
    extra = ("TTFT p95", "TPOT p95") if is_wide else ()
    table = make_table("candidate", "cost", *extra, "E2E p95", "one lost")
    for candidate in candidates:
        name = make_text(describe_configuration(candidate.configuration))
        if marks := _list_marks(candidate, chosen=chosen):
            name.append(f" ({', '.join(marks)})", style="bold")
        name.append("\n")
        name.append_text(make_text(describe_arguments(candidate.configuration), "dim"))
        lost = candidate.service_one_lost
        service = candidate.service
        latencies = [service.ttft_s.p95, service.tpot_s.p95] if is_wide else []
        table.add_row(
            name,
            describe_cost(candidate.configuration),
            *(format_seconds(latency) for latency in (*latencies, service.e2e_s.p95)),
            "no spare" if lost is None else format_ratio(lost.slo_attainment_ratio),
        )
    return table


def _list_marks(candidate: Candidate, *, chosen: Mapping[str, str]) -> list[str]:
    marks = [
        (chosen.get(candidate.key, ""), candidate.key in chosen),
        ("today", candidate.is_today),
        ("front", candidate.is_on_front),
        (VERDICT_WORDS[candidate.verdict], candidate.verdict is not Verdict.KEEPS_SLO),
    ]
    return [word for word, is_set in marks if is_set]


def list_shown_candidates(deployment: DeploymentAnalysis) -> list[Candidate]:
    """Today, the recommended, the cheapest that keep the SLO, and the cheap end of the front.

    Batch arguments alone make many near twins: one of each hardware is shown, the recommended one
    before one on the front, that before the cheapest.
    """
    recommended = {r.after.key: r.after for r in deployment.recommendations}
    ordered = sorted(deployment.candidates, key=_order_candidate)
    best: dict[tuple[str, int, int], Candidate] = {}
    on_front = (c for c in ordered if c.is_on_front)
    for candidate in (*recommended.values(), deployment.today, *on_front, *ordered):
        if candidate.verdict is Verdict.KEEPS_SLO:
            configuration = candidate.configuration
            size = configuration.arguments.tensor_parallel_size
            best.setdefault((configuration.gpu, configuration.num_replicas, size), candidate)
    kinds = sorted(best.values(), key=_order_candidate)
    keepers = [c for c in kinds if not c.is_today][:NUM_CANDIDATES_SHOWN]
    front = [c for c in kinds if c.is_on_front][:NUM_FRONT_SHOWN]
    shown = {c.key: c for c in (*keepers, *front, *recommended.values(), deployment.today)}
    return sorted(shown.values(), key=_order_candidate)


def _order_candidate(candidate: Candidate) -> tuple[bool, float, float]:
    """By cost, or by GPUs where there is no price."""
    configuration = candidate.configuration
    cost = configuration.list_cost_usd_per_h
    size = float(configuration.num_gpus if cost is None else cost)
    return cost is None, size, -candidate.service.slo_attainment_ratio


def list_quality_tests(deployment: DeploymentAnalysis) -> list[str]:
    """The cheapest of another precision below what is recommended, and how many more there are."""
    chosen = [*(r.after for r in deployment.recommendations), deployment.today]
    limit = min(map(_order_candidate, chosen))
    ordered = sorted(deployment.needs_quality_test, key=_order_candidate)
    cheaper = [c for c in ordered if _order_candidate(c)[:2] < limit[:2]]
    lines = [
        f"{describe_configuration(c.configuration)} at {describe_cost(c.configuration)} with "
        f"{describe_precision(c.configuration)}: answers may differ."
        for c in cheaper[:NUM_QUALITY_TESTS_SHOWN]
    ]
    num_more = len(ordered) - len(lines)
    if num_more:
        word = "more" if lines else "that cost no less"
        lines.append(f"{num_more} {word}, with another precision, in the report.")
    return lines
