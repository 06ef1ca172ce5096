"""Figures that a source does not report itself but that follow from two or more that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.samples import SampleKind, Series

_NOWHERE = -1

# what comes out: what is added, the weight, and whether it has to be there
_SUMS: dict[str, tuple[tuple[str, float, bool], ...]] = {
    "gpu_memory_total_bytes": (
        ("gpu_memory_used_bytes", 1.0, True),
        ("gpu_memory_free_bytes", 1.0, True),
        ("gpu_memory_reserved_bytes", 1.0, False),  # old exporters count it as used
    ),
    "memory_used_bytes": (
        ("memory_total_bytes", 1.0, True),
        ("memory_available_bytes", -1.0, True),
    ),
}
_SHARES = {
    "prefix_cache_hit_ratio": ("prefix_cache_hits_per_s", "prefix_cache_queries_per_s"),
    "external_prefix_cache_hit_ratio": (
        "external_prefix_cache_hits_per_s",
        "external_prefix_cache_queries_per_s",
    ),
}
_IDLE = ("mode", "idle")


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """Fills the places `out` from other places of the same columns of values and instants."""

    out: NDArray[np.intp]
    at: NDArray[np.intp]
    compute: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def fill(self, value: NDArray[np.float64], timestamp_ns: NDArray[np.int64]) -> None:
        """Put the figures in; NaN where a part is not known."""
        parts = np.where(self.at == _NOWHERE, 0.0, value[self.at])
        value[self.out] = self.compute(parts)
        timestamp_ns[self.out] = timestamp_ns[self.at].max(axis=1)


def list_combinations(series: dict[Series, int]) -> tuple[Combination, ...]:
    """What can be combined of these series; the new ones are added to them with their place."""
    by_metric: dict[str, dict[Series, int]] = {}
    for one, place in series.items():
        by_metric.setdefault(one.metric, {})[one] = place
    found = [_make_sum(series, by_metric, metric) for metric in _SUMS]
    found += [_make_share(series, by_metric, metric) for metric in _SHARES]
    found.append(_make_cpu(series, by_metric))
    return tuple(one for one in found if one.out.size)


def _make_sum(
    series: dict[Series, int], by_metric: Mapping[str, dict[Series, int]], metric: str
) -> Combination:
    rows, out = [], []
    terms = _SUMS[metric]
    places = [_by_labels(by_metric.get(name, {})) for name, _, _ in terms]
    for labels, first in places[0].items():
        row = [found.get(labels, (None, _NOWHERE))[1] for found in places]
        if all(at != _NOWHERE or not term[2] for at, term in zip(row, terms, strict=True)):
            rows.append(row)
            out.append(_add(series, first[0], metric))
    weights = np.array([weight for _, weight, _ in terms])
    return Combination(_places(out), _table(rows, len(terms)), lambda parts: parts @ weights)


def _make_share(
    series: dict[Series, int], by_metric: Mapping[str, dict[Series, int]], metric: str
) -> Combination:
    part, whole = (_by_labels(by_metric.get(name, {})) for name in _SHARES[metric])
    rows = [(part[labels][1], at) for labels, (_, at) in whole.items() if labels in part]
    firsts = [one for labels, (one, _) in whole.items() if labels in part]
    out = [_add(series, one, metric) for one in firsts]
    return Combination(_places(out), _table(rows, 2), _divide)


def _make_cpu(series: dict[Series, int], by_metric: Mapping[str, dict[Series, int]]) -> Combination:
    idle = {
        one: place
        for one, place in by_metric.get("cpu_seconds_per_s", {}).items()
        if _IDLE in one.labels
    }
    out = [_add(series, next(iter(idle)), "cpu_utilization_ratio", ("cpu", "mode"))] if idle else []
    rows = [list(idle.values())] if idle else []
    return Combination(
        _places(out),
        _table(rows, len(idle)),
        lambda parts: np.clip(1.0 - parts.mean(axis=1), 0.0, 1.0),
    )


def _divide(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = parts[:, 0] / parts[:, 1]
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _by_labels(
    members: dict[Series, int],
) -> dict[tuple[tuple[str, str], ...], tuple[Series, int]]:
    return {one.labels: (one, place) for one, place in members.items()}


def _add(series: dict[Series, int], like: Series, metric: str, drop: tuple[str, ...] = ()) -> int:
    labels = tuple(pair for pair in like.labels if pair[0] not in drop)
    new = Series(
        like.customer_id, like.target, like.deployment_id, like.instance_id,
        metric, SampleKind.DERIVED, labels,
    )  # fmt: skip
    return series.setdefault(new, len(series))


def _places(places: list[int]) -> NDArray[np.intp]:
    return np.array(places, np.intp)


def _table(rows: list[list[int]] | list[tuple[int, int]], num_columns: int) -> NDArray[np.intp]:
    return np.array(rows, np.intp).reshape(len(rows), num_columns)
