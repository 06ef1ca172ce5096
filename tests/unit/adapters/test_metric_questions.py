"""Which table answers a question, and rows in the form they are sent in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow as pa
import pytest

from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table, pack_rows
from optiinfra.adapters.clickhouse.questions import find_source
from optiinfra.domain.metric_queries import Resolution, Selection
from optiinfra.domain.metric_tables import SCHEMAS, MetricTable, make_rows

DAY = datetime(2026, 1, 5, tzinfo=UTC)
CUSTOMERS = [UUID(int=7), UUID(int=1 << 120)]


@pytest.mark.parametrize(
    ("resolution", "shift", "where", "group_by", "source"),
    [
        (Resolution.MINUTE, {}, {}, (), "ts"),
        (Resolution.HOUR, {}, {}, (), "hourly_summary"),
        (Resolution.HOUR, {}, {}, ("model_name",), "hourly_summary"),
        (Resolution.HOUR, {}, {}, ("model_name", "service_id"), "hourly"),
        (Resolution.HOUR, {}, {"service_type": "vllm"}, (), "hourly"),
        (Resolution.DAY, {}, {"model_name": "m"}, (), "daily_summary"),
        (Resolution.DAY, {}, {"model_name": "m"}, ("service_id",), "daily"),
        (Resolution.TOTAL, {}, {}, (), "daily_summary"),
        (Resolution.TOTAL, {"hours": 1}, {}, (), "hourly_summary"),
        (Resolution.TOTAL, {"hours": 1}, {}, ("service_id",), "hourly"),
        (Resolution.TOTAL, {"seconds": 1}, {}, (), "ts"),
    ],
)
def test_the_coarsest_table_that_is_exact_answers(
    resolution: Resolution,
    shift: dict[str, int],
    where: dict[str, str],
    group_by: tuple[str, ...],
    source: str,
) -> None:
    selection = Selection(
        CUSTOMERS[0],
        MetricTable.PERFORMANCE,
        "latency_ms",
        DAY + timedelta(**shift),
        DAY + timedelta(days=3),
        where,
    )
    assert find_source(selection, resolution, group_by) == f"performance_metrics_{source}"


@pytest.mark.parametrize("table", list(MetricTable))
def test_a_summary_holds_some_of_the_dimensions_but_not_all(table: MetricTable) -> None:
    schema = SCHEMAS[table]
    assert schema.summarized_by < set(schema.dimensions)


def test_packed_rows_are_the_same_rows() -> None:
    parts = [
        make_arrow_table(
            make_rows(
                MetricTable.COST,
                timestamp=[0, 1],
                customer_id=customers,
                columns={"region": ["eu", region], "cost_per_hour": [1.0, None]},
            )
        )
        for customers, region in ((CUSTOMERS, "us"), (CUSTOMERS[::-1], "ap"))
    ]
    plain = pa.concat_tables(parts)
    packed = pack_rows(plain)
    assert len(packed.to_batches()) == 1
    expected = [{**row, "customer_id": UUID(row["customer_id"]).bytes} for row in plain.to_pylist()]
    assert packed.to_pylist() == expected
    holds_nulls = {field.name for field in packed.schema if field.nullable}
    assert holds_nulls == {"cost_per_hour", "utilization_percent"}
