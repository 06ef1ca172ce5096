"""Rows a second into resource_metrics: our COPY writer, the same bytes made beforehand, the ORM.

    python -m benchmarks.database_bulk [--rows 1000000] [--orm-rows 100000] [--runs 5]

One embedded PostgreSQL with its default settings. "Lean" is the newest revision, "seed" is revision
005 with the indexes of the seed documents. 1,000 series, one customer, rows of one month in order
of time. The ways alternate within a run, into an empty table each time after a checkpoint. A ratio
is taken within each run, where both sides met the same machine, and the median of the runs counts.
The ORM's rate is taken on fewer rows.

Lean against seed is raw COPY of the same samples into both, as each schema fills itself: the lean
one with ids in order of time, the seed one with the random ids of its default. What the indexes
alone make of it stands beside: "seed, ids in order" sends the lean table's ids to the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from optiinfra.database import migrate
from optiinfra.database.bulk import copy_resource_samples
from optiinfra.database.copy_encoding import (
    HEADER,
    TRAILER,
    encode_count,
    encode_double,
    encode_json,
    encode_text,
    encode_time,
    encode_uuid,
)
from optiinfra.database.copy_rows import draw_id_words
from optiinfra.database.driver import connecting
from optiinfra.database.engine import make_engine
from optiinfra.database.models import ResourceMetric
from optiinfra.database.series import Series
from optiinfra.domain.enums import ResourceType
from optiinfra.embedded.postgres import running

SEED_REVISION = "005_application_schema"
NUM_SERIES = 1_000
START = datetime(2026, 1, 1, tzinfo=UTC)
TARGETS = {"writer / raw": 0.90, "lean / seed": 1.8, "lean / ORM": 4.0}


def list_samples(
    num_rows: int, agent: UUID, customer: UUID
) -> list[tuple[Series, datetime, float]]:
    """Samples of 1,000 series in order of time, over less than a month."""
    series = [
        Series(agent, customer, f"i-{n % 100:04d}", ResourceType.GPU, f"metric_{n // 100}", "ratio")
        for n in range(NUM_SERIES)
    ]
    step = timedelta(days=27) / num_rows
    return [(series[n % NUM_SERIES], START + n * step, n / num_rows) for n in range(num_rows)]


def add_parents(url: str) -> tuple[UUID, UUID]:
    """An agent and a customer, by columns that every revision has."""
    agent, customer = uuid4(), uuid4()
    digest = hashlib.sha256(customer.bytes).hexdigest()
    with connecting(url) as connection:
        connection.execute(
            "INSERT INTO agents (id, type, name) VALUES (%s, 'resource', %s)", (agent, str(agent))
        )
        connection.execute(
            "INSERT INTO customers (id, name, email, api_key) VALUES (%s, 'Bench', %s, %s)",
            (customer, f"{customer}@example.com", digest),
        )
    return agent, customer


def empty(url: str) -> None:
    """Start from an empty table and no dirty page."""
    with connecting(url) as connection:
        connection.execute("TRUNCATE resource_metrics")
    with connecting(url) as connection:
        connection.commit()
        connection.autocommit = True
        connection.execute("CHECKPOINT")


def time_rate(url: str, num_rows: int, write: Callable[[], None]) -> float:
    """Rows a second of one write into the empty table."""
    empty(url)
    started = time.perf_counter()
    write()
    return num_rows / (time.perf_counter() - started)


def write_by_copy(url: str, samples: list[tuple[Series, datetime, float]]) -> None:
    """Our writer, in a transaction of its own."""
    with connecting(url) as connection:
        copy_resource_samples(connection, samples, customers=[samples[0][0].customer_id])


def encode_all(samples: list[tuple[Series, datetime, float]]) -> tuple[str, list[bytes]]:
    """The statement and the bytes that our writer sends."""

    class Recorder:
        """Takes what would be sent."""

        def __init__(self) -> None:
            self.statement, self.parts = "", list[bytes]()

        def cursor(self) -> Recorder:
            return self

        def copy(self, statement: object) -> Recorder:
            self.statement = statement.as_string(None)  # type: ignore[attr-defined]
            return self

        def write(self, part: bytes) -> None:
            self.parts.append(part)

        def execute(self, *_: object) -> None:
            """Series and marks, written after the samples: not part of what raw COPY sends."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    recorder = Recorder()
    copy_resource_samples(
        recorder,  # type: ignore[arg-type]
        samples,
        customers=[samples[0][0].customer_id],
    )
    return recorder.statement, recorder.parts


