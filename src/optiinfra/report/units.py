"""Figures as people read them: milliseconds, dollars an hour, percent; unknown is "unknown".

The only place where base units become other units. Every function takes None for unknown.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

UNKNOWN = "unknown"
SECONDS_PER_MINUTE = 60.0
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0
PERCENT_STEPS = 10_000  # two decimals
SMALL_MONEY_USD = 0.1
_METRIC_NOUNS = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "End to end",
    "queue": "Queue",
    "kv_cache_usage": "KV cache use",
    "slo_attainment": "SLO attainment",
    "ttft_attainment": "TTFT attainment",
    "tpot_attainment": "TPOT attainment",
    "goodput": "Goodput",
    "batch_occupancy": "Batch occupancy",
    "list_cost": "List cost",
    "sustainable_rate": "Sustainable rate",
}
_UNITS = ("_usd_per_h", "_tokens_per_s", "_per_s", "_ratio", "_s")
_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max", "one_lost")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_number(value: float | None) -> str:
    """Three significant digits, thousands separated."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0 or abs(value) >= 100:  # noqa: PLR2004  three digits before the point
        return f"{value:,.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return _trim(f"{value:,.{min(decimals, 9)}f}")


def format_count(value: int | None) -> str:
    """A whole number, thousands separated."""
    return UNKNOWN if value is None else f"{value:,}"


def format_seconds(value: float | None) -> str:
    """Milliseconds below a second, minutes from two minutes on."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 1:
        return f"{format_number(value * 1000)} ms"
    if abs(value) < 2 * SECONDS_PER_MINUTE:
        return f"{format_number(value)} s"
    return format_span(value)


def format_span(value: float | None) -> str:
    """A stretch of time in the largest unit that keeps it above two."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for unit, length_s in (
        ("days", SECONDS_PER_DAY),
        ("hours", SECONDS_PER_HOUR),
        ("minutes", SECONDS_PER_MINUTE),
    ):
        if value >= 2 * length_s:
            return f"{format_number(value / length_s)} {unit}"
    return f"{format_number(value)} s"


def format_ratio(value: float | None) -> str:
    """Percent with two decimals at most, rounded down: 100% only when every request counts."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    steps = math.floor(round(value * PERCENT_STEPS, 6))
    if steps == 0 and value > 0:
        return "under 0.01%"
    return f"{_trim(f'{steps / 100:.2f}')}%"


def format_percent(value: float | None) -> str:
    """Whole percent, rounded down, for figures that are estimates themselves."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    percent = math.floor(round(value * 100, 6))
    return "under 1%" if percent == 0 and value > 0 else f"{percent}%"


def format_money(value: float | Decimal | None) -> str:
    """Dollars and cents; more digits below ten cents."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    magnitude = abs(float(value))
    if 0 < magnitude < SMALL_MONEY_USD:
        return f"{sign}${format_number(magnitude)}"
    return f"{sign}${abs(value):,.2f}"


def format_money_per_hour(value: float | Decimal | None) -> str:
    """Dollars an hour, `$7.47/h`."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{format_money(value)}/h"


def format_rate(value: float | None) -> str:
    """Events a second, `5.53/s`."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{format_number(value)}/s"


def format_factor(value: float) -> str:
    """A factor as a change: 1.2 is `+20%`."""
    percent = round((value - 1) * 100)
    sign = "+" if percent >= 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(percent)}%"


def format_instant(value: datetime) -> str:
    """`12 March 2025, 14:05 UTC` of an aware instant in UTC."""
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def format_metric(metric: str, value: float | None) -> str:
    """`value` in the unit that the name of `metric` states, for example `ttft_s_p99`."""
    _, unit, _ = _split_metric(metric)
    if unit == "_usd_per_h":
        return format_money_per_hour(value)
    if unit == "_ratio":
        return format_ratio(value)
    if unit == "_s":
        return format_seconds(value)
    if unit in {"_per_s", "_tokens_per_s"}:
        return format_rate(value)
    return format_number(value)


def describe_metric(metric: str) -> str:
    """The name of a metric for a reader: `ttft_s_p99` is `TTFT p99`."""
    noun, unit, statistic = _split_metric(metric)
    name = _METRIC_NOUNS.get(noun) or noun.replace("_", " ").capitalize()
    if unit == "_tokens_per_s":
        name = f"{name} tokens"
    words = statistic.replace("_", " ")
    return f"{name} {'with one replica lost' if words == 'one lost' else words}".strip()


def _split_metric(metric: str) -> tuple[str, str, str]:
    """Noun, unit suffix and statistic of a metric's name; the last two may be empty."""
    statistic = next((s for s in _STATISTICS if metric.endswith(f"_{s}")), "")
    rest = metric[: -len(statistic) - 1] if statistic else metric
    unit = next((u for u in _UNITS if rest.endswith(u)), "")
    return rest[: len(rest) - len(unit)], unit, statistic
