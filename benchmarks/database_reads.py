"""Reads of series among 10 million samples, as the tenant role, and pages far behind the first.

    python -m benchmarks.database_reads [--series 1000] [--rows 10000000] [--runs 5]

One embedded PostgreSQL with its default settings. 1,000 series of one customer (100 instances, 10
metrics) over 30 days, every series in step, written by our COPY writer and rolled up by `roll_up`.
Each read is done through the repository that the product uses, in a transaction as
`optiinfra_app`, warm (once before it counts); the median of the runs, to the last value in Python.
Beside it the same read as one would write it without series and rollup, on the same rows.

A page is read by its key, at the beginning and behind the last but one row; counted are the
buffers that PostgreSQL says it touched.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.database_bulk import add_parents
from optiinfra.database import migrate, rollups
from optiinfra.database.bulk import copy_resource_samples
from optiinfra.database.driver import connecting
from optiinfra.database.engine import Database, Role, make_engine
from optiinfra.database.repositories.resource_series import ResourceSeriesReader
from optiinfra.database.series import Series, compute_series_id
from optiinfra.domain.enums import ResourceType
from optiinfra.embedded.postgres import running

NUM_DAYS = 30
START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, LAST = date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=NUM_DAYS - 1)
CHUNK = 1_000_000
LIMIT_MS = 100.0
MAX_BUFFERS_MORE = 3
PAGE = """
    SELECT id, "timestamp", metric_value FROM resource_metrics
    WHERE customer_id = :customer AND "timestamp" >= :at AND ("timestamp", id) > (:at, :id)
    ORDER BY "timestamp", id LIMIT 100"""


@dataclass(frozen=True)
class Read:
    """A read of the product, what it must return, and the same without series and rollup."""

    name: str
    run: Callable[[ResourceSeriesReader], int]
    num_values: int
    plain: str


def list_series(agent: UUID, customer: UUID, number: int) -> list[Series]:
    """Ten metrics an instance."""
    return [
        Series(agent, customer, f"i-{n // 10:05d}", ResourceType.GPU, f"metric_{n % 10}", "ratio")
        for n in range(number)
    ]


def generate(series: list[Series], num_rows: int) -> Iterator[tuple[Series, datetime, float]]:
    """Samples in order of time, all series in each step."""
    rng = np.random.default_rng(7)
    num_steps = num_rows // len(series)
    step = timedelta(days=NUM_DAYS) / num_steps
    for n in range(num_steps):
        at = START + n * step
        for own, value in zip(series, rng.random(len(series)), strict=True):
            yield own, at, float(value)


def fill(url: str, series: list[Series], num_rows: int) -> None:
    """Write, roll up, vacuum."""
    samples = generate(series, num_rows)
    customers = [series[0].customer_id]
    while True:
        with connecting(url) as connection:
            chunk = (sample for _, sample in zip(range(CHUNK), samples, strict=False))
            if not copy_resource_samples(connection, chunk, customers=customers):
                break
    engine = make_engine(url, is_pooled=False)
    started = time.perf_counter()
    _, num_days = rollups.bring_up_to_date(engine)
    print(f"rolled up {num_days:,} days of series in {time.perf_counter() - started:.1f} s")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def list_reads(series: list[Series]) -> list[Read]:
    """What the issue of a dashboard is."""
    one, number = series[len(series) // 2], len(series)
    id_ = compute_series_id(one)
    day = START + timedelta(days=14)
    own = (
        f"agent_id = '{one.agent_id}' AND metric_name = '{one.metric_name}'"
        f" AND instance_id = '{one.instance_id}'"
    )
    key = "agent_id, instance_id, resource_type, metric_name"
    hour = "date_trunc('hour', \"timestamp\")"
    return [
        Read(
            "latest of all series",
            lambda r: len(r.list_latest()),
            number,
            f"SELECT DISTINCT ON ({key}) {key}, metric_value FROM resource_metrics"
            f' ORDER BY {key}, "timestamp" DESC',
        ),
        Read(
            "p95 of a day, one series",
            lambda r: int(
                r.compute_quantile(id_, 0.95, start=day, end=day + timedelta(days=1)) is not None
            ),
            1,
            "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY metric_value) FROM"
            f" resource_metrics WHERE {own} AND \"timestamp\" >= '{day.isoformat()}'"
            f" AND \"timestamp\" < '{(day + timedelta(days=1)).isoformat()}'",
        ),
        Read(
            "hourly means of 30 days, one series",
            lambda r: len(r.list_hours(id_, first=FIRST, last=LAST)),
            NUM_DAYS * 24,
            f"SELECT {hour}, avg(metric_value) FROM resource_metrics WHERE {own} GROUP BY 1",
        ),
        Read(
            "hourly means of one day, all series",
            lambda r: r.fetch_hourly_means(first=day.date(), last=day.date()).mean.size,
            number * 24,
            "",
        ),
        Read(
            "hourly means of 30 days, all series",
            lambda r: r.fetch_hourly_means(first=FIRST, last=LAST).mean.size,
            number * NUM_DAYS * 24,
            f"SELECT {key}, {hour}, avg(metric_value) FROM resource_metrics GROUP BY {key}, {hour}",
        ),
    ]


def time_ms(run: Callable[[], Any], num_runs: int) -> list[float]:
    """Milliseconds of each run but the first."""
    run()
    times = []
    for _ in range(num_runs):
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return times


def report(read: Read, session: Session, customer: UUID, num_runs: int) -> float:
    """Print a read beside the plain one; its median in milliseconds."""
    reader = ResourceSeriesReader(session, customer_id=customer)
    num_values = read.run(reader)
    if num_values != read.num_values:
        message = f"{read.name}: {num_values} values instead of {read.num_values}"
        raise RuntimeError(message)
    times = time_ms(lambda: read.run(reader), num_runs)
    beside = ""
    if read.plain:
        plain_ms = time_ms(lambda: session.execute(text(read.plain)).all(), 1)[0]
        beside = f"; plainly {plain_ms:,.0f} ms"
    median = statistics.median(times)
    print(
        f"{read.name:38} {median:7.1f} ms ({min(times):.1f} to {max(times):.1f}, at most"
        f" {LIMIT_MS:.0f}), {num_values:,} values{beside}"
    )
    return median


def count_buffers(session: Session, customer: UUID, position: tuple[datetime, UUID]) -> int:
    """Shared buffers that the page after that position touched."""
    plan = session.execute(
        text("EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + PAGE),
        {"customer": customer, "at": position[0], "id": position[1]},
    ).scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def measure_pages(session: Session, customer: UUID, num_rows: int) -> tuple[int, int]:
    """Buffers of the first page and of the one behind all rows but a hundred."""
    zero = UUID(int=0)
    first = count_buffers(session, customer, (START - timedelta(days=1), zero))
    found = session.execute(
        text(
            'SELECT "timestamp", id FROM resource_metrics WHERE customer_id = :customer'
            ' ORDER BY "timestamp" DESC, id DESC OFFSET 100 LIMIT 1'
        ),
        {"customer": customer},
    ).one()
    print(f"the far page begins behind row {num_rows - 100:,}")
    return first, count_buffers(session, customer, (found[0], found[1]))


def main() -> int:
    """Print each read beside the plain one; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    is_missed = False
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            migrate.upgrade(url)
            agent, customer = add_parents(url)
            series = list_series(agent, customer, options.series)
            fill(url, series, options.rows)
            with Database(url) as database:
                for read in list_reads(series):
                    with database.reading(role=Role.APP, customer_id=customer) as session:
                        is_missed |= report(read, session, customer, options.runs) > LIMIT_MS
                with database.reading(role=Role.APP, customer_id=customer) as session:
                    first, far = measure_pages(session, customer, options.rows)
    is_missed |= far > first + MAX_BUFFERS_MORE
    print(f"buffers of the first page {first}, of the far page {far}")
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
