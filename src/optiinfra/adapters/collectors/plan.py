"""What is to be made of a page's samples, worked out once for pages of one layout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.collectors.catalogue import (
    ENGINES,
    Rule,
    RuleKind,
    list_rules,
    normalize,
    to_rate_metric,
)
from optiinfra.adapters.collectors.combined import Combination, list_combinations
from optiinfra.adapters.collectors.page import Labels, Layout, SeriesName
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleKind, Series

NOWHERE = -1  # of a column that is not there
RATIOS = (0.5, 0.95, 0.99)
_PARTS = ("_bucket", "_sum", "_count")
_START = "process_start_time_seconds"
_Key = tuple[str, Labels]  # canonical metric and the labels it goes out with
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class HistogramGroup:
    """Histograms of the same edges: places of their samples in the page, and of what goes out.

    `buckets` (n, k) with rising `edges` (k,), the last one infinite; an empty k where the buckets
    cannot be used. `quantile_out` is (3, n, 3): ratio, histogram, value and bounds.
    """

    edges: NDArray[np.float64]
    buckets: Places
    sum_at: Places
    count_at: Places
    mean_out: Places
    quantile_out: Places


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Places in the page (`…_at`) and in `series` (`…_out`); NOWHERE stands for none."""

    series: tuple[Series, ...]
    gauge_at: Places
    gauge_out: Places
    gauge_scale: NDArray[np.float64]
    gauge_zero_unknown: NDArray[np.bool_]
    counter_at: Places
    counter_out: Places
    counter_scale: NDArray[np.float64]
    rate_out: Places
    groups: tuple[HistogramGroup, ...]
    start_at: int
    cumulative_at: Places  # counters and all parts of histograms
    combinations: tuple[Combination, ...]
    up_out: int
    sources: frozenset[str]
    problems: Counter[ReadingProblem]


@dataclass(slots=True)
class _Histogram:
    rule: Rule
    buckets: dict[float, int] = field(default_factory=dict)
    sum_at: int = NOWHERE
    count_at: int = NOWHERE


