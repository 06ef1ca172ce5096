"""Rows and questions that cannot be kept or asked are refused by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from optiinfra.domain.errors import InputError
from optiinfra.domain.metric_queries import RangeQuery, Resolution, Selection
from optiinfra.domain.metric_tables import MAX_ROWS, MetricTable, make_rows

CUSTOMER = UUID(int=1)
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"cost_per_hour": [float("inf")]}, "outside"),
        ({"cost_per_hour": [2e15]}, "outside"),
        ({"is_spot": [2]}, "outside"),
        ({"is_spot": [None]}, "part of the key"),
        ({"is_spot": [0.5]}, "fraction"),
        ({"cost": [1.0]}, "no column of numbers"),
        ({"cost_per_hour": [1.0, 2.0]}, "2 rows of 1"),
        ({"region": ["a", "b"]}, "2 rows of 1"),
        ({"region": ["a\0b"]}, "NUL"),
        ({"region": ["a" * 5000]}, "longer than"),
    ],
)
def test_a_wrong_column_is_named(columns: dict[str, Any], said: str) -> None:
    [name] = columns
    with pytest.raises(InputError, match=said) as error:
        make_rows(MetricTable.COST, timestamp=[0], customer_id=CUSTOMER, columns=columns)
    assert name in str(error.value)
    assert MetricTable.COST.value in str(error.value)


def test_more_rows_than_a_block_holds_are_refused() -> None:
    with pytest.raises(InputError, match=str(MAX_ROWS)):
        make_rows(
            MetricTable.COST,
            timestamp=np.zeros(MAX_ROWS + 1, dtype=np.int64),
            customer_id=CUSTOMER,
            columns={},
        )


def select(**changes: Any) -> Selection:
    fields: dict[str, Any] = {
        "customer_id": CUSTOMER,
        "table": MetricTable.RESOURCE,
        "measure": "gpu_utilization",
        "start": START,
        "end": START + timedelta(hours=2),
    }
    return Selection(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measure": "latency_ms"}, "gpu_utilization"),
        ({"measure": "gpu_utilization) FROM x --"}, "gpu_utilization"),
        ({"where": {"customer_id": "x"}}, "instance_id"),
        ({"where": {"gpu_index": "0"}}, "a number"),
        ({"where": {"instance_id": 0}}, "a text"),
        ({"end": START}, "before the end"),
        ({"start": datetime(2026, 11, 1)}, "in UTC"),  # noqa: DTZ001
    ],
)
def test_a_wrong_selection_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        select(**changes)


def test_a_range_off_the_edges_of_its_buckets_is_refused() -> None:
    selection = select(start=START + timedelta(minutes=1))
    with pytest.raises(InputError, match="edges of a hour"):
        RangeQuery(selection, resolution=Resolution.HOUR)
    RangeQuery(selection, resolution=Resolution.MINUTE)
    RangeQuery(selection, resolution=Resolution.TOTAL)
    with pytest.raises(InputError, match="edges of a day"):
        RangeQuery(select(), resolution=Resolution.DAY)


def test_groups_are_dimensions() -> None:
    with pytest.raises(InputError, match="no 'request_id'"):
        RangeQuery(select(), group_by=("request_id",))
    with pytest.raises(InputError, match="0 points"):
        RangeQuery(select(), limit=0)
