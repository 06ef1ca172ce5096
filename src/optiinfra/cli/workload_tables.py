"""Statistics of workloads for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from optiinfra.cli.consoles import make_console, make_text
from optiinfra.cli.tables import make_table
from optiinfra.report.units import (
    format_count,
    format_number,
    format_rate,
    format_ratio,
    format_seconds,
    format_span,
)

if TYPE_CHECKING:
    from optiinfra.adapters.traces.generation import GeneratedTrace
    from optiinfra.twin.workload import WorkloadStatistics

_LEVELS = ("p5", "p25", "p50", "p75", "p95", "p99")
_QUANTILES = ("p10", "p50", "p90")


def print_generated(
    generated: GeneratedTrace, *, out: Path | None, save_fit: Path | None, seed: int
) -> None:
    """Say what was written, and print the statistics that were asked for."""
    console = make_console()
    if save_fit is not None:
        console.print(make_text(f"Kept the fit in {save_fit}"), soft_wrap=True)
    if out is not None:
        kind = "synthetic requests" if generated.is_synthetic else "requests"
        text = (
            f"Wrote {format_count(generated.num_requests)} {kind} over "
            f"{format_span(generated.span_s)} ({format_rate(generated.rate_per_s)}, seed {seed}) "
            f"to {out}"
        )
        console.print(make_text(text), soft_wrap=True)
    for note in generated.notes:
        console.print(make_text(f"  {note}", "dim"), soft_wrap=True)
    statistics = generated.statistics
    is_part = statistics is not None and statistics.num_requests < generated.num_requests
    label = "generated, the first" if is_part else "generated"
    named = {"trace": generated.source_statistics, label: statistics}
    shown = {name: found for name, found in named.items() if found is not None}
    if shown:
        console.print(build_statistics_table(shown))


def build_statistics_table(columns: dict[str, WorkloadStatistics]) -> Table:
    """Figures of one or more workloads side by side; unknown where one cannot be had."""
    table = make_table("statistics", *columns)
    found = list(columns.values())

    def add(label: str, show: Callable[[WorkloadStatistics], str | None]) -> None:
        cells = [show(one) for one in found]
        if any(cell is not None for cell in cells):
            table.add_row(label, *(cell or "unknown" for cell in cells))

    add("requests", lambda one: format_count(one.num_requests))
    add("span", lambda one: format_span(one.span_s))
    add("rate", lambda one: format_rate(one.rate_per_s))
    add("variation of gaps", lambda one: format_number(one.gap_cv))
    windows = sorted({at.window_s for one in found for at in one.dispersion})
    for window_s in windows:
        add(f"index of dispersion, {format_seconds(window_s)}", _show_dispersion(window_s))
    for k, level in enumerate(_LEVELS):
        add(f"prompt tokens {level}", _show_length("prompt_tokens", k))
    add("prompt tokens mean", lambda one: format_number(one.prompt_tokens.mean))
    for k, level in enumerate(_LEVELS):
        add(f"output tokens {level}", _show_length("output_tokens", k))
    add("output tokens mean", lambda one: format_number(one.output_tokens.mean))
    add("rank correlation of the two", lambda one: format_number(one.rank_correlation))
    _add_prefixes(add)
    _add_rhythm(add, found)
    return table


_Add = Callable[[str, "Callable[[WorkloadStatistics], str | None]"], None]


def _add_prefixes(add: _Add) -> None:
    """Rows of prefix sharing, where there are hashes."""
    add("prompt blocks seen before", _show_prefix(lambda p: format_ratio(p.block_hit_ratio)))
    add("requests with a prefix seen", _show_prefix(lambda p: format_ratio(p.request_hit_ratio)))
    for k, level in enumerate(_QUANTILES):
        add(
            f"  their share of the prompt {level}",
            _show_prefix(lambda p, k=k: _take(p.shared_ratio_quantiles, k, format_ratio)),
        )
    for k, level in enumerate(_QUANTILES):
        add(
            f"  last used before, {level}",
            _show_prefix(lambda p, k=k: _take(p.lag_s_quantiles, k, format_seconds)),
        )


def _add_rhythm(add: _Add, found: list[WorkloadStatistics]) -> None:
    """Rows of days and of every third hour, where the trace is long enough."""
    num_days = max((len(one.daily_ratio or ()) for one in found), default=0)
    for day in range(num_days):
        add(f"rate on day {day + 1}", _show_ratio("daily_ratio", day))
    if any(one.hourly_ratio for one in found):
        for hour in range(0, 24, 3):
            add(f"rate at {hour:02d}:00", _show_ratio("hourly_ratio", hour))


def _show_ratio(name: str, index: int) -> Callable[[WorkloadStatistics], str | None]:
    return lambda one: _take(
        getattr(one, name), index, lambda ratio: f"{format_number(ratio)} of the mean"
    )


def _take(
    values: tuple[float, ...] | None, index: int, show: Callable[[float | None], str]
) -> str | None:
    return None if values is None or index >= len(values) else show(values[index])


def _show_dispersion(window_s: float) -> Callable[[WorkloadStatistics], str | None]:
    return lambda one: next(
        (format_number(a.index_of_dispersion) for a in one.dispersion if a.window_s == window_s),
        None,
    )


def _show_length(name: str, index: int) -> Callable[[WorkloadStatistics], str]:
    return lambda one: format_number(getattr(one, name).quantiles[index])


def _show_prefix(show: Callable[..., str | None]) -> Callable[[WorkloadStatistics], str | None]:
    return lambda one: None if one.prefixes is None else show(one.prefixes)
