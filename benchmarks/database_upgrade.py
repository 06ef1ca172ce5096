"""How long inserts wait while a filled database goes from revision 005 to the newest.

    python -m benchmarks.database_upgrade [--rows 1000000] [--bar 1.0]

One embedded PostgreSQL with one million resource metrics and a tenth of that of the others. A
process of its own inserts a resource metric every 10 ms, and with it an agent metric and an event,
each a transaction by itself, and notes how long each took. Meanwhile the revisions are applied one
by one. Printed are the longest wait of each table within each revision, and, to compare with, the
longest of the same writer while nothing is upgraded. Exit code 1: an insert waited longer than the
bar, or failed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmarks.database_migrations import FILL, FILLED
from optiinfra.database import migrate
from optiinfra.database.driver import connecting
from optiinfra.embedded.postgres import running

EVERY_S = 0.01
QUIET_S = 5.0
INSERTS = {
    "resource_metrics": """
        INSERT INTO resource_metrics (agent_id, customer_id, instance_id, resource_type,
                                      metric_name, metric_value, unit, timestamp)
        SELECT a.id, c.id, 'i-new', 'gpu', 'm', 1, 'ratio', now()
        FROM agents a, (SELECT id FROM customers LIMIT 1) c""",
    "agent_metrics": """
        INSERT INTO agent_metrics (agent_id, metric_name, metric_value)
        SELECT id, 'm', 1 FROM agents""",
    "events": """
        INSERT INTO events (customer_id, event_type)
        SELECT id, 'e' FROM customers LIMIT 1""",
}


class Insert(NamedTuple):
    """One insert that was made; instants of the monotonic clock, which processes share."""

    table: str
    started: float
    ended: float

    @property
    def wait_s(self) -> float:
        """From sending the statement to its answer."""
        return self.ended - self.started


def write(url: str, pipe: Connection) -> None:
    """Insert until something comes through the pipe, then send back what was done."""
    made: list[Insert] = []
    with connecting(url) as connection:
        connection.autocommit = True
        pipe.send(None)
        due = time.monotonic()
        while not pipe.poll():
            for table, statement in INSERTS.items():
                started = time.monotonic()
                connection.execute(statement.encode())
                made.append(Insert(table, started, time.monotonic()))
            due = max(due + EVERY_S, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
    pipe.send(made)


def find_longest(made: Sequence[Insert], start: float, stop: float) -> dict[str, Insert]:
    """By table, the insert that took longest of those that overlap the time from start to stop."""
    longest: dict[str, Insert] = {}
    for insert in made:
        if insert.ended >= start and insert.started <= stop:
            before = longest.get(insert.table)
            if before is None or insert.wait_s > before.wait_s:
                longest[insert.table] = insert
    return longest


def upgrade_all(url: str) -> list[tuple[str, float, float]]:
    """Name, start and end of each revision after 005, and first of a time without any."""
    spans = [("(no upgrade)", time.monotonic(), time.monotonic() + QUIET_S)]
    time.sleep(QUIET_S)
    revisions = migrate.list_revisions()
    for revision in revisions[revisions.index(FILLED) + 1 :]:
        started = time.monotonic()
        migrate.upgrade(url, revision)
        spans.append((revision, started, time.monotonic()))
    return spans


def report(made: Sequence[Insert], spans: Sequence[tuple[str, float, float]], bar_s: float) -> int:
    """Print a line a revision; 1 when an insert waited longer than the bar."""
    print(f"{'longest wait, ms':34} {'took':>7}  " + "  ".join(f"{name:>16}" for name in INSERTS))
    worst = 0.0
    for name, start, stop in spans:
        longest = find_longest(made, start, stop)
        waits = [longest[table].wait_s if table in longest else 0.0 for table in INSERTS]
        if name in migrate.list_revisions():
            worst = max(worst, *waits)
        shown = "  ".join(f"{1_000 * wait:16,.0f}" for wait in waits)
        print(f"{name:34} {stop - start:5.2f} s  {shown}")
    took = spans[-1][2] - spans[1][1]
    print(f"{len(made):,} inserts; {took:.1f} s of upgrade; longest wait {worst:.3f} s")
    is_within = worst <= bar_s
    print(f"bar: no insert waits over {bar_s:g} s: {'met' if is_within else 'NOT MET'}")
    return 0 if is_within else 1


def main() -> int:
    """Print a line a revision, and whether the bar was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bar", type=float, default=1.0, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            migrate.upgrade(url, FILLED)
            with connecting(url) as connection:
                connection.execute(FILL.format(rows=options.rows).encode())
            print(f"{options.rows:,} resource metrics, a tenth of each other kind", flush=True)
            spawn = multiprocessing.get_context("spawn")
            here, there = spawn.Pipe()
            writer = spawn.Process(target=write, args=(url, there), daemon=True)
            writer.start()
            here.recv()
            spans = upgrade_all(url)
            here.send(None)
            if not here.poll(60) or not writer.is_alive():
                print("the writer failed: see above")
                return 1
            made: list[Insert] = here.recv()
            writer.join()
    return report(made, spans, options.bar)


if __name__ == "__main__":
    sys.exit(main())
