"""The sentences of an answer, one wording for the page and the terminal."""

from __future__ import annotations

from optiinfra.domain.analysis import (
    CalibrationState,
    Configuration,
    DeploymentAnalysis,
    Effect,
    FlagChange,
    Interval,
    Recommendation,
    Sensitivity,
    Verdict,
)
from optiinfra.domain.fleet import SLOTarget
from optiinfra.report.units import (
    UNKNOWN,
    format_count,
    format_factor,
    format_metric,
    format_money,
    format_money_per_hour,
    format_percent,
    format_rate,
    format_ratio,
    format_seconds,
    format_span,
)

VERDICT_WORDS = {
    Verdict.KEEPS_SLO: "keeps the SLO",
    Verdict.BREAKS_SLO: "breaks the SLO",
    Verdict.BREAKS_SLO_ONE_LOST: "breaks it with one lost",
    Verdict.NEEDS_QUALITY_TEST: "needs a quality test",
}
CALIBRATION_WORDS = {
    CalibrationState.UNCALIBRATED: "uncalibrated",
    CalibrationState.CHECKED: "checked",
    CalibrationState.DISAGREES: "disagrees",
}


def describe_configuration(configuration: Configuration) -> str:
    """Replicas times GPU type, with the GPUs of a replica where it has several."""
    num_gpus = configuration.arguments.num_gpus
    gpus = f"{num_gpus} {configuration.gpu}" if num_gpus > 1 else configuration.gpu
    return f"{configuration.num_replicas} \N{MULTIPLICATION SIGN} {gpus}"


def describe_arguments(configuration: Configuration) -> str:
    """The engine arguments that candidates vary, in a line."""
    arguments = configuration.arguments
    parts = [f"tp{arguments.tensor_parallel_size}"]
    if arguments.pipeline_parallel_size > 1:
        parts.append(f"pp{arguments.pipeline_parallel_size}")
    if arguments.data_parallel_size > 1:
        parts.append(f"dp{arguments.data_parallel_size}")
    parts += [
        f"{format_count(arguments.max_num_seqs)} seqs",
        f"{format_count(arguments.max_num_batched_tokens)} tokens",
        f"mem {arguments.gpu_memory_utilization:g}",
    ]
    if arguments.quantization:
        parts.append(arguments.quantization)
    if arguments.kv_cache_dtype != "auto":
        parts.append(f"KV {arguments.kv_cache_dtype}")
    return " \N{MIDDLE DOT} ".join(parts)


def describe_slo(slo: SLOTarget) -> str:
    """The promise in a line."""
    return (
        f"TTFT \N{LESS-THAN OR EQUAL TO} {format_seconds(slo.ttft_s)} and "
        f"TPOT \N{LESS-THAN OR EQUAL TO} {format_seconds(slo.tpot_s)} "
        f"for {format_ratio(slo.attainment_ratio)} of requests"
    )


def describe_interval(interval: Interval | None) -> str:
    """Coverage and method of an interval; the range itself is printed beside it."""
    if interval is None:
        return UNKNOWN
    return f"{format_percent(interval.coverage_ratio)} interval; {interval.method}"


def name_saving(recommendation: Recommendation) -> str:
    """`Saving`, or `Extra cost` where the change costs more than today."""
    saving = recommendation.saving_usd_per_h
    return "Extra cost" if saving is not None and saving < 0 else "Saving"


def describe_saving(recommendation: Recommendation) -> str:
    """The amount that belongs to `name_saving`, an hour."""
    saving = recommendation.saving_usd_per_h
    return format_money_per_hour(None if saving is None else abs(saving))


def describe_saving_range(recommendation: Recommendation) -> str:
    """The range of that amount; signed as a saving where its ends lie on two sides of zero.

    Where both ends are the same: that the amount does not depend on the error of the twin.
    """
    interval = recommendation.saving_usd_per_h_interval
    if interval is None:
        return UNKNOWN
    ends = [interval.low, interval.high]
    if interval.high <= 0:
        ends = [-interval.high, -interval.low]
    elif interval.low < 0 and name_saving(recommendation) == "Extra cost":
        return f"a saving of {format_money(ends[0])} to {format_money(ends[1])}/h"
    low, high = (format_money(end) for end in ends)
    if low == high:
        word = "more" if name_saving(recommendation) == "Extra cost" else "less"
        return f"no {word} should the engine be slower than predicted"
    return f"{low} to {high}/h"


