"""The metric store: rows ingested a second, and questions over 30 days of 50 million rows.

    python -m benchmarks.metric_store [--rows 50000000] [--url http://…] [--keep DIRECTORY]

Rows are of `performance_metrics_ts`: 20 customers of 20 services, 8 measures a row, two rollups
with sketches made on the way. They come as Arrow tables of 500,000 rows, in order of time. Ingest
is the median of five runs of 4 million rows by wall clock and by CPU seconds of this process (chDB
computes in it), beside the same blocks into a table without rollups, in turns. Then the table is
emptied and filled, and a dashboard's questions are asked of one customer after another; their CPU
time is told beside their latency, since on a busy machine only the first says anything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa

from optiinfra.adapters.clickhouse import ClickHouseStore, open_store
from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table
from optiinfra.domain.metric_queries import RangeQuery, Resolution, Selection, Statistic
from optiinfra.domain.metric_tables import MetricRows, MetricTable

SEED = 7
BLOCK = 500_000
NUM_CUSTOMERS = NUM_SERVICES = 20
DAYS = 30
MIN_ROWS_PER_S = 500_000
MAX_P95_S = 0.1
CUSTOMERS = tuple(UUID(int=1000 + place) for place in range(NUM_CUSTOMERS))
END = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = END - timedelta(days=DAYS - 1)


def make_block(rng: np.random.Generator, place: int, num_blocks: int) -> pa.Table:
    """One block, its rows in order of time; blocks follow each other over the days."""
    span_ms = (END - START) / timedelta(milliseconds=1)
    edges = np.linspace(0, span_ms, num_blocks + 1)
    first = round(START.timestamp() * 1000)
    at = np.sort(rng.integers(int(edges[place]), int(edges[place + 1]), BLOCK)) + first
    tokens = rng.integers(1, 4000, BLOCK).astype(np.float64)
    rows = MetricRows(
        table=MetricTable.PERFORMANCE,
        timestamp=at.astype("datetime64[ms]"),
        customer_ids=CUSTOMERS,
        customers=rng.integers(0, NUM_CUSTOMERS, BLOCK, dtype=np.int32),
        texts={
            "service_id": (
                [f"service-{n}" for n in range(NUM_SERVICES)],
                rng.integers(0, NUM_SERVICES, BLOCK, dtype=np.int32),
            ),
            "service_type": (["vllm"], np.zeros(BLOCK, dtype=np.int32)),
            "model_name": (["llama-3.1-8b"], np.zeros(BLOCK, dtype=np.int32)),
        },
        numbers={
            "latency_ms": np.round(rng.lognormal(6, 1, BLOCK), 3),
            "throughput_tokens_per_sec": np.round(rng.lognormal(4, 0.5, BLOCK), 3),
            "gpu_utilization": np.round(rng.random(BLOCK) * 100, 1),
            "kv_cache_utilization": np.round(rng.random(BLOCK), 4),
            "batch_size": rng.integers(1, 256, BLOCK).astype(np.float64),
            "prompt_tokens": tokens,
            "completion_tokens": tokens // 2,
            "total_tokens": tokens + tokens // 2,
        },
    )
    return make_arrow_table(rows)


def measure_ingest(store: ClickHouseStore, blocks: list[pa.Table]) -> tuple[float, float]:
    """Medians of five runs: rows a second, and rows a CPU second."""
    store.client.command("DROP TABLE IF EXISTS bare")
    store.client.command("CREATE TABLE bare AS performance_metrics_ts")
    wall, cpu, bare = [], [], []
    for run in range(5):
        started, used = time.perf_counter(), time.process_time()
        for place, block in enumerate(blocks):
            store.insert_table(
                MetricTable.PERFORMANCE, block, token=f"warm-{time.time_ns()}-{place}"
            )
        num_rows = sum(block.num_rows for block in blocks)
        wall.append(num_rows / (time.perf_counter() - started))
        cpu.append(num_rows / (time.process_time() - used))
        used = time.process_time()
        for block in blocks:
            store.client.insert_arrow("bare", block)
        bare.append(num_rows / (time.process_time() - used))
        print(
            f"  run {run + 1}: {wall[-1]:,.0f} rows/s, {cpu[-1]:,.0f} rows/CPU-s;"
            f" without rollups {bare[-1]:,.0f} rows/CPU-s"
        )
    store.client.command("DROP TABLE bare")
    ratio = float(np.median(cpu)) / float(np.median(bare))
    print(f"  with rollups at {ratio:.2f} of the rate without; best {max(cpu):,.0f} rows/CPU-s")
    return float(np.median(wall)), float(np.median(cpu))


def fill(store: ClickHouseStore, num_rows: int) -> None:
    """The days, from an empty table."""
    for table in ("ts", "hourly", "daily"):
        store.client.command(f"TRUNCATE TABLE performance_metrics_{table}")
    rng = np.random.default_rng(SEED)
    num_blocks = num_rows // BLOCK
    started = time.perf_counter()
    for place in range(num_blocks):
        block = make_block(rng, place, num_blocks)
        store.insert_table(MetricTable.PERFORMANCE, block, token=f"fill-{time.time_ns()}")
        if place % 20 == 19:
            print(f"  {(place + 1) * BLOCK:,} rows in {time.perf_counter() - started:.0f} s")


def list_questions(store: ClickHouseStore) -> dict[str, Callable[[UUID], object]]:
    """What a dashboard over all the days asks, by name."""

    def select(customer: UUID, measure: str) -> Selection:
        return Selection(customer, MetricTable.PERFORMANCE, measure, START, END)

    def ask(
        measure: str, statistic: Statistic, resolution: Resolution, *group_by: str
    ) -> Callable[[UUID], object]:
        return lambda customer: store.list_range(
            RangeQuery(select(customer, measure), statistic, resolution, group_by)
        )

    return {
        "p95 latency by hour": ask("latency_ms", Statistic.P95, Resolution.HOUR),
        "mean latency by hour and service": ask(
            "latency_ms", Statistic.MEAN, Resolution.HOUR, "service_id"
        ),
        "tokens by day and service": ask(
            "total_tokens", Statistic.SUM, Resolution.DAY, "service_id"
        ),
        "throughput in total": ask("throughput_tokens_per_sec", Statistic.MEAN, Resolution.TOTAL),
        "p99 latency in total": lambda customer: store.find_quantile(
            select(customer, "latency_ms"), level=0.99
        ),
        "slowest ten services": lambda customer: store.list_top(
            select(customer, "latency_ms"),
            dimension="service_id",
            statistic=Statistic.P95,
            num_groups=10,
        ),
        "performance_analytics": lambda customer: (
            store.client.query(
                "SELECT hour, avg(latency_ms_p95) FROM performance_analytics"
                f" WHERE customer_id = '{customer}' GROUP BY hour ORDER BY hour"
            ).result_rows
        ),
        "customer_metrics": lambda customer: (
            store.client.query(
                f"SELECT * FROM customer_metrics WHERE customer_id = '{customer}' ORDER BY day"
            ).result_rows
        ),
    }


def measure_questions(store: ClickHouseStore) -> float:
    """Seconds at the 95th percentile over all questions of all customers, asked once before."""
    every: list[float] = []
    every_cpu: list[float] = []
    for name, ask in list_questions(store).items():
        ask(CUSTOMERS[0])
        times, cpu = [], []
        for customer in CUSTOMERS:
            started, used = time.perf_counter(), time.process_time()
            answer = ask(customer)
            times.append(time.perf_counter() - started)
            cpu.append(time.process_time() - used)
            if not answer:
                raise AssertionError(name)
        every += times
        p50, p95 = np.quantile(times, [0.5, 0.95]) * 1e3
        cpu50, cpu95 = np.quantile(cpu, [0.5, 0.95]) * 1e3
        print(
            f"  {name:34} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms"
            f"  CPU p50 {cpu50:6.1f} p95 {cpu95:6.1f}"
        )
        every_cpu += cpu
    print(f"  CPU of all questions, p95 {np.quantile(every_cpu, 0.95) * 1e3:.1f} ms")
    return float(np.quantile(every, 0.95))


def main() -> int:
    """Print the figures; 1 when a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--url")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        with open_store(arguments.url or f"chdb://{directory}", is_migrated=False) as store:
            store.migrate()
            rng = np.random.default_rng(SEED)
            blocks = [make_block(rng, place, 100) for place in range(8)]
            print(f"Ingest, ClickHouse {store.get_server_version()}, {store.where.split(':')[0]}:")
            rows_per_s, rows_per_cpu_s = measure_ingest(store, blocks)
            print(f"  median {rows_per_s:,.0f} rows/s, {rows_per_cpu_s:,.0f} rows/CPU-s")
            print(f"Questions over {DAYS - 1} days and {arguments.rows:,} rows:")
            fill(store, arguments.rows)
            p95_s = measure_questions(store)
            print(f"  all questions, p95 {p95_s * 1e3:.1f} ms")
    return int(rows_per_s < MIN_ROWS_PER_S or p95_s > MAX_P95_S)


if __name__ == "__main__":
    sys.exit(main())
