"""What was measured, as columns: the value that collectors hand to the metric store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray


class SampleKind(StrEnum):
    """How the values of a series are to be read."""

    GAUGE = "gauge"  # a level at the instant
    COUNTER = "counter"  # cumulative since the source started; a lower value means a restart
    BUCKET = "bucket"  # cumulative count of a histogram at or below the label `le`
    DERIVED = "derived"  # rate, mean or quantile over the time since the reading before


@dataclass(frozen=True, slots=True)
class Series:
    """Whose figure, read where, and which; hashable, so it may be a key.

    `target` is the stable name of what was read and never holds credentials. `deployment_id` and
    `instance_id` are empty where they are not known. `metric` is the canonical name, with its base
    unit (`kv_cache_usage_ratio`). `labels` are the source's own, sorted by name.
    """

    customer_id: UUID
    target: str
    deployment_id: str
    instance_id: str
    metric: str
    kind: SampleKind
    labels: tuple[tuple[str, str], ...] = ()

    def find_label(self, name: str) -> str | None:
        """The value of a label, None where the series has no such label."""
        return next((value for key, value in self.labels if key == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """Samples as columns of one length; the same series and instant twice is the same sample.

    `series_index` (int32) is the place in `series`, `timestamp_ns` (int64) Unix nanoseconds UTC,
    `value` (float64) finite, in the unit that the metric's name says.
    """

    series: tuple[Series, ...]
    series_index: NDArray[np.int32]
    timestamp_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.series_index.shape
        if len(shape) != 1 or self.timestamp_ns.shape != shape or self.value.shape != shape:
            raise ValueError("the columns of a batch are not of one length")
        columns = (self.series_index, self.timestamp_ns, self.value)
        found = " ".join(str(column.dtype) for column in columns)
        if found != "int32 int64 float64":
            raise ValueError(f"the columns of a batch are int32 int64 float64, not {found}")
        if shape[0] and not (
            self.series_index.min() >= 0 and self.series_index.max() < len(self.series)
        ):
            raise ValueError("series_index points outside `series`")
        if not np.isfinite(self.value).all():
            raise ValueError("a value is not finite; leave it out and count it")

    def __len__(self) -> int:
        return int(self.value.size)


EMPTY_BATCH = SampleBatch((), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


def concatenate_batches(batches: Sequence[SampleBatch]) -> SampleBatch:
    """One batch of all rows, in order; a series that several batches hold is listed once."""
    filled = [batch for batch in batches if len(batch)]
    if not filled:
        return EMPTY_BATCH
    place: dict[Series, int] = {}
    indices = []
    for batch in filled:
        new = np.array([place.setdefault(s, len(place)) for s in batch.series], np.int32)
        indices.append(new[batch.series_index])
    return SampleBatch(
        tuple(place),
        np.concatenate(indices),
        np.concatenate([batch.timestamp_ns for batch in filled]),
        np.concatenate([batch.value for batch in filled]),
    )