class PlanMaker:
    """Makes the plan of a layout for a target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rules = list_rules()
        self._labels: dict[Labels, Labels] = {}

    def make(self, layout: Layout, names: Sequence[SeriesName]) -> Plan:
        """The plan; what cannot be used is counted in its `problems`."""
        self._gauges: dict[_Key, tuple[Rule, int]] = {}
        self._counters: dict[_Key, tuple[Rule, int]] = {}
        self._histograms: dict[_Key, _Histogram] = {}
        self._out: dict[Series, int] = {}
        self._problems: Counter[ReadingProblem] = Counter()
        self._labels.clear()
        start_at = NOWHERE
        columns = (layout.series_index.tolist(), layout.is_repeat.tolist())
        kinds = [layout.families[number].kind for number in layout.family_index.tolist()]
        for place, (series, is_repeat) in enumerate(zip(*columns, strict=True)):
            if is_repeat:
                self._problems[ReadingProblem.DUPLICATE_SERIES] += 1
                continue
            name = names[series]
            if name.name == _START and not name.labels:
                start_at = place
            self._enter(name, place, kinds[place])
        return self._finish(start_at)

    def _enter(self, name: SeriesName, place: int, kind: str) -> None:
        key = normalize(name.name)
        rule = self._rules.get(key)
        if rule is not None and rule.kind != RuleKind.HISTOGRAM:
            if rule.when is not None and rule.when not in name.labels:
                return
            is_counter = rule.kind == RuleKind.COUNTER or (
                rule.kind == RuleKind.BY_TYPE and kind == "counter"
            )
            entries = self._counters if is_counter else self._gauges
            at = (rule.metric, self._label(rule, name.labels))
            if at not in entries or rule.rank < entries[at][0].rank:
                entries[at] = (rule, place)
            return
        base, _, part = key.rpartition("_")
        rule = self._rules.get(base)
        if rule is not None and rule.kind == RuleKind.HISTOGRAM and f"_{part}" in _PARTS:
            self._enter_part(rule, part, name.labels, place)

    def _enter_part(self, rule: Rule, part: str, labels: Labels, place: int) -> None:
        own = tuple(pair for pair in labels if pair[0] != "le") if part == "bucket" else labels
        key = (rule.metric, self._label(rule, own))
        histogram = self._histograms.get(key)
        if histogram is None or rule.rank < histogram.rule.rank:
            histogram = self._histograms[key] = _Histogram(rule)
        elif rule.rank > histogram.rule.rank:
            return
        if part == "sum":
            histogram.sum_at = place
        elif part == "count":
            histogram.count_at = place
        else:
            histogram.buckets.setdefault(_read_edge(labels), place)

    def _label(self, rule: Rule, labels: Labels) -> Labels:
        """The labels of what goes out, one object for equal ones: there are many series."""
        named = dict(self._target.labels) | dict(labels)
        if rule.source in ENGINES:
            named["engine_kind"] = rule.source
        merged = tuple(sorted(named.items()))
        return self._labels.setdefault(merged, merged)

    def _place(self, metric: str, kind: SampleKind, labels: Labels) -> int:
        series = self._target.make_series(metric, kind, labels)
        return self._out.setdefault(series, len(self._out))

    def _finish(self, start_at: int) -> Plan:
        gauge_out = [self._place(m, SampleKind.GAUGE, labels) for m, labels in self._gauges]
        counter_out = [self._place(m, SampleKind.COUNTER, labels) for m, labels in self._counters]
        rate_out = [
            self._place(to_rate_metric(m), SampleKind.DERIVED, labels)
            for m, labels in self._counters
        ]
        counter_at = [place for _, place in self._counters.values()]
        counter_scale = [rule.scale for rule, _ in self._counters.values()]
        for (metric, labels), histogram in self._histograms.items():
            for part, place in (("count", histogram.count_at), ("sum", histogram.sum_at)):
                if place != NOWHERE:
                    counter_at.append(place)
                    counter_scale.append(1.0)
                    name = f"{metric}_{part}_total"
                    counter_out.append(self._place(name, SampleKind.COUNTER, labels))
                    rate_out.append(NOWHERE)
        groups = self._group()
        cumulative = [*counter_at, *(int(i) for g in groups for i in g.buckets.ravel())]
        chosen = [*self._gauges.values(), *self._counters.values()]
        sources = {rule.source for rule, _ in chosen}
        sources |= {histogram.rule.source for histogram in self._histograms.values()}
        combinations = list_combinations(self._out)
        up_out = self._place("up", SampleKind.GAUGE, self._target.labels)
        if not sources:
            self._problems[ReadingProblem.UNKNOWN_SOURCE] += 1
        return Plan(
            series=tuple(self._out),
            gauge_at=_to_places(place for _, place in self._gauges.values()),
            gauge_out=_to_places(gauge_out),
            gauge_scale=np.array([rule.scale for rule, _ in self._gauges.values()], np.float64),
            gauge_zero_unknown=np.array(
                [rule.is_zero_unknown for rule, _ in self._gauges.values()], np.bool_
            ),
            counter_at=_to_places(counter_at),
            counter_out=_to_places(counter_out),
            counter_scale=np.array(counter_scale, np.float64),
            rate_out=_to_places(rate_out),
            groups=groups,
            start_at=start_at,
            cumulative_at=_to_places(sorted(set(cumulative))),
            combinations=combinations,
            up_out=up_out,
            sources=frozenset(sources),
            problems=self._problems,
        )

    def _group(self) -> tuple[HistogramGroup, ...]:
        by_edges: dict[tuple[float, ...], list[tuple[_Key, _Histogram]]] = {}
        for key, histogram in self._histograms.items():
            edges = tuple(sorted(histogram.buckets))
            if not edges or edges[-1] != math.inf:
                self._problems[ReadingProblem.BUCKETS_INCOMPLETE] += 1
                edges = ()
            by_edges.setdefault(edges, []).append((key, histogram))
        return tuple(self._make_group(edges, members) for edges, members in by_edges.items())

    def _make_group(
        self, edges: tuple[float, ...], members: list[tuple[_Key, _Histogram]]
    ) -> HistogramGroup:
        def place(key: _Key, suffix: str) -> int:
            return self._place(f"{key[0]}_{suffix}", SampleKind.DERIVED, key[1])

        quantiles = [
            [[place(key, f"p{ratio * 100:.0f}{bound}") for bound in ("", "_low", "_high")]
             for key, _ in members]
            for ratio in RATIOS
        ] if edges else []  # fmt: skip
        return HistogramGroup(
            edges=np.array(edges, np.float64),
            buckets=np.array(
                [[histogram.buckets[edge] for edge in edges] for _, histogram in members], np.intp
            ).reshape(len(members), len(edges)),
            sum_at=_to_places(histogram.sum_at for _, histogram in members),
            count_at=_to_places(histogram.count_at for _, histogram in members),
            mean_out=_to_places(place(key, "mean") for key, _ in members),
            quantile_out=np.array(quantiles, np.intp).reshape(-1, len(members), len(RATIOS)),
        )


def _read_edge(labels: Labels) -> float:
    """The upper edge that `le` names, NaN where it names none."""
    text = next((value for name, value in labels if name == "le"), "nan")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _to_places(places: Iterable[int]) -> Places:
    return np.fromiter(places, np.intp)
