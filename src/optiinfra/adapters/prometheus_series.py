"""What Prometheus' answers mean, as arrays. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a histogram, and the edges of the bucket it was interpolated in."""

    value: float
    low: float
    high: float


def read_vector(data: Any) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an instant answer; NaN and infinity are left out."""
    series = []
    for entry in _read_results(data, "vector"):
        value = _to_number(entry["value"][1])
        if value is not None:
            series.append((entry["metric"], value))
    return series


def read_scalar(data: Any) -> float | None:
    """The value of an instant answer of one series; None without it."""
    series = read_vector(data)
    return series[0][1] if series else None


def read_matrix(
    data: Any, *, first_s: float, step_s: float, num_steps: int
) -> list[tuple[dict[str, str], NDArray[np.float64]]]:
    """Labels and values of each series of a range answer, NaN where a step has no value."""
    series = []
    for entry in _read_results(data, "matrix"):
        values = np.full(num_steps, np.nan)
        for stamp, text in entry["values"]:
            step = round((float(stamp) - first_s) / step_s)
            value = _to_number(text)
            if 0 <= step < num_steps and value is not None:
                values[step] = value
        series.append((entry["metric"], values))
    return series


def to_buckets(
    series: list[tuple[dict[str, str], Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rising upper edges and, edge by edge, the counts in each bucket, from cumulative `le` series.

    Counts have the shape of a series with a bucket axis added at the end. Differences below zero,
    which come of extrapolated increases, are 0.
    """
    by_edge = {float(labels["le"].replace("+Inf", "inf")): values for labels, values in series}
    if not by_edge:
        return np.empty(0), np.empty((0, 0))
    edges = sorted(by_edge)
    cumulative = np.stack([np.asarray(by_edge[edge], np.float64) for edge in edges], axis=-1)
    counts = np.diff(cumulative, axis=-1, prepend=0.0)
    return np.array(edges), np.where(np.isnan(counts), np.nan, np.maximum(counts, 0.0))


def find_quantile(
    upper_edges: NDArray[np.float64], counts: NDArray[np.float64], ratio: float
) -> Quantile | None:
    """Linear interpolation inside the bucket, as histogram_quantile does.

    None without counts, and, unlike histogram_quantile, also above the last finite edge.
    """
    total = counts.sum()
    if not counts.size or not total > 0:
        return None
    cumulative = np.cumsum(counts)
    rank = ratio * float(total)
    bucket = int(np.searchsorted(cumulative, rank, side="left"))
    bucket = min(bucket, counts.size - 1)
    high = float(upper_edges[bucket])
    if not math.isfinite(high):
        return None
    low = float(upper_edges[bucket - 1]) if bucket else 0.0
    before = float(cumulative[bucket - 1]) if bucket else 0.0
    inside = float(counts[bucket])
    share = (rank - before) / inside if inside > 0 else 1.0
    return Quantile(low + (high - low) * share, low, high)


def find_longest_run(is_known: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end (exclusive) of the longest stretch of true entries; the first of equals."""
    padded = np.concatenate(([False], is_known, [False])).astype(np.int8)
    changes = np.diff(padded)
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    if not starts.size:
        return 0, 0
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest])


def _read_results(data: Any, wanted: str) -> list[dict[str, Any]]:
    try:
        results, found = data["result"], data["resultType"]
        key = "value" if wanted == "vector" else "values"
        is_fine = found == wanted and all(
            isinstance(r["metric"], dict) and isinstance(r[key], list) for r in results
        )
    except (KeyError, TypeError):
        is_fine = False
    if not is_fine:
        raise InputError(
            f"Prometheus does not answer with a {wanted}.",
            remedy="Give the address of a Prometheus HTTP API.",
        )
    checked: list[dict[str, Any]] = results
    return checked


def _to_number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
