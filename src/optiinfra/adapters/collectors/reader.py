"""Pages of one target as samples: levels, rates, means and quantiles in base units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.collectors.page import BAD_TIMESTAMP, NO_TIMESTAMP, Layout, Page
from optiinfra.adapters.collectors.plan import NOWHERE, RATIOS, HistogramGroup, Plan, PlanMaker
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.quantiles import compute_quantiles
from optiinfra.adapters.collectors.series_text import SeriesTable
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch, SampleKind

NS_PER_S = 10**9
MAX_AHEAD_NS = 300 * NS_PER_S
MAX_AGE_NS = 3_600 * NS_PER_S
MAX_GAP_S = 300.0  # no rate over a longer time: a restart in it could go unseen
_RESTART_S = 1.0  # a start that moved by less is the same start


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one page gave: samples, what was left out and why, and who reported."""

    batch: SampleBatch
    problems: Counter[ReadingProblem]
    sources: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Increase:
    """By sample of a page: growth since the page before (NaN: unknown), and over which time."""

    value: NDArray[np.float64]
    grown: NDArray[np.float64]
    has_fallen: NDArray[np.bool_]
    elapsed_s: NDArray[np.float64]


class TargetReader:
    """Remembers the page before, since rates need two."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._maker = PlanMaker(target)
        self._layout: Layout | None = None
        self._plan: Plan | None = None
        self._table: SeriesTable | None = None
        self._value = np.empty(0)
        self._at_ns = np.empty(0, np.int64)
        self._start_s = np.nan

    @np.errstate(all="ignore")  # what is not finite in the end is left out
    def read(self, page: Page, table: SeriesTable, at_ns: int) -> Reading:
        """The samples of a page that was read at `at_ns`; `table` names its series.

        A rate or quantile needs the page before: the first page gives none.
        """
        plan = self._plan_for(page.layout, table)
        problems = Counter(plan.problems)
        instant_ns, is_usable = self._check_instants(page, at_ns, problems)
        increase = self._compare(page, plan, instant_ns, is_usable, problems)
        value = np.full(len(plan.series), np.nan)
        timestamp_ns = np.full(len(plan.series), at_ns, np.int64)
        gauges = increase.value[plan.gauge_at]
        problems[ReadingProblem.NOT_FINITE] += int((~np.isfinite(page.value[plan.gauge_at])).sum())
        gauges[plan.gauge_zero_unknown & (gauges == 0)] = np.nan
        value[plan.gauge_out] = gauges * plan.gauge_scale
        timestamp_ns[plan.gauge_out] = instant_ns[plan.gauge_at]
        self._fill_counters(plan, increase, instant_ns, value, timestamp_ns)
        for group in plan.groups:
            _fill_group(group, increase, instant_ns, (value, timestamp_ns), problems)
        for combination in plan.combinations:
            combination.fill(value, timestamp_ns)
        value[plan.up_out] = 1.0
        self._remember(page, plan, instant_ns, increase)
        problems += Counter()  # drops what was not met
        is_known = np.isfinite(value)
        batch = SampleBatch(
            plan.series,
            np.flatnonzero(is_known).astype(np.int32),
            timestamp_ns[is_known],
            value[is_known],
        )
        return Reading(batch, problems, plan.sources)

    def read_nothing(self, at_ns: int) -> SampleBatch:
        """What is to be said of a target that could not be read: `up` is 0, all else unknown."""
        return SampleBatch(
            (self.target.make_series("up", SampleKind.GAUGE, self.target.labels),),
            np.zeros(1, np.int32),
            np.array([at_ns], np.int64),
            np.zeros(1, np.float64),
        )

    def _plan_for(self, layout: Layout, table: SeriesTable) -> Plan:
        if table is not self._table:
            self._table = table
            self._layout = None
            self._value, self._at_ns = np.empty(0), np.empty(0, np.int64)
        if self._plan is None or layout is not self._layout:
            self._plan = self._maker.make(layout, table.series)
            self._layout = layout
        num_more = len(table.series) - self._value.size
        if num_more:
            self._value = np.append(self._value, np.full(num_more, np.nan))
            self._at_ns = np.append(self._at_ns, np.zeros(num_more, np.int64))
        return self._plan

    @staticmethod
    def _check_instants(
        page: Page, at_ns: int, problems: Counter[ReadingProblem]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        size = page.value.size
        if page.timestamp_ns is None:
            return np.full(size, at_ns, np.int64), np.ones(size, np.bool_)
        instant_ns = np.where(page.timestamp_ns == NO_TIMESTAMP, at_ns, page.timestamp_ns)
        is_ahead = (instant_ns == BAD_TIMESTAMP) | (instant_ns > at_ns + MAX_AHEAD_NS)
        is_old = instant_ns < at_ns - MAX_AGE_NS
        problems[ReadingProblem.TIMESTAMP_AHEAD] += int(is_ahead.sum())
        problems[ReadingProblem.TIMESTAMP_OLD] += int(is_old.sum())
        return instant_ns, ~(is_ahead | is_old)

    def _compare(
        self,
        page: Page,
        plan: Plan,
        instant_ns: NDArray[np.int64],
        is_usable: NDArray[np.bool_],
        problems: Counter[ReadingProblem],
    ) -> _Increase:
        """Growth of every sample; only that of cumulative ones means anything."""
        series = page.layout.series_index
        value = np.where(is_usable & np.isfinite(page.value), page.value, np.nan)
        cumulative = plan.cumulative_at
        given = page.value[cumulative]
        problems[ReadingProblem.NOT_FINITE] += int((~np.isfinite(given)).sum())
        problems[ReadingProblem.COUNTER_NEGATIVE] += int((given < 0).sum())
        value[cumulative] = np.where(value[cumulative] < 0, np.nan, value[cumulative])
        before = self._value[series]
        elapsed_s = (instant_ns - self._at_ns[series]) / NS_PER_S
        elapsed_s[~((elapsed_s > 0) & (elapsed_s <= MAX_GAP_S))] = np.nan
        grown = np.where(np.isnan(elapsed_s), np.nan, value - before)
        has_fallen = grown < 0
        if plan.start_at != NOWHERE:
            start_s = float(value[plan.start_at])
            if start_s - self._start_s > _RESTART_S:
                has_fallen = ~np.isnan(grown)
                problems[ReadingProblem.COUNTER_RESET] += 1
            self._start_s = start_s
        has_fallen[plan.gauge_at] = False
        grown = np.where(has_fallen, value, grown)
        problems[ReadingProblem.COUNTER_RESET] += int((value < before)[cumulative].sum())
        return _Increase(value, grown, has_fallen, elapsed_s)

    @staticmethod
    def _fill_counters(
        plan: Plan,
        increase: _Increase,
        instant_ns: NDArray[np.int64],
        value: NDArray[np.float64],
        timestamp_ns: NDArray[np.int64],
    ) -> None:
        at, scale = plan.counter_at, plan.counter_scale
        value[plan.counter_out] = increase.value[at] * scale
        timestamp_ns[plan.counter_out] = instant_ns[at]
        has_rate = plan.rate_out != NOWHERE
        at, out = at[has_rate], plan.rate_out[has_rate]
        value[out] = increase.grown[at] * scale[has_rate] / increase.elapsed_s[at]
        timestamp_ns[out] = instant_ns[at]

    def _remember(
        self, page: Page, plan: Plan, instant_ns: NDArray[np.int64], increase: _Increase
    ) -> None:
        at = plan.cumulative_at
        at = at[np.isfinite(increase.value[at])]
        series = page.layout.series_index[at]
        is_later = instant_ns[at] > self._at_ns[series]
        series, at = series[is_later], at[is_later]
        self._value[series] = increase.value[at]
        self._at_ns[series] = instant_ns[at]


def _fill_group(
    group: HistogramGroup,
    increase: _Increase,
    instant_ns: NDArray[np.int64],
    columns: tuple[NDArray[np.float64], NDArray[np.int64]],
    problems: Counter[ReadingProblem],
) -> None:
    """Means and quantiles of the observations since the page before."""
    value, timestamp_ns = columns
    totals = np.stack([group.sum_at, group.count_at])
    parts = np.concatenate([totals, group.buckets.T])
    has_fallen = np.where(parts == NOWHERE, False, increase.has_fallen[parts]).any(axis=0)

    def grow(at: NDArray[np.intp], fallen: NDArray[np.bool_]) -> NDArray[np.float64]:
        grown = np.where(fallen, increase.value[at], increase.grown[at])
        return np.where((at == NOWHERE) | np.isnan(increase.grown[at]), np.nan, grown)

    sums, counts = grow(totals, np.broadcast_to(has_fallen, totals.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        value[group.mean_out] = np.where(counts > 0, sums / counts, np.nan)
    timestamp_ns[group.mean_out] = instant_ns[group.count_at]
    if not group.edges.size:
        return
    now = increase.value[group.buckets]
    decreases = (np.diff(now, axis=1) < 0).any(axis=1)
    problems[ReadingProblem.BUCKET_DECREASES] += int(decreases.sum())
    grown = grow(group.buckets, np.repeat(has_fallen, group.edges.size).reshape(now.shape))
    grown[decreases] = np.nan
    cumulative = np.maximum.accumulate(grown, axis=1)  # parts are not read at one instant
    for ratio, out in zip(RATIOS, group.quantile_out, strict=True):
        found = compute_quantiles(group.edges, cumulative, ratio)
        value[out] = np.stack([found.value, found.low, found.high], axis=1)
        timestamp_ns[out] = instant_ns[group.buckets[:, -1:]]
