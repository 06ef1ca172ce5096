"""The metric store: rows ingested a second, and questions over 30 days of 50 million rows.

    python -m benchmarks.metric_store [--rows 50000000] [--url http://…] [--keep DIRECTORY]

Rows are of `performance_metrics_ts`: 20 customers of 20 services and 4 models, 8 measures a row,
four rollups with sketches made on the way. They come as Arrow tables of 500,000 rows, in order of
time. Ingest is the median of five runs of 4 million rows by wall clock and by CPU seconds of this
process (chDB computes in it, background merges included), beside the same blocks into a table
without rollups, in turns; then the same with a request id of its own in every row. Then the table
is emptied and filled, rollups are compared with the raw rows, and a dashboard's questions are asked
of one customer after another, twice, once the merges of the fill have ended. Their CPU time is told
beside their latency, since on a busy machine only the first says anything. A question misses when
its own p95 is above the bar. `--only asking` asks what `--keep` kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa

from optiinfra.adapters.clickhouse import ClickHouseStore, open_store
from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table, pack_rows
from optiinfra.domain.metric_queries import RangeQuery, Resolution, Selection, Statistic
from optiinfra.domain.metric_tables import MetricRows, MetricTable

SEED = 7
ROLLUPS = ("hourly", "daily", "hourly_summary", "daily_summary")
BLOCK = 500_000
NUM_CUSTOMERS = NUM_SERVICES = 20
NUM_MODELS = 4
DAYS = 30
MIN_ROWS_PER_S = 500_000
MAX_P95_S = 0.1
MAX_MERGE_S = 120
CUSTOMERS = tuple(UUID(int=1000 + place) for place in range(NUM_CUSTOMERS))
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
END = TODAY + timedelta(days=1)
START = END - timedelta(days=DAYS)  # raw rows are kept for 30 days; today's are the 30th


def make_block(
    rng: np.random.Generator, place: int, num_blocks: int, *, has_requests: bool = False
) -> pa.Table:
    """One block, its rows in order of time; blocks follow each other over the days."""
    span_ms = (END - START) / timedelta(milliseconds=1)
    edges = np.linspace(0, span_ms, num_blocks + 1)
    first = round(START.timestamp() * 1000)
    at = np.sort(rng.integers(int(edges[place]), int(edges[place + 1]), BLOCK)) + first
    tokens = rng.integers(1, 4000, BLOCK).astype(np.float64)
    services = rng.integers(0, NUM_SERVICES, BLOCK, dtype=np.int32)
    texts = {
        "service_id": ([f"service-{n}" for n in range(NUM_SERVICES)], services),
        "service_type": (["vllm"], np.zeros(BLOCK, dtype=np.int32)),
        "model_name": ([f"model-{n}" for n in range(NUM_MODELS)], services % NUM_MODELS),
    }
    if has_requests:
        requests = [f"{number:016x}" for number in rng.integers(0, 1 << 62, BLOCK)]
        texts["request_id"] = (requests, np.arange(BLOCK, dtype=np.int32))
    rows = MetricRows(
        table=MetricTable.PERFORMANCE,
        timestamp=at.astype("datetime64[ms]"),
        customer_ids=CUSTOMERS,
        customers=rng.integers(0, NUM_CUSTOMERS, BLOCK, dtype=np.int32),
        texts=texts,
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
            store.client.insert_arrow("bare", pack_rows(block))
        bare.append(num_rows / (time.process_time() - used))
        print(
            f"  run {run + 1}: {wall[-1]:,.0f} rows/s, {cpu[-1]:,.0f} rows/CPU-s;"
            f" without rollups {bare[-1]:,.0f} rows/CPU-s",
            flush=True,
        )
    store.client.command("DROP TABLE bare")
    ratio = float(np.median(cpu)) / float(np.median(bare))
    print(f"  with rollups at {ratio:.2f} of the rate without; best {max(cpu):,.0f} rows/CPU-s")
    return float(np.median(wall)), float(np.median(cpu))


def fill(store: ClickHouseStore, num_rows: int) -> None:
    """The days, from an empty table."""
    for table in ("ts", *ROLLUPS):
        store.client.command(f"TRUNCATE TABLE performance_metrics_{table}")
    rng = np.random.default_rng(SEED)
    num_blocks = num_rows // BLOCK
    started = time.perf_counter()
    for place in range(num_blocks):
        block = make_block(rng, place, num_blocks)
        store.insert_table(MetricTable.PERFORMANCE, block, token=f"fill-{time.time_ns()}")
        if place % 10 == 9:
            took_s = time.perf_counter() - started
            print(f"  {(place + 1) * BLOCK:,} rows in {took_s:.0f} s", flush=True)


def await_merges(store: ClickHouseStore) -> None:
    """Until what a month brings, filled in minutes, is merged; two minutes at most."""
    started = time.perf_counter()
    quiet = 0
    while quiet < 3 and time.perf_counter() - started < MAX_MERGE_S:
        time.sleep(1)
        num_merges = int(str(store.client.command("SELECT count() FROM system.merges")))
        quiet = 0 if num_merges else quiet + 1
    print(f"  background merges ended after {time.perf_counter() - started:.0f} s", flush=True)


def compare_rollups(store: ClickHouseStore) -> None:
    """Raise AssertionError where a rollup of some customer differs from the raw rows."""
    levels = "(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)"
    started = time.perf_counter()
    for customer in CUSTOMERS[::7]:
        where = f"WHERE customer_id = '{customer}'"
        raw = store.client.query(
            "SELECT count(), sum(toDecimal128(latency_ms, 9)), max(latency_ms), sum(total_tokens),"
            f" quantilesDD{levels}(latency_ms) FROM performance_metrics_ts {where}"
        ).result_rows
        for level in ROLLUPS:
            rolled = store.client.query(
                "SELECT sum(num_rows), sum(latency_ms_sum), max(latency_ms_max),"
                f" sum(total_tokens_sum), quantilesDDMerge{levels}(latency_ms_sketch)"
                f" FROM performance_metrics_{level} {where}"
            ).result_rows
            if rolled != raw:
                raise AssertionError(f"{level} of {customer}: {rolled} and not {raw}")
    num_parts = store.client.command(
        "SELECT count() FROM system.parts WHERE active AND table LIKE 'performance_metrics_%'"
    )
    took_s = time.perf_counter() - started
    print(f"  rollups equal raw rows in {took_s:.1f} s; {num_parts} parts")


def list_questions(store: ClickHouseStore) -> dict[str, Callable[[UUID], object]]:
    """What a dashboard over all the days asks, by name."""
    service = {"service_id": "service-7"}
    model = {"model_name": "model-1"}

    def select(customer: UUID, measure: str, where: Mapping[str, str] | None = None) -> Selection:
        return Selection(customer, MetricTable.PERFORMANCE, measure, START, END, where or {})

    def ask(
        measure: str,
        statistic: Statistic,
        resolution: Resolution,
        *group_by: str,
        where: Mapping[str, str] | None = None,
    ) -> Callable[[UUID], object]:
        return lambda customer: store.list_range(
            RangeQuery(select(customer, measure, where), statistic, resolution, group_by)
        )

    def show(sql: str) -> Callable[[UUID], object]:
        return lambda customer: store.client.query(sql.format(customer=customer)).result_rows

    latency, tokens = "latency_ms", "total_tokens"
    p95, hour, day = Statistic.P95, Resolution.HOUR, Resolution.DAY
    return {
        "p95 latency by hour": ask(latency, p95, hour),
        "p95 latency by hour and model": ask(latency, p95, hour, "model_name"),
        "p95 latency by hour, one model": ask(latency, p95, hour, where=model),
        "p95 latency by hour, one service": ask(latency, p95, hour, where=service),
        "p95 latency by day and service": ask(latency, p95, day, "service_id"),
        "mean latency by hour and service": ask(latency, Statistic.MEAN, hour, "service_id"),
        "tokens by hour": ask(tokens, Statistic.SUM, hour),
        "tokens by day and service": ask(tokens, Statistic.SUM, day, "service_id"),
        "tokens by day and model": ask(tokens, Statistic.SUM, day, "model_name"),
        "throughput in total": ask("throughput_tokens_per_sec", Statistic.MEAN, Resolution.TOTAL),
        "p99 latency in total": lambda customer: store.find_quantile(
            select(customer, latency), level=0.99
        ),
        "slowest ten services": lambda customer: store.list_top(
            select(customer, latency), dimension="service_id", statistic=p95, num_groups=10
        ),
        "performance_analytics, one service": show(
            "SELECT * FROM performance_analytics WHERE customer_id = '{customer}'"
            " AND service_id = 'service-7' ORDER BY hour"
        ),
        "customer_metrics": show(
            "SELECT * FROM customer_metrics WHERE customer_id = '{customer}' ORDER BY day"
        ),
    }


def measure(name: str, ask: Callable[[UUID], object]) -> tuple[list[float], list[float]]:
    """Seconds by wall and by CPU of a question to every customer; asked once before."""
    ask(CUSTOMERS[0])
    times, cpu = [], []
    for customer in CUSTOMERS * 2:
        started, used = time.perf_counter(), time.process_time()
        answer = ask(customer)
        times.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
        if not answer:
            raise AssertionError(name)
    p50, p95 = np.quantile(times, [0.5, 0.95]) * 1e3
    cpu50, cpu95 = np.quantile(cpu, [0.5, 0.95]) * 1e3
    num_rows = len(answer) if isinstance(answer, list) else 1
    print(
        f"  {name:34} {num_rows:6,} rows  p50 {p50:6.1f} ms  p95 {p95:6.1f} ms"
        f"  CPU p50 {cpu50:6.1f} p95 {cpu95:6.1f}{'  MISSED' if p95 > MAX_P95_S * 1e3 else ''}",
        flush=True,
    )
    return times, cpu


def measure_questions(store: ClickHouseStore) -> int:
    """How many of the questions miss the bar."""
    answers = [measure(name, ask) for name, ask in list_questions(store).items()]
    times, cpu = (np.array(column) * 1e3 for column in zip(*answers, strict=True))
    for what, values in (("wall", times), ("CPU", cpu)):
        p50, p95 = np.quantile(values, [0.5, 0.95])
        print(f"  all of them, {what:4} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms")
    print("Longer than a dashboard draws: a quantile in each hour of each service")
    every = RangeQuery(
        Selection(CUSTOMERS[3], MetricTable.PERFORMANCE, "latency_ms", START, END),
        Statistic.P95,
        Resolution.HOUR,
        ("service_id",),
    )
    measure("p95 latency by hour and service", lambda _customer: store.list_range(every))
    return int((np.quantile(times, 0.95, axis=1) > MAX_P95_S * 1e3).sum())


def main() -> int:
    """Print the figures; 1 when a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--url")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", choices=["ingest", "questions", "asking"])
    arguments = parser.parse_args()
    rows_per_s, num_missed = float(MIN_ROWS_PER_S), 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        with open_store(arguments.url or f"chdb://{directory}", is_migrated=False) as store:
            store.migrate()
            where = f"ClickHouse {store.get_server_version()}, {store.where.split(':')[0]}"
            if arguments.only in {None, "ingest"}:
                rows_per_s = report_ingest(store, where)
            if arguments.only != "ingest":
                print(f"Questions over {DAYS} days, {where}:")
                if arguments.only != "asking":
                    fill(store, arguments.rows)
                    await_merges(store)
                compare_rollups(store)
                num_missed = measure_questions(store)
    return int(rows_per_s < MIN_ROWS_PER_S or num_missed > 0)


def report_ingest(store: ClickHouseStore, where: str) -> float:
    """Rows a second, the median of five runs without request ids."""
    medians = []
    for has_requests in (False, True):
        rng = np.random.default_rng(SEED)
        blocks = [make_block(rng, place, 100, has_requests=has_requests) for place in range(8)]
        print(f"Ingest{', request ids' if has_requests else ''}, {where}:", flush=True)
        rows_per_s, rows_per_cpu_s = measure_ingest(store, blocks)
        print(f"  median {rows_per_s:,.0f} rows/s, {rows_per_cpu_s:,.0f} rows/CPU-s", flush=True)
        medians.append(rows_per_s)
    return medians[0]


if __name__ == "__main__":
    sys.exit(main())
