"""The metric store: rollups equal raw aggregates, retries count once, customers never meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

import numpy as np
import pytest

from optiinfra.adapters.clickhouse import ClickHouseStore
from optiinfra.domain.errors import InputError
from optiinfra.domain.metric_queries import RangeQuery, Resolution, Selection, Statistic
from optiinfra.domain.metric_tables import SCHEMAS, ColumnKind, MetricRows, MetricTable, make_rows

# The last whole days before now, so that no row is old enough to be removed while it is tested.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
DAY_MS = round(DAY.timestamp() * 1000)
HOUR_MS = 3_600_000
ROLLUPS = ("hourly", "daily", "hourly_summary", "daily_summary")
pytestmark = pytest.mark.timeout(300)  # the first test of each store starts it


def draw_rows(
    rng: np.random.Generator, table: MetricTable, customers: list[UUID], size: int
) -> MetricRows:
    """Random rows over three days, a fifth of every measure not measured."""
    columns: dict[str, object] = {}
    for name, kind in SCHEMAS[table].columns.items():
        match kind:
            case ColumnKind.TEXT:
                columns[name] = [f"{name}-{place}" for place in rng.integers(0, 2, size)]
            case ColumnKind.FLAG | ColumnKind.INDEX:
                columns[name] = rng.integers(0, 2, size)
            case ColumnKind.COUNT:
                columns[name] = np.where(rng.random(size) < 0.2, np.nan, rng.integers(0, 2, size))
            case ColumnKind.NUMBER:
                drawn = rng.lognormal(2, 2, size) * rng.choice([1, -1], size, p=[0.9, 0.1])
                columns[name] = np.where(rng.random(size) < 0.2, np.nan, drawn)
    return make_rows(
        table,
        timestamp=DAY_MS + rng.integers(0, 3 * 24 * HOUR_MS, size),
        customer_id=[customers[place] for place in rng.integers(0, len(customers), size)],
        columns=columns,
    )


def ask_both(
    store: ClickHouseStore, table: MetricTable, customer: UUID, level: str
) -> tuple[list[object], list[object]]:
    """Every aggregate of every series and bucket: from the raw rows, and from a rollup."""
    schema = SCHEMAS[table]
    base = table.value.removesuffix("_ts")
    is_summary = level.endswith("_summary")
    held = [name for name in schema.dimensions if not is_summary or name in schema.summarized_by]
    dimensions = ", ".join(held)
    sketch = "(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)"
    raw, rolled = ["count()"], ["sum(num_rows)"]
    for measure, kind in schema.measures.items():
        is_whole = kind is ColumnKind.COUNT
        value = measure if is_whole else f"toDecimal128({measure}, 9)"
        raw += [
            f"count({measure})",
            f"ifNull(sum({value}), 0)",
            f"min({measure})",
            f"max({measure})",
        ]
        rolled += [f"sum({measure}_{part})" for part in ("count", "sum")]
        rolled += [f"{part}({measure}_{part})" for part in ("min", "max")]
        if measure in schema.sketched:
            raw.append(f"toString(quantilesDD{sketch}({measure}))")
            rolled.append(f"toString(quantilesDDMerge{sketch}({measure}_sketch))")
    start = {"hourly": "toStartOfHour", "daily": "toStartOfDay"}[level.removesuffix("_summary")]
    end = f"customer_id = '{customer}' GROUP BY ALL ORDER BY ALL"
    first = (
        f"SELECT {start}(timestamp), {dimensions}, {', '.join(raw)} FROM {table.value} WHERE {end}"
    )
    second = f"SELECT bucket, {dimensions}, {', '.join(rolled)} FROM {base}_{level} WHERE {end}"
    results = [store.client.query(sql).result_rows for sql in (first, second)]
    return list(results[0]), list(results[1])


@pytest.mark.parametrize("table", list(MetricTable))
def test_a_rollup_equals_the_raw_aggregate_before_and_after_merges(
    store: ClickHouseStore, table: MetricTable
) -> None:
    rng = np.random.default_rng(11)
    customers = [uuid4(), uuid4()]
    for _ in range(6):
        store.insert(draw_rows(rng, table, customers, 2_000), token=uuid4().hex)
    for is_merged in (False, True):
        if is_merged:
            base = table.value.removesuffix("_ts")
            for name in (table.value, *(f"{base}_{level}" for level in ROLLUPS)):
                store.client.command(f"OPTIMIZE TABLE {name} FINAL")
        for level in ROLLUPS:
            raw, rolled = ask_both(store, table, customers[0], level)
            assert len(raw) > 5
            assert raw == rolled


def test_sums_are_exact_however_rows_were_cut_into_inserts(store: ClickHouseStore) -> None:
    rng = np.random.default_rng(5)
    customer = uuid4()
    values = rng.lognormal(0, 6, 3_000)
    for place, part in enumerate(np.array_split(values, 7)):
        rows = make_rows(
            MetricTable.SAMPLES,
            timestamp=DAY_MS + np.arange(len(part)),
            customer_id=customer,
            columns={"metric": "m", "value": part},
        )
        store.insert(rows, token=f"{customer}-{place}")
    exact = sum((Fraction(int(Decimal(float(v) * 1e9)), 10**9) for v in values), Fraction(0))
    selection = Selection(
        customer, MetricTable.SAMPLES, "value", start=DAY, end=DAY + timedelta(days=1)
    )
    [point] = store.list_range(
        RangeQuery(selection, statistic=Statistic.SUM, resolution=Resolution.TOTAL)
    )
    assert point.value == float(exact)
    assert point.num_samples == len(values)


@pytest.mark.parametrize("where", [{}, {"service_id": "service_id-1"}], ids=["all", "service"])
@pytest.mark.parametrize("statistic", list(Statistic))
def test_the_same_from_days_hours_and_raw_rows(
    store: ClickHouseStore, statistic: Statistic, where: dict[str, str]
) -> None:
    rng = np.random.default_rng(3)
    customer = uuid4()
    store.insert(draw_rows(rng, MetricTable.PERFORMANCE, [customer], 3_000), token=f"{customer}")
    answers = set()
    for start, end in (
        (DAY, DAY + timedelta(days=3)),
        (DAY - timedelta(hours=1), DAY + timedelta(days=3)),
        (DAY - timedelta(seconds=1), DAY + timedelta(days=3)),
    ):
        selection = Selection(
            customer, MetricTable.PERFORMANCE, "latency_ms", start, end, where=where
        )
        [point] = store.list_range(
            RangeQuery(selection, statistic=statistic, resolution=Resolution.TOTAL)
        )
        answers.add((point.value, point.num_samples))
    assert len(answers) == 1


def test_what_is_sent_again_counts_once(store: ClickHouseStore) -> None:
    customer = uuid4()
    rng = np.random.default_rng(7)
    month_edge = DAY.replace(day=1)  # a block over two partitions
    rows = draw_rows(rng, MetricTable.RESOURCE, [customer], 500)
    edge_ms = round(month_edge.timestamp() * 1000)
    both = make_rows(
        MetricTable.RESOURCE,
        timestamp=[edge_ms - 1, edge_ms, edge_ms + 1],
        customer_id=customer,
        columns={"instance_id": "edge", "gpu_utilization": [1.0, 2.0, 3.0]},
    )
    for _ in range(3):
        store.insert(rows, token=f"{customer}-a")
        store.insert(both, token=f"{customer}-b")
    for table in ("resource_metrics_ts", *(f"resource_metrics_{level}" for level in ROLLUPS)):
        what = "count()" if table.endswith("_ts") else "sum(num_rows)"
        sql = f"SELECT {what} FROM {table} WHERE customer_id = '{customer}'"
        assert store.client.query(sql).result_rows == [(503,)], table


def test_equal_rows_of_two_batches_both_count(store: ClickHouseStore) -> None:
    customer = uuid4()
    rows = make_rows(
        MetricTable.COST,
        timestamp=[DAY_MS],
        customer_id=customer,
        columns={"instance_id": "i", "cost_per_hour": [2.5]},
    )
    for token in ("first", "second"):
        store.insert(rows, token=f"{customer}-{token}")
    selection = Selection(
        customer, MetricTable.COST, "cost_per_hour", DAY, DAY + timedelta(hours=1)
    )
    [point] = store.list_range(RangeQuery(selection, statistic=Statistic.COUNT))
    assert point.value == 2


def test_a_customer_sees_only_what_is_theirs(store: ClickHouseStore) -> None:
    ours, theirs = uuid4(), uuid4()
    for customer, value in ((ours, 1.0), (theirs, 1000.0)):
        rows = make_rows(
            MetricTable.COST,
            timestamp=[DAY_MS, DAY_MS + HOUR_MS],
            customer_id=customer,
            columns={"region": f"region-{value:g}", "cost_per_hour": value},
        )
        store.insert(rows, token=f"{customer}")
    selection = Selection(ours, MetricTable.COST, "cost_per_hour", DAY, DAY + timedelta(days=1))
    points = store.list_range(RangeQuery(selection, statistic=Statistic.MAX))
    assert [point.value for point in points] == [1.0, 1.0]
    assert [p.group for p in store.list_latest(selection, group_by=("region",))] == [("region-1",)]
    assert store.find_quantile(selection, level=1.0) == 1.0
    top = store.list_top(selection, dimension="region", statistic=Statistic.SUM, num_groups=10)
    assert [(p.group, p.value) for p in top] == [(("region-1",), 2.0)]


def test_what_was_not_measured_is_no_point(store: ClickHouseStore) -> None:
    customer = uuid4()
    rows = make_rows(
        MetricTable.RESOURCE,
        timestamp=[DAY_MS, DAY_MS + HOUR_MS],
        customer_id=customer,
        columns={"instance_id": "i", "cpu_utilization": [None, 4.0]},
    )
    store.insert(rows, token=f"{customer}")
    end = DAY + timedelta(hours=2)
    cpu = Selection(customer, MetricTable.RESOURCE, "cpu_utilization", DAY, end)
    assert [(p.at, p.value) for p in store.list_range(RangeQuery(cpu))] == [
        (DAY + timedelta(hours=1), 4.0)
    ]
    gpu = Selection(customer, MetricTable.RESOURCE, "gpu_utilization", DAY, end)
    assert store.list_range(RangeQuery(gpu)) == []
    assert store.list_latest(gpu) == []
    assert store.find_quantile(gpu, level=0.5) is None
    assert store.list_top(gpu, dimension="instance_id", statistic=Statistic.P95, num_groups=3) == []


def test_minutes_groups_and_filters(store: ClickHouseStore) -> None:
    customer = uuid4()
    rows = make_rows(
        MetricTable.RESOURCE,
        timestamp=DAY_MS + np.arange(4) * 30_000,
        customer_id=customer,
        columns={
            "instance_id": ["it's", "it's", "b\\", "b\\"],
            "gpu_index": [0, 1, 0, 1],
            "gpu_utilization": [10.0, 20.0, 30.0, 40.0],
        },
    )
    store.insert(rows, token=f"{customer}")
    selection = Selection(
        customer,
        MetricTable.RESOURCE,
        "gpu_utilization",
        DAY,
        DAY + timedelta(minutes=2),
        where={"gpu_index": 1},
    )
    points = store.list_range(
        RangeQuery(selection, resolution=Resolution.MINUTE, group_by=("instance_id", "gpu_index"))
    )
    assert [(p.at, p.group, p.value) for p in points] == [
        (DAY, ("it's", 1), 20.0),
        (DAY + timedelta(minutes=1), ("b\\", 1), 40.0),
    ]
    latest = store.list_latest(selection, group_by=("instance_id",))
    assert [(p.at, p.group, p.value) for p in latest] == [
        (DAY + timedelta(seconds=90), ("b\\",), 40.0),
        (DAY + timedelta(seconds=30), ("it's",), 20.0),
    ]


def test_quantiles_are_exact_from_raw_rows_and_within_a_percent_from_rollups(
    store: ClickHouseStore,
) -> None:
    customer = uuid4()
    values = np.random.default_rng(1).lognormal(3, 1, 10_001)
    rows = make_rows(
        MetricTable.PERFORMANCE,
        timestamp=DAY_MS + np.arange(len(values)),
        customer_id=customer,
        columns={"latency_ms": values},
    )
    store.insert(rows, token=f"{customer}")
    exact = float(np.sort(values)[9500])
    edges = {"rollup": DAY, "raw": DAY - timedelta(seconds=1)}
    for source, start in edges.items():
        selection = Selection(
            customer, MetricTable.PERFORMANCE, "latency_ms", start, DAY + timedelta(days=1)
        )
        found = store.find_quantile(selection, level=0.95)
        assert found == pytest.approx(exact, rel=0.01 if source == "rollup" else 1e-12)


def test_the_analytics_show_what_was_kept(store: ClickHouseStore) -> None:
    customer = uuid4()
    cost = make_rows(
        MetricTable.COST,
        timestamp=DAY_MS + np.array([0, 60_000, HOUR_MS, 2 * HOUR_MS]),
        customer_id=customer,
        columns={"instance_id": ["a", "a", "a", "b"], "cost_per_hour": [1.0, 3.0, 4.0, None]},
    )
    performance = make_rows(
        MetricTable.PERFORMANCE,
        timestamp=DAY_MS + np.arange(4),
        customer_id=customer,
        columns={"service_id": "s", "latency_ms": [1, 2, 3, 4], "prompt_tokens": [5, 6, 7, None]},
    )
    for rows in (cost, performance):
        store.insert(rows, token=f"{customer}-{rows.table}")
    [costs] = store.client.query(
        "SELECT num_instances, num_instance_hours, num_priced_instance_hours, instance_hours_cost"
        f" FROM cost_analytics WHERE customer_id = '{customer}'"
    ).result_rows
    assert costs == (2, 3, 2, 6.0)
    [day] = store.client.query(
        "SELECT instance_hours_cost, num_instance_hours, prompt_tokens, completion_tokens,"
        " latency_ms_mean, overall_quality_score_mean, gpu_utilization_mean"
        f" FROM customer_metrics WHERE customer_id = '{customer}'"
    ).result_rows
    assert day == (6.0, 3, 18, None, 2.5, None, None)
    for view in ("system_metrics", "performance_analytics"):
        found = store.client.query(
            f"SELECT * FROM {view} WHERE customer_id = '{customer}'"
        ).result_rows
        assert len(found) == (view == "performance_analytics")


def test_too_many_points_are_refused_and_not_cut_off(store: ClickHouseStore) -> None:
    customer = uuid4()
    rows = make_rows(
        MetricTable.COST,
        timestamp=DAY_MS + np.arange(5) * HOUR_MS,
        customer_id=customer,
        columns={"cost_per_hour": 1.0},
    )
    store.insert(rows, token=f"{customer}")
    selection = Selection(
        customer, MetricTable.COST, "cost_per_hour", DAY, DAY + timedelta(hours=5)
    )
    assert len(store.list_range(RangeQuery(selection, limit=5))) == 5
    with pytest.raises(InputError, match="more than 4 points"):
        store.list_range(RangeQuery(selection, limit=4))


def test_migrating_again_changes_nothing(store: ClickHouseStore) -> None:
    assert store.migrate() == []
    assert store.is_current()


def test_a_changed_migration_is_refused(store: ClickHouseStore) -> None:
    from optiinfra.adapters.clickhouse import migrating
    from optiinfra.domain.errors import StoreError

    first, *others = migrating.list_migrations()
    changed = [
        migrating.Migration(first.version, first.name, first.statements, digest="other"),
        *others,
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrating, "list_migrations", lambda: changed)
        with pytest.raises(StoreError, match="in another form"):
            store.migrate()
        patch.setattr(migrating, "list_migrations", lambda: others)
        with pytest.raises(StoreError, match="does not know"):
            store.migrate()
