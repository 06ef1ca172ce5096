"""Prometheus' answers as arrays, on hand-made ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optiinfra.adapters.prometheus_series import (
    find_longest_run,
    find_quantile,
    read_matrix,
    read_scalar,
    read_vector,
    to_buckets,
)
from optiinfra.domain.errors import InputError


def test_values_that_are_not_numbers_are_unknown() -> None:
    result = [{"metric": {"a": "1"}, "value": [0, value]} for value in ("NaN", "+Inf", "2", "x")]
    data = {"resultType": "vector", "result": result}
    assert read_vector(data) == [({"a": "1"}, 2.0)]
    assert read_scalar({"resultType": "vector", "result": []}) is None


def test_missing_steps_are_nan() -> None:
    values = [[60, "1"], [180.4, "3"], [600, "9"], [120, "NaN"]]
    data = {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}
    ((_, array),) = read_matrix(data, first_s=60, step_s=60, num_steps=3)
    assert np.array_equal(array, [1, np.nan, 3], equal_nan=True)


def test_buckets_are_sorted_by_number_and_never_negative() -> None:
    series = [({"le": "+Inf"}, 10.0), ({"le": "20"}, 7.0), ({"le": "3"}, 7.5)]
    edges, counts = to_buckets(series)
    assert edges.tolist() == [3, 20, np.inf]
    assert counts.tolist() == [7.5, 0.0, 3.0]
    assert to_buckets([])[0].size == 0


def test_quantiles_by_hand() -> None:
    edges, counts = np.array([1.0, 2.0, np.inf]), np.array([10.0, 80.0, 10.0])
    half = find_quantile(edges, counts, 0.5)
    assert half is not None
    assert (half.value, half.low, half.high) == (1.5, 1.0, 2.0)
    first = find_quantile(edges, counts, 0.05)
    assert first is not None
    assert first.value == 0.5
    assert find_quantile(edges, counts, 0.95) is None
    assert find_quantile(edges, np.zeros(3), 0.5) is None
    assert find_quantile(np.empty(0), np.empty(0), 0.5) is None


def test_longest_run() -> None:
    assert find_longest_run(np.array([True, False, True, True, False, True, True])) == (2, 4)
    assert find_longest_run(np.array([False])) == (0, 0)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"result": []},
        {"resultType": "scalar", "result": [1, "2"]},
        {"resultType": "vector", "result": [{"value": [0, "1"]}]},
        {"resultType": "vector", "result": [{"metric": {}, "value": "1"}]},
    ],
)
def test_other_shapes_are_refused(data: Any) -> None:
    with pytest.raises(InputError, match="does not answer with a vector"):
        read_vector(data)