def describe_change(change: FlagChange) -> str:
    """One line of a change in words: `replicas: 4 → 3`."""
    if change.before is None:
        return f"set {change.flag} to {change.after}"
    if change.after is None:
        return f"remove {change.flag} (was {change.before})"
    return f"{change.flag} {change.before} \N{RIGHTWARDS ARROW} {change.after}"


def describe_sensitivity(sensitivity: Sensitivity) -> str:
    """`load +20%`."""
    return f"{sensitivity.axis.value} {format_factor(sensitivity.factor)}"


def describe_sustainable(rate: float | None, *, is_possible: bool = True) -> str:
    """A sustainable rate, or why there is none."""
    if not is_possible:
        return "none: there is only one replica"
    tried = "not found from 1/1,024 to 1,024 times the traced rate"
    return tried if rate is None else format_rate(rate)


def compose_sentence(text: str | None) -> str:
    """A note as a sentence: a capital at the start, a stop at the end; "" for none."""
    stripped = (text or "").strip()
    if not stripped:
        return ""
    first = stripped.split(maxsplit=1)[0]
    if first.rstrip(":,;").isalpha() and first.islower():
        stripped = stripped[0].upper() + stripped[1:]
    return stripped if stripped[-1] in ".!?" else f"{stripped}."


def describe_traffic(deployment: DeploymentAnalysis) -> str:
    """Requests, window and rate of the trace in a line; made-up traffic says so first."""
    trace = deployment.trace
    text = (
        f"{format_count(trace.num_requests)} requests over {format_span(trace.span_s)} "
        f"({format_rate(trace.rate_per_s)}) from {trace.source}"
    )
    return f"synthetic: {text}" if trace.is_synthetic else text


def describe_cost(configuration: Configuration) -> str:
    """List cost an hour."""
    return format_money_per_hour(configuration.list_cost_usd_per_h)


def compose_approve_command(recommendation_id: str) -> str:
    """The command a person runs to approve; the address is theirs to fill in."""
    return f"optiinfra recommendations approve {recommendation_id} --by you@example.com"


def describe_effect_change(effect: Effect) -> str:
    """The effect relative to today; in points for shares."""
    if effect.metric.endswith("_ratio") or "_ratio_" in effect.metric:
        change, decimals, unit = (effect.after - effect.before) * 100, 2, " points"
    elif effect.before == 0:
        return UNKNOWN
    else:
        change, decimals, unit = (effect.after / effect.before - 1) * 100, 1, "%"
    if round(change, decimals) == 0:
        return "no change"
    return f"{change:+.{decimals}f}{unit}".replace("-", "\N{MINUS SIGN}")


def describe_what_if_saving(recommendation: Recommendation, sensitivity: Sensitivity) -> str:
    """What is saved if so, an hour; what it costs more where `name_saving` says extra cost."""
    saving = sensitivity.saving_usd_per_h
    if saving is not None and name_saving(recommendation) == "Extra cost":
        saving = -saving
    return format_money_per_hour(saving)


def describe_effect_interval(effect: Effect) -> str:
    """The interval of the figure after the change."""
    interval = effect.interval
    low, high = (format_metric(effect.metric, end) for end in (interval.low, interval.high))
    return low if low == high else f"{low} to {high}"


def describe_confidence(recommendation: Recommendation) -> str:
    """What the confidence is a probability of."""
    lost = "with one replica lost"
    return f"that the promise holds{f' {lost}' if recommendation.after.service_one_lost else ''}"


def describe_observed(recommendation: Recommendation) -> str:
    """Whether the change stays inside what was observed, and why, without saying it twice."""
    note = recommendation.observed_note
    for word in ("inside", "outside"):
        note = note.removeprefix(f"{word}: ")
    return note


def describe_precision(configuration: Configuration) -> str:
    """The number formats that a quality test is about."""
    arguments = configuration.arguments
    parts = [f"{arguments.quantization} weights"] if arguments.quantization else []
    if arguments.kv_cache_dtype != "auto":
        parts.append(f"{arguments.kv_cache_dtype} KV cache")
    return " and ".join(parts) or "as today"
