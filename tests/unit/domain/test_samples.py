"""Batches of samples hold what they promise, and add up."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from optiinfra.domain.samples import (
    EMPTY_BATCH,
    SampleBatch,
    SampleKind,
    Series,
    concatenate_batches,
)

CUSTOMER = UUID(int=1)


def make_series(metric: str, **labels: str) -> Series:
    pairs = tuple(sorted(labels.items()))
    return Series(CUSTOMER, "t", "", "", metric, SampleKind.GAUGE, pairs)


def make_batch(*rows: tuple[str, int, float]) -> SampleBatch:
    names = sorted({row[0] for row in rows})
    return SampleBatch(
        tuple(make_series(name) for name in names),
        np.array([names.index(row[0]) for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
    )


def test_concatenation_keeps_every_row_and_lists_a_series_once() -> None:
    whole = concatenate_batches(
        [make_batch(("a", 1, 1.0), ("b", 2, 2.0)), EMPTY_BATCH, make_batch(("b", 3, 3.0))]
    )
    rows = [
        (whole.series[i].metric, int(t), float(v))
        for i, t, v in zip(whole.series_index, whole.timestamp_ns, whole.value, strict=True)
    ]
    assert rows == [("a", 1, 1.0), ("b", 2, 2.0), ("b", 3, 3.0)]
    assert len(whole.series) == 2
    assert len(concatenate_batches([])) == 0


@pytest.mark.parametrize(
    ("index", "time", "value", "problem"),
    [
        ([0], [1, 2], [1.0], "length"),
        ([1], [1], [1.0], "outside"),
        ([-1], [1], [1.0], "outside"),
        ([0], [1], [float("nan")], "finite"),
    ],
)
def test_a_batch_that_breaks_its_promise_is_refused(
    index: list[int], time: list[int], value: list[float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        SampleBatch(
            (make_series("a"),),
            np.array(index, np.int32),
            np.array(time, np.int64),
            np.array(value, np.float64),
        )


def test_a_batch_of_other_types_is_refused() -> None:
    with pytest.raises(ValueError, match="int32 int64 float64"):
        SampleBatch(
            (make_series("a"),),
            np.array([0], np.int64),
            np.array([0], np.int64),
            np.array([0.0], np.float64),
        )


def test_labels_are_found() -> None:
    assert make_series("a", gpu="3").find_label("gpu") == "3"
    assert make_series("a").find_label("gpu") is None
