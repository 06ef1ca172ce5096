"""Series that others collected, by name, labels and points, and what becomes of them.

Prometheus' remote write, its range queries and OTLP all give series like these. They are put
together to pages, one for each target and instant, and read as if they had been scraped, so that
a figure is the same whichever way it came.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.collectors.page import (
    Family,
    Labels,
    Layout,
    Page,
    PageError,
    SeriesName,
    make_layout,
)
from optiinfra.adapters.collectors.problems import ReadingProblem
from optiinfra.adapters.collectors.reader import MAX_AHEAD_NS, TargetReader
from optiinfra.adapters.collectors.series_text import SeriesTable
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch, concatenate_batches

MAX_SERIES = 200_000  # of one target
MAX_TARGETS = 10_000
MAX_AGE_NS = 398 * 86_400 * 10**9  # what is older, the metric store does not keep
_STALE_BITS = 0x7FF0000000000002  # Prometheus' NaN for a series that ended
_NO_FAMILY = (Family("", "unknown", "", ""),)
_MAX_LAYOUTS = 64

TargetOf = Callable[[Labels], tuple[Target, Labels]]


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedSeries:
    """A series with its points: Unix nanoseconds (int64) and values (float64), of one length."""

    name: str
    labels: Labels
    timestamp_ns: NDArray[np.int64]
    value: NDArray[np.float64]


class _TargetSeries:
    """The series of one target, and the page before of it."""

    def __init__(self, target: Target) -> None:
        self.table = SeriesTable(MAX_SERIES)
        self.reader = TargetReader(target)
        self._layouts: OrderedDict[bytes, Layout] = OrderedDict()

    def make_page(self, points: dict[int, float]) -> Page:
        """A page of values by the number of their series; pages of the same share a layout."""
        numbers = sorted(points)
        key = np.array(numbers, np.int32).tobytes()
        layout = self._layouts.get(key)
        if layout is None:
            layout = make_layout(list(_NO_FAMILY), [0] * len(numbers), numbers)
            self._layouts[key] = layout
            if len(self._layouts) > _MAX_LAYOUTS:
                self._layouts.popitem(last=False)
        return Page(layout, np.array([points[number] for number in numbers], np.float64), None)


class SeriesReceiver:
    """Makes samples of series of any number of targets; remembers of each the points before.

    `target_of` says from a series' labels whose it is, and which labels remain. When there are
    more than 10,000 targets, the one that was silent for longest is forgotten.
    """

    def __init__(self, target_of: TargetOf) -> None:
        self._target_of = target_of
        self._targets: OrderedDict[Target, _TargetSeries] = OrderedDict()
        self.problems: Counter[ReadingProblem] = Counter()

    def receive(self, series: Sequence[ReceivedSeries], now_ns: int) -> SampleBatch:
        """The samples, in the order of their instants.

        Points more than five minutes ahead of `now_ns`, or 398 days behind, are left out and
        counted.

        Raises:
            PageError: a target names more series than it may.
        """
        batches = []
        for target, pages in self._sort(series, now_ns).items():
            known = self._find(target)
            for at_ns in sorted(pages):
                reading = known.reader.read(known.make_page(pages[at_ns]), known.table, at_ns)
                self.problems.update(reading.problems)
                batches.append(reading.batch)
        return concatenate_batches(batches)

    def _sort(
        self, series: Sequence[ReceivedSeries], now_ns: int
    ) -> dict[Target, dict[int, dict[int, float]]]:
        """Values by target, instant and number of their series."""
        sorted_points: dict[Target, dict[int, dict[int, float]]] = {}
        for one in series:
            target, labels = self._target_of(one.labels)
            number = self._number(target, SeriesName(one.name, labels))
            pages = sorted_points.setdefault(target, defaultdict(dict))
            is_stale = one.value.view(np.int64) == _STALE_BITS
            is_ahead = one.timestamp_ns > now_ns + MAX_AHEAD_NS
            is_old = one.timestamp_ns < now_ns - MAX_AGE_NS
            left_out = {
                ReadingProblem.TIMESTAMP_AHEAD: int(is_ahead.sum()),
                ReadingProblem.TIMESTAMP_OLD: int(is_old.sum()),
            }
            self.problems.update(+Counter(left_out))
            kept = ~(is_stale | is_ahead | is_old)
            for at_ns, value in zip(
                one.timestamp_ns[kept].tolist(), one.value[kept].tolist(), strict=True
            ):
                pages[at_ns][number] = value
        return sorted_points

    def _number(self, target: Target, name: SeriesName) -> int:
        known = self._find(target)
        try:
            return known.table.number(name)
        except PageError:
            del self._targets[target]  # or it could never be received again
            raise

    def _find(self, target: Target) -> _TargetSeries:
        known = self._targets.get(target)
        if known is None:
            known = self._targets[target] = _TargetSeries(target)
            if len(self._targets) > MAX_TARGETS:
                self._targets.popitem(last=False)
        self._targets.move_to_end(target)
        return known
