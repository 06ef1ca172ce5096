"""The strongest lock of each revision on tables that were there before, and how long it was held.

    python -m benchmarks.database_migrations [--rows 1000000]

One embedded PostgreSQL. Revision 005 is filled with metric rows of each kind; from there every
revision is applied by itself while a second connection looks at pg_locks about every 2 ms. What
lasts shorter than that may be missed and is printed as under 5 ms.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from optiinfra.database import migrate
from optiinfra.database.driver import connecting
from optiinfra.embedded.postgres import running

FILLED = "005_application_schema"
MODES = (
    "AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock",
    "ShareUpdateExclusiveLock", "RowExclusiveLock",
)  # fmt: skip
PAUSE_S = 0.002
SHORTEST_MS = 5.0
FILL = """
    INSERT INTO agents (type, name) VALUES ('cost', 'Cost Optimizer');
    INSERT INTO customers (name, email, api_key)
        SELECT 'c', n || '@example.com', encode(sha256(n::text::bytea), 'hex')
        FROM generate_series(1, 100) n;
    INSERT INTO resource_metrics (agent_id, customer_id, instance_id, resource_type, metric_name,
                                  metric_value, unit, timestamp)
        SELECT (SELECT id FROM agents), c.id, 'i-' || n % 100, 'gpu', 'm', n, 'ratio',
               '2026-01-01'::timestamptz + n * interval '1 s'
        FROM customers c, generate_series(1, {rows} / 100) n;
    INSERT INTO agent_metrics (agent_id, metric_name, metric_value, recorded_at)
        SELECT (SELECT id FROM agents), 'm', n, '2026-01-01'::timestamptz + n * interval '1 s'
        FROM generate_series(1, {rows} / 10) n;
    INSERT INTO events (customer_id, event_type, created_at)
        SELECT c.id, 'e', '2026-01-01'::timestamptz + n * interval '1 s'
        FROM customers c, generate_series(1, {rows} / 1000) n;
    INSERT INTO quality_metrics (agent_id, customer_id, request_id, model_name, model_version,
                                 overall_quality_score, timestamp)
        SELECT (SELECT id FROM agents), c.id, c.id::text || n, 'm', '1', 0.5, now()
        FROM customers c, generate_series(1, {rows} / 1000) n;
"""
LOCKS = """
    SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.granted AND l.pid <> pg_backend_pid() AND c.relname = ANY (%s) AND l.mode = ANY (%s)
"""
TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND relname <> 'alembic_version'
"""


class Watcher:
    """Looks at the locks until told to stop; milliseconds by table and mode."""

    def __init__(self, url: str, tables: Iterable[str]) -> None:
        self.held_ms: dict[tuple[str, str], float] = {}
        self._tables = list(tables)
        self._url = url
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        with connecting(self._url) as connection:
            connection.autocommit = True
            before = time.perf_counter()
            while not self._is_done.wait(PAUSE_S):
                found = connection.execute(LOCKS, (self._tables, list(MODES))).fetchall()
                now = time.perf_counter()
                for table, mode in set(found):
                    key = (table, mode)
                    self.held_ms[key] = self.held_ms.get(key, 0.0) + 1_000 * (now - before)
                before = now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def describe(self) -> str:
        """The strongest mode with the table that had it longest."""
        for mode in MODES:
            held = {table: ms for (table, found), ms in self.held_ms.items() if found == mode}
            if held:
                table = max(held, key=lambda name: held[name])
                longest = held[table]
                shown = (
                    f"{longest:,.0f} ms" if longest >= SHORTEST_MS else f"under {SHORTEST_MS} ms"
                )
                return f"{mode} on {len(held)} tables, longest {table}: {shown}"
        return "none seen"


def main() -> int:
    """Print a line a revision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            revisions = migrate.list_revisions()
            migrate.upgrade(url, FILLED)
            with connecting(url) as connection:
                connection.execute(FILL.format(rows=options.rows).encode())
            print(f"{options.rows:,} resource metrics, a tenth of each other kind")
            for revision in revisions[revisions.index(FILLED) + 1 :]:
                with connecting(url) as connection:
                    tables = [row[0] for row in connection.execute(TABLES)]
                started = time.perf_counter()
                with Watcher(url, tables) as watcher:
                    migrate.upgrade(url, revision)
                took = time.perf_counter() - started
                print(f"{revision:32} {took:6.2f} s  {watcher.describe()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
