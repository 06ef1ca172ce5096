"""A workload in figures: rate, burstiness, lengths and their dependence, sharing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.dispersion import DispersionAt, measure_dispersion
from optiinfra.twin.workload.prefix_statistics import PrefixStatistics, measure_prefixes

WINDOWS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
LENGTH_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_MAX_DAYS = 400
_NUM_CLASSES = 10
_LEAST_IN_WINDOW = 0.5  # requests expected: below that a window only sees single ones


@dataclass(frozen=True, slots=True)
class LengthStatistics:
    """Tokens of prompts or outputs; quantiles at `LENGTH_LEVELS`, `cv` is spread over mean."""

    mean: float
    cv: float
    quantiles: tuple[float, ...]
    longest: int


@dataclass(frozen=True, slots=True)
class WorkloadStatistics:
    """A trace in figures; None where a trace is too short for one, or has no hashes.

    `hourly_ratio` is the mean rate in each hour of the day, and `daily_ratio` that of each whole
    day, over the mean of all; both begin with the trace, at its clock hour where it has a calendar.
    `rank_correlation` is Spearman's, of prompts and outputs. `output_mean_by_prompt` is the mean
    output in each tenth of the prompts, shortest first, which shows what no single figure does.
    """

    num_requests: int
    span_s: float
    rate_per_s: float
    gap_cv: float | None
    hourly_ratio: tuple[float, ...] | None
    daily_ratio: tuple[float, ...] | None
    dispersion: tuple[DispersionAt, ...]
    prompt_tokens: LengthStatistics
    output_tokens: LengthStatistics
    rank_correlation: float | None
    output_mean_by_prompt: tuple[float, ...]
    prefixes: PrefixStatistics | None


def measure_workload(trace: Trace) -> WorkloadStatistics:
    """The figures of a trace."""
    arrival_s = trace.arrival_s
    gaps = np.diff(arrival_s)
    has_gaps = gaps.size > 1 and float(gaps.mean()) > 0
    order = np.argsort(trace.prompt_tokens, kind="stable")
    parts = np.array_split(trace.output_tokens[order], min(_NUM_CLASSES, order.size))
    return WorkloadStatistics(
        num_requests=trace.num_requests,
        span_s=trace.span_s,
        rate_per_s=trace.rate_per_s,
        gap_cv=float(gaps.std() / gaps.mean()) if has_gaps else None,
        hourly_ratio=_measure_hours(trace),
        daily_ratio=_measure_days(trace),
        dispersion=tuple(
            found
            for window_s in WINDOWS_S
            if trace.rate_per_s * window_s >= _LEAST_IN_WINDOW
            and (found := measure_dispersion(arrival_s, window_s)) is not None
        ),
        prompt_tokens=_measure_lengths(trace.prompt_tokens),
        output_tokens=_measure_lengths(trace.output_tokens),
        rank_correlation=_correlate_ranks(trace.prompt_tokens, trace.output_tokens),
        output_mean_by_prompt=tuple(float(part.mean()) for part in parts),
        prefixes=measure_prefixes(trace),
    )


def _measure_lengths(tokens: NDArray[np.int32]) -> LengthStatistics:
    mean = float(tokens.mean())
    return LengthStatistics(
        mean=mean,
        cv=float(tokens.std() / mean),
        quantiles=tuple(np.quantile(tokens, LENGTH_LEVELS).tolist()),
        longest=int(tokens.max()),
    )


def _measure_hours(trace: Trace) -> tuple[float, ...] | None:
    """Mean rate by hour of the day, from whole days only."""
    num_days = min(int(trace.span_s / _DAY_S), _MAX_DAYS)
    if num_days < 1:
        return None
    counts = np.histogram(trace.arrival_s, 24 * num_days, (0.0, num_days * _DAY_S))[0]
    by_hour = counts.reshape(num_days, 24).mean(axis=0)
    if trace.started_at is not None:
        by_hour = np.roll(by_hour, trace.started_at.hour)
    return tuple((by_hour / by_hour.mean()).tolist())


def _measure_days(trace: Trace) -> tuple[float, ...] | None:
    num_days = min(int(trace.span_s / _DAY_S), _MAX_DAYS)
    if num_days < 2:  # noqa: PLR2004 - one day says nothing of how days differ
        return None
    counts = np.histogram(trace.arrival_s, num_days, (0.0, num_days * _DAY_S))[0]
    return tuple((counts / counts.mean()).tolist())


def _correlate_ranks(one: NDArray[np.int32], other: NDArray[np.int32]) -> float | None:
    """Spearman's correlation, ties sharing their mean rank; None where one never varies."""
    ranks = [_rank(column) for column in (one, other)]
    if any(rank.std() == 0 for rank in ranks):
        return None
    centred = [rank - rank.mean() for rank in ranks]
    return float(np.mean(centred[0] * centred[1]) / (ranks[0].std() * ranks[1].std()))


def _rank(tokens: NDArray[np.int32]) -> NDArray[np.float64]:
    _, where, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[where], np.float64)
