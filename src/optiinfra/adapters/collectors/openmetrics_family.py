"""One family of an OpenMetrics page: what its type demands of names, labels and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from optiinfra.adapters.collectors.numbers import read_number
from optiinfra.adapters.collectors.page import (
    NO_TIMESTAMP,
    Family,
    Labels,
    PageError,
    PageProblem,
)

_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "histogram": ("_count", "_sum", "_bucket", "_created"),
    "gaugehistogram": ("_gcount", "_gsum", "_bucket"),
    "info": ("_info",),
}
_PLAIN = frozenset(("gauge", "stateset", "unknown"))
_NEVER_NAN = frozenset(("_total", "_sum", "_count", "_bucket", "_gcount", "_gsum"))
_NEVER_NEGATIVE = _NEVER_NAN - {"_gsum"}
_HISTOGRAMS = frozenset(("histogram", "gaugehistogram"))


class _Point(NamedTuple):
    """A sample of a histogram: `key` tells apart whose and when."""

    suffix: str
    key: tuple[Labels, int]
    edge: float
    value: float


class OpenFamily:
    """A family whose lines are still coming."""

    def __init__(self, name: str, kind: str | None = None) -> None:
        self.name = name
        self.allowed = frozenset((name,))
        self._kind = kind
        self._said: dict[str, str] = {}
        self._groups: set[Labels] = set()
        self._group: Labels | None = None
        self._timestamp_ns = NO_TIMESTAMP
        self._in_group: set[tuple[str, Labels]] = set()
        self._points: list[_Point] = []
        self._has_samples = False

    def describe(self, word: str, text: str) -> None:
        """Take in HELP, TYPE or UNIT.

        Raises:
            PageError: said twice, after samples, or a type there is not.
        """
        if self._has_samples:
            raise _make_error(f"{word} of {self.name} comes after its samples")
        if word in self._said:
            raise _make_error(f"{word} of {self.name} is said twice")
        self._said[word] = text
        if word == "TYPE":
            if text not in _SUFFIXES and text not in _PLAIN:
                raise _make_error(f"{text[:40]!r} is not a type")
            self._kind = text
            suffixes = _SUFFIXES.get(text, ("",))
            self.allowed = frozenset(self.name + suffix for suffix in suffixes)

    def add(
        self, name: str, labels: Labels, value: float, timestamp_ns: int, *, has_exemplar: bool
    ) -> bool:
        """Take in a sample; False where it repeats one of the same series and instant.

        Raises:
            PageError: what the type does not allow.
        """
        self._has_samples = True
        suffix = name[len(self.name) :]
        self._check_labels(suffix, labels)
        self._check_value(suffix, value)
        if has_exemplar and not (
            (self._kind in _HISTOGRAMS and suffix == "_bucket")
            or (self._kind == "counter" and suffix == "_total")
        ):
            raise _make_error(f"an exemplar of {name}, which is neither bucket nor counter")
        group = self._find_group(suffix, labels)
        is_new = self._place(group, timestamp_ns, (name, labels))
        if is_new and suffix and self._kind in _HISTOGRAMS:
            edge = float(dict(labels)["le"]) if suffix == "_bucket" else math.nan
            whose = group if suffix == "_bucket" else labels
            self._points.append(_Point(suffix, (whose, timestamp_ns), edge, value))
        return is_new

    def list_names(self) -> list[str]:
        """Every name that no other family of the page may use."""
        return [self.name, *(self.name + s for s in _SUFFIXES.get(self._kind or "", ()) if s)]

    def close(self) -> Family:
        """The family as said.

        Raises:
            PageError: a unit that does not fit, or buckets that contradict each other.
        """
        unit = self._said.get("UNIT", "")
        if unit and not self.name.endswith(f"_{unit}"):
            raise _make_error(f"the unit {unit[:40]!r} is not in the name {self.name}")
        if unit and self._kind in {"info", "stateset"}:
            raise _make_error(f"{self.name} cannot have a unit")
        if self._kind in _HISTOGRAMS:
            _check_histogram(self.name, self._points)
        return Family(self.name, self._kind or "unknown", self._said.get("HELP", ""), unit)

    def _check_labels(self, suffix: str, labels: Labels) -> None:
        if self._kind == "stateset" and not any(key == self.name for key, _ in labels):
            raise _make_error(f"a state of {self.name} has no label {self.name}")
        if suffix == "_bucket":
            edge = next((value for key, value in labels if key == "le"), "NaN")
            if edge == "NaN" or (_read_edge(edge) == math.inf and edge != "+Inf"):
                raise _make_error(f"a bucket of {self.name} has no le, or not as a number")
        if self._kind == "summary" and not suffix:
            share = next((value for key, value in labels if key == "quantile"), "-1")
            if not 0 <= _read_edge(share) <= 1:
                raise _make_error(f"a quantile of {self.name} is not in 0 to 1")

    def _check_value(self, suffix: str, value: float) -> None:
        if suffix in {"_bucket", "_count", "_gcount"} and not value.is_integer():
            raise _make_error(f"a count of {self.name} is not whole")
        if self._kind == "stateset" and value not in {0.0, 1.0}:
            raise _make_error(f"a state of {self.name} is neither 0 nor 1")
        if self._kind == "info" and value != 1:
            raise _make_error(f"{self.name} is information and not 1")
        if self._kind == "summary" and not suffix and value < 0:
            raise _make_error(f"a quantile of {self.name} is negative")
        if suffix in _NEVER_NAN and math.isnan(value):
            raise _make_error(f"{self.name}{suffix} is not a number")
        if suffix in _NEVER_NEGATIVE and value < 0:
            raise _make_error(f"{self.name}{suffix} is negative")

    def _find_group(self, suffix: str, labels: Labels) -> Labels:
        if self._kind == "info":
            return ()
        dropped = None
        if self._kind == "summary" and not suffix:
            dropped = "quantile"
        elif self._kind == "stateset":
            dropped = self.name
        elif self._kind in _HISTOGRAMS and suffix == "_bucket":
            dropped = "le"
        return tuple(pair for pair in labels if pair[0] != dropped) if dropped else labels

    def _place(self, group: Labels, timestamp_ns: int, series: tuple[str, Labels]) -> bool:
        """Whether the sample is a new one of its group, after the order of groups was checked."""
        if group != self._group:
            if group in self._groups:
                raise _make_error(f"samples of {self.name} are not together")
            self._groups.add(group)
            self._in_group = set()
        elif (timestamp_ns == NO_TIMESTAMP) != (self._timestamp_ns == NO_TIMESTAMP):
            raise _make_error(f"{self.name} has a timestamp here and none there")
        elif timestamp_ns < self._timestamp_ns and self._kind != "info":
            raise _make_error(f"timestamps of {self.name} go back")
        is_new = timestamp_ns != self._timestamp_ns or series not in self._in_group
        self._in_group.add(series)
        self._group, self._timestamp_ns = group, timestamp_ns
        return is_new


def _check_histogram(name: str, points: Sequence[_Point]) -> None:
    first = 0
    for place in range(1, len(points) + 1):
        if place == len(points) or points[place].key != points[first].key:
            _check_buckets(name, points[first:place])
            first = place


def _check_buckets(name: str, points: Sequence[_Point]) -> None:
    """Edges and counts of one histogram at one instant, in the order of the page."""
    buckets = [point for point in points if point.suffix == "_bucket"]
    said = {point.suffix: point.value for point in points}
    for low, high in pairwise(buckets):
        if high.edge <= low.edge:
            raise _make_error(f"buckets of {name} are not in the order of their edges")
        if high.value < low.value:
            raise _make_error(f"a bucket of {name} holds less than the one below it")
    if not buckets or buckets[-1].edge != math.inf:
        raise _make_error(f"{name} has no bucket +Inf")
    count = said.get("_count", said.get("_gcount"))
    if count is not None and count != buckets[-1].value:
        raise _make_error(f"the count of {name} is not that of its bucket +Inf")
    has_sum = "_sum" in said or "_gsum" in said
    if has_sum != (count is not None):
        raise _make_error(f"{name} has a sum without a count, or a count without a sum")
    is_below = any(bucket.edge < 0 for bucket in buckets)
    if is_below and "_sum" in said:
        raise _make_error(f"{name} has a sum and buckets below zero")
    if not is_below and said.get("_gsum", 0.0) < 0:
        raise _make_error(f"{name} has a negative sum and no bucket below zero")


def _read_edge(text: str) -> float:
    return read_number(text)


def _make_error(problem: str) -> PageError:
    return PageError(f"{problem}.", reason=PageProblem.MEANING)