def encode_for_seed(
    samples: list[tuple[Series, datetime, float]], *, has_ids: bool
) -> tuple[str, list[bytes]]:
    """The same for the table of revision 005: no number of the series, ids where asked for."""
    columns = "agent_id, customer_id, instance_id, resource_type, metric_name, unit, metadata"
    high, low = draw_id_words()
    heads: dict[int, bytes] = {}
    parts, batch = [HEADER], list[bytes]()
    for n, (series, at, value) in enumerate(samples):
        head = heads.get(id(series))
        if head is None:
            head = heads[id(series)] = b"".join(
                (
                    encode_count(9 + has_ids),
                    encode_uuid(series.agent_id),
                    encode_uuid(series.customer_id),
                    encode_text(series.instance_id),
                    encode_text(series.resource_type),
                    encode_text(series.metric_name),
                    encode_text(series.unit),
                    encode_json(series.detail),
                )
            )
        name = struct.pack(">iQQ", 16, high, low + n) if has_ids else b""
        batch.append(head + name + encode_double(value) + encode_time(at))
        if len(batch) == 512:
            parts.append(b"".join(batch))
            batch.clear()
    parts += [b"".join(batch), TRAILER]
    columns += ", id, metric_value, timestamp" if has_ids else ", metric_value, timestamp"
    return f"COPY resource_metrics ({columns}) FROM STDIN (FORMAT binary)", parts


def write_raw(url: str, statement: str, parts: list[bytes]) -> None:
    """The same bytes, made beforehand."""
    with (
        connecting(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement.encode()) as copy,
    ):
        for part in parts:
            copy.write(part)


def write_by_orm(url: str, samples: list[tuple[Series, datetime, float]]) -> None:
    """`add_all` of model objects, flushed by the commit."""
    with Session(make_engine(url, is_pooled=False)) as session, session.begin():
        session.add_all(list(make_rows(samples)))


def make_rows(samples: list[tuple[Series, datetime, float]]) -> Iterator[ResourceMetric]:
    """Model objects of samples."""
    for series, at, value in samples:
        yield ResourceMetric(
            agent_id=series.agent_id,
            customer_id=series.customer_id,
            instance_id=series.instance_id,
            resource_type=series.resource_type,
            metric_name=series.metric_name,
            metric_value=value,
            unit=series.unit,
            timestamp=at,
        )


def measure(lean: str, seed: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Rates of each way in each run."""
    samples = list_samples(options.rows, *add_parents(lean))
    seed_samples = list_samples(options.rows, *add_parents(seed))
    few = samples[:: max(1, options.rows // options.orm_rows)][: options.orm_rows]
    statement, parts = encode_all(samples)
    seed_raw = encode_for_seed(seed_samples, has_ids=False)
    seed_ordered = encode_for_seed(seed_samples, has_ids=True)
    ways: dict[str, tuple[str, int, Callable[[], None]]] = {
        "writer": (lean, options.rows, lambda: write_by_copy(lean, samples)),
        "raw": (lean, options.rows, lambda: write_raw(lean, statement, parts)),
        "seed": (seed, options.rows, lambda: write_raw(seed, *seed_raw)),
        "seed, ids in order": (seed, options.rows, lambda: write_raw(seed, *seed_ordered)),
        "ORM": (lean, len(few), lambda: write_by_orm(lean, few)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(options.runs):
        # Who comes first differs from run to run, so that nobody always finds a warm machine.
        names = list(ways)
        for name in names[run % len(names) :] + names[: run % len(names)]:
            rates[name].append(time_rate(ways[name][0], ways[name][1], ways[name][2]))
    return rates


def compare(rates: dict[str, list[float]], upper: str, lower: str) -> float:
    """How many times as fast one way was as another: the median of the runs' ratios."""
    return statistics.median(
        above / below for above, below in zip(rates[upper], rates[lower], strict=True)
    )


def main() -> int:
    """Print medians, spreads and ratios; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--orm-rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            with connecting(url) as connection:
                connection.commit()
                connection.autocommit = True
                connection.execute("CREATE DATABASE seed")
            seed = url.replace("/optiinfra?", "/seed?")
            migrate.upgrade(url)
            migrate.upgrade(seed, SEED_REVISION)
            print(
                f"{options.rows:,} rows, ORM {options.orm_rows:,}; lean is {migrate.current(url)}"
            )
            rates = measure(url, seed, options)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        print(f"{name:18} {medians[name]:10,.0f} rows/s ({min(found):,.0f} to {max(found):,.0f})")
    ratios = {
        "writer / raw": compare(rates, "writer", "raw"),
        "lean / seed": compare(rates, "raw", "seed"),
        "lean / ORM": compare(rates, "writer", "ORM"),
    }
    same_ids = compare(rates, "raw", "seed, ids in order")
    print(f"lean / seed, ids in order {same_ids:.2f} (no target)")
    for name, ratio in ratios.items():
        print(f"{name:14} {ratio:6.2f} (at least {TARGETS[name]})")
    return 0 if all(ratio >= TARGETS[name] for name, ratio in ratios.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
