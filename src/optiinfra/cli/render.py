"""An answer on the terminal: today, the truth, what is recommended, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optiinfra.cli.consoles import make_text
from optiinfra.cli.tables import (
    build_candidates_table,
    build_effects_table,
    build_latency_table,
    build_sensitivities_table,
    build_truth_table,
    list_quality_tests,
    list_shown_candidates,
)
from optiinfra.domain.analysis import (
    Analysis,
    CalibrationState,
    DeploymentAnalysis,
    Recommendation,
    Truth,
)
from optiinfra.report.answers import (
    compose_answer,
    compose_headline,
    compose_risk,
    list_break_evens,
)
from optiinfra.report.diff import build_diff
from optiinfra.report.units import (
    UNKNOWN,
    format_count,
    format_money,
    format_number,
    format_percent,
    format_rate,
    format_ratio,
)
from optiinfra.report.words import (
    CALIBRATION_WORDS,
    compose_approve_command,
    compose_sentence,
    describe_arguments,
    describe_confidence,
    describe_configuration,
    describe_cost,
    describe_interval,
    describe_observed,
    describe_saving,
    describe_saving_range,
    describe_slo,
    describe_sustainable,
    describe_traffic,
    name_saving,
)

INDENT = 2
LABEL_WIDTH = 13
WIDE_COLUMNS = 100
ALTERNATIVE = "Instead of it, on today's hardware"
DIFF_STYLES = {"-": "red", "+": "green"}


def render_analysis(
    analysis: Analysis,
    console: Console,
    *,
    recommendation_ids: Mapping[str, UUID],
    report: Path | None,
) -> None:
    """Print the whole answer; `report` is where the HTML report lies, None when there is none."""
    headline = compose_headline(analysis)
    console.print()
    console.print(make_text(headline, "bold"))
    for deployment in analysis.deployments:
        _render_deployment(
            deployment, console, recommendation_ids=recommendation_ids, headline=headline
        )
    _render_heading(console, "Rests on")
    for note in analysis.price_notes:
        _render_line(console, "Prices", compose_sentence(note))
    _render_line(
        console,
        "Evidence",
        f"fleet {analysis.fleet_digest[:12]}, twin {analysis.twin_version}, seed {analysis.seed}",
    )
    if report is not None:
        _render_line(console, "Report", str(report))
    console.print()


def _render_deployment(
    deployment: DeploymentAnalysis,
    console: Console,
    *,
    recommendation_ids: Mapping[str, UUID],
    headline: str,
) -> None:
    console.print()
    console.rule(make_text(f"{deployment.name}: {deployment.model}", "bold"), align="left")
    _render_line(console, "Traffic", describe_traffic(deployment))
    for note in deployment.trace.notes:
        _render_line(console, "", compose_sentence(note))
    _render_line(console, "Promise", describe_slo(deployment.slo))
    _render_today(deployment, console)
    _render_truth(deployment.truth, console)
    for number, recommendation in enumerate(deployment.recommendations):
        stored = recommendation_ids.get(recommendation.evidence.digest)
        label = ALTERNATIVE if number else "Recommendation"
        render_recommendation(recommendation, console, stored_id=stored, label=label)
    if not deployment.recommendations:
        _render_heading(console, "No recommendation")
        if (answer := compose_answer(deployment)) != headline:
            _print(console, answer)
        _print(console, compose_sentence(deployment.no_recommendation_reason) or UNKNOWN)
    _render_candidates(deployment, console)
    if deployment.assumptions:
        console.print()
    for assumption in deployment.assumptions:
        _print(console, f"assumed: {assumption}", "dim")


def _render_today(deployment: DeploymentAnalysis, console: Console) -> None:
    configuration, service = deployment.today.configuration, deployment.today.service
    _render_heading(console, "Today")
    _render_line(
        console,
        "Fleet",
        f"{describe_configuration(configuration)}, {describe_arguments(configuration)}",
    )
    cost = describe_cost(configuration)
    if deployment.cost_usd_per_million_output_tokens is not None:
        per_million = format_money(deployment.cost_usd_per_million_output_tokens)
        with_prompts = format_money(deployment.cost_usd_per_million_tokens)
        cost += f", {per_million} per million output tokens ({with_prompts} with prompt tokens)"
    _render_line(console, "Cost", cost)
    _print_table(console, build_latency_table(deployment))
    lost = deployment.today.service_one_lost
    _render_line(
        console,
        "One lost",
        "there is only one replica: nothing serves when it is lost"
        if lost is None
        else f"{format_ratio(lost.slo_attainment_ratio)} meet both",
    )
    _render_line(console, "Goodput", format_rate(service.goodput_per_s))
    _render_line(
        console,
        "KV cache",
        f"{format_percent(service.kv_cache_usage_ratio_mean)} used on average, "
        f"{format_percent(service.kv_cache_usage_ratio_max)} at most; "
        f"{format_count(service.num_preemptions)} preemptions",
    )
    _render_line(
        console,
        "Batch",
        f"{format_number(service.num_running_mean)} of "
        f"{format_count(configuration.arguments.max_num_seqs)} sequences on average, in a replica "
        "that has work",
    )
    sustainable = deployment.sustainable
    rates = f"{describe_sustainable(sustainable.all_replicas_per_s)} with the only replica"
    if configuration.num_replicas > 1:
        rates = (
            f"{describe_sustainable(sustainable.all_replicas_per_s)} with all replicas, "
            f"{describe_sustainable(sustainable.one_lost_per_s)} with one lost"
        )
    actual = format_rate(deployment.trace.rate_per_s)
    _render_line(console, "Sustainable", f"{rates} (actual {actual})")


def _render_truth(truth: Truth, console: Console) -> None:
    _render_heading(console, f"Prediction: {CALIBRATION_WORDS[truth.state]}")
    if not truth.comparisons:
        _print(console, "Nothing measured was given (--measured), so nothing could be checked.")
        return
    num_inside = sum(comparison.is_inside for comparison in truth.comparisons)
    count = f"{num_inside} of {len(truth.comparisons)} figures lie inside the interval."
    _print(console, f"Measured: {truth.comparisons[0].source}. {count}")
    _print_table(console, build_truth_table(truth))
    _render_lines(console, "Measured how", map(compose_sentence, truth.notes))
    _render_lines(console, "Likely cause", map(compose_sentence, truth.likely_causes))


def render_recommendation(
    recommendation: Recommendation,
    console: Console,
    *,
    stored_id: UUID | None,
    label: str = "Recommendation",
    is_decided: bool = False,
) -> None:
    """Print one recommendation: change, effects, what could make it wrong, how to approve it."""
    _render_heading(console, f"{label}: {recommendation.title}")
    diff = build_diff(recommendation.before, recommendation.after, recommendation.change)
    for line in diff:
        gap = "" if len(line.sign) > 1 else " "
        _print(console, f"{line.sign}{gap}{line.text}", DIFF_STYLES.get(line.sign, "dim"))
    console.print()
    _render_line(console, name_saving(recommendation), _describe_saving(recommendation))
    month = format_money(recommendation.saving_usd_per_month)
    separator = ":" if recommendation.saving_usd_per_month is None else ";"
    _render_line(console, "A month", f"{month}{separator} {recommendation.saving_month_note}")
    break_even = recommendation.after.break_even_usd_per_gpu_h
    if break_even is not None:
        _render_line(console, "Break-even", f"{format_money(break_even)} a GPU-hour")
    share = format_percent(recommendation.confidence_ratio)
    what = describe_confidence(recommendation)
    method = compose_sentence(recommendation.confidence_method)
    _render_line(console, "Confidence", f"{share} {what}. {method}")
    inside = "inside" if recommendation.is_interpolated else "beyond"
    note = f"{inside} what was observed: {describe_observed(recommendation)}"
    _render_line(console, "Load", note)
    _render_line(console, "Risk", compose_risk(recommendation))
    for risk in recommendation.risks:
        _render_line(console, "", compose_sentence(risk))
    _print_table(console, build_effects_table(recommendation))
    if recommendation.effects:
        _print(console, compose_sentence(describe_interval(recommendation.effects[0].interval)))
    _print_table(console, build_sensitivities_table(recommendation))
    if is_decided:
        return
    if stored_id is None:
        _print(console, "Not stored, so it cannot be approved.", "dim")
    else:
        _print(console, "To approve exactly this:")
        command = f"{' ' * INDENT}{compose_approve_command(str(stored_id))}"
        console.print(Text(command, style="bold"), soft_wrap=True)  # one line, to be copied


def _describe_saving(recommendation: Recommendation) -> str:
    """The saving and its range; GPUs where a price is unknown."""
    if recommendation.saving_usd_per_h is None:
        before, after = recommendation.before.configuration, recommendation.after.configuration
        gpus = f"{format_count(after.num_gpus)} instead of {format_count(before.num_gpus)}"
        return f"{UNKNOWN}: a price is missing; {gpus} GPUs"
    interval = recommendation.saving_usd_per_h_interval
    is_range = interval is not None and interval.low != interval.high
    range_ = describe_saving_range(recommendation)
    return f"{describe_saving(recommendation)}; {'range ' if is_range else ''}{range_}"


def _render_candidates(deployment: DeploymentAnalysis, console: Console) -> None:
    _render_heading(console, "Candidates")
    num_simulated, num_ruled_out = len(deployment.candidates), deployment.num_ruled_out
    num_dropped = len(deployment.dropped)
    dropped = f"{num_dropped:,} lost on part of the trace, " if num_dropped else ""
    _print(console, f"{num_simulated:,} simulated, {dropped}{num_ruled_out:,} ruled out before.")
    _render_lines(console, "Ruled out", map(compose_sentence, deployment.ruled_out_reasons))
    if deployment.truth.state is CalibrationState.DISAGREES:
        _print(console, "They are not listed: the twin does not match this fleet.")
        return
    _print(
        console,
        "The cheapest that keep the SLO and the front of cost and latency, one of each hardware: "
        "replicas \N{MULTIPLICATION SIGN} GPUs of a replica. One lost: share of requests that meet "
        "the SLO with one replica lost.",
    )
    keys = [r.after.key for r in deployment.recommendations]
    chosen = dict(zip(keys, ("recommended", "or this"), strict=False))
    shown, is_wide = list_shown_candidates(deployment), console.width >= WIDE_COLUMNS
    _print_table(console, build_candidates_table(shown, chosen=chosen, is_wide=is_wide))
    _render_lines(console, "Break-even", list_break_evens(deployment))
    _render_lines(console, "Test first", list_quality_tests(deployment))


def _render_heading(console: Console, title: str) -> None:
    console.print()
    console.print(make_text(title, "bold cyan"))


def _render_line(console: Console, label: str, value: str) -> None:
    """A label and its value, the value wrapped under itself."""
    width = max(20, console.width - INDENT - LABEL_WIDTH)
    lines: Iterable[Text] = make_text(value).wrap(console, width)
    for number, line in enumerate(lines):
        head = label if number == 0 else ""
        text = Text(" " * INDENT + f"{head:<{LABEL_WIDTH}}", style="dim")
        text.append_text(Text(line.plain.rstrip(), style="not dim"))
        console.print(text, soft_wrap=True)


def _render_lines(console: Console, label: str, values: Iterable[str]) -> None:
    """Several values under one label."""
    for number, value in enumerate(values):
        _render_line(console, "" if number else label, value)


def _print(console: Console, value: str, style: str = "") -> None:
    console.print(Padding(make_text(value, style), (0, 0, 0, INDENT), expand=False))


def _print_table(console: Console, table: Table) -> None:
    console.print(Padding(table, (0, 0, 0, INDENT), expand=False))
