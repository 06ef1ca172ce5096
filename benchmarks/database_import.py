"""How long others wait while a customer is brought in, beside how long the import takes.

    python -m benchmarks.database_import [--workflows 10000] [--runs 5]

One embedded PostgreSQL with its default settings. The customer has as many recommendations with an
approval and an optimization as workflows of three steps, 10 events and 30 samples to each. A second
customer's decisions and events are written every 10 ms meanwhile; each waits as long as the longest
of its statements took. A lock from the first row to the last would make decisions wait for all of
the import: that is 1.00. Medians of the runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from optiinfra.database import migrate
from optiinfra.database.driver import connecting
from optiinfra.database.transfer import export_customer, import_customer, purge_customer
from optiinfra.embedded.postgres import running

EVERY_S = 0.01
ROWS = (
    """INSERT INTO recommendations (customer_id, agent_id, type, title)
       SELECT %(customer)s, %(agent)s, 't', 't' FROM generate_series(1, %(n)s)""",
    """INSERT INTO approvals (recommendation_id, approved_by)
       SELECT id, 'b' FROM recommendations WHERE customer_id = %(customer)s""",
    """INSERT INTO optimizations (recommendation_id, customer_id, agent_id)
       SELECT id, customer_id, agent_id FROM recommendations WHERE customer_id = %(customer)s""",
    """INSERT INTO workflow_executions (customer_id, agent_id, workflow_type, status)
       SELECT %(customer)s, %(agent)s, 'cost_analysis', 'pending' FROM generate_series(1, %(n)s)""",
    """INSERT INTO workflow_steps (workflow_execution_id, step_name, step_order, status)
       SELECT e.id, 's', n, 'pending' FROM workflow_executions e, generate_series(1, 3) n
       WHERE e.customer_id = %(customer)s""",
    """INSERT INTO events (customer_id, event_type)
       SELECT %(customer)s, 't' FROM generate_series(1, 10 * %(n)s)""",
    """INSERT INTO resource_metrics (customer_id, agent_id, instance_id, resource_type, metric_name,
                                     metric_value, unit, timestamp)
       SELECT %(customer)s, %(agent)s, 'i', 'gpu', 'm', 1, 'u',
              timestamptz '2026-01-01' + n * interval '1 s'
       FROM generate_series(1, 30 * %(n)s) n""",
)
WRITES = {
    "decisions": "UPDATE recommendations SET updated_at = now() WHERE customer_id = %s",
    "events": "INSERT INTO events (customer_id, event_type) VALUES (%s, 'e')",
}


def add_customer(url: str, agent: UUID, *, num_workflows: int) -> UUID:
    """A customer with all their rows."""
    customer = uuid4()
    values = {"customer": customer, "agent": agent, "n": num_workflows}
    with connecting(url) as connection:
        connection.execute(
            "INSERT INTO customers (id, name, email, api_key) VALUES (%s, 'Bench', %s, %s)",
            (customer, f"{customer}@example.com", customer.hex),
        )
        for statement in ROWS:
            connection.execute(statement.encode(), values)
    return customer


@contextmanager
def writing(url: str, customer: UUID) -> Iterator[dict[str, float]]:
    """The longest time that each kind of write took while the block ran, once it has ended."""
    longest: dict[str, float] = {}
    is_over = threading.Event()

    def write(kind: str) -> None:
        with connecting(url) as connection:
            connection.commit()
            connection.autocommit = True
            while not is_over.wait(EVERY_S):
                started = time.perf_counter()
                connection.execute(WRITES[kind].encode(), (customer,))
                longest[kind] = max(longest.get(kind, 0.0), time.perf_counter() - started)

    threads = [threading.Thread(target=write, args=(kind,)) for kind in WRITES]
    for thread in threads:
        thread.start()
    try:
        yield longest
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Print seconds of the import, longest waits, and their share of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[float]] = {"import": []}
    with tempfile.TemporaryDirectory(prefix="optiinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data") as url:
            migrate.upgrade(url)
            agent = uuid4()
            with connecting(url) as connection:
                connection.execute(
                    "INSERT INTO agents (id, type, name) VALUES (%s, 'cost', 'Bench')", (agent,)
                )
            other = add_customer(url, agent, num_workflows=1)
            customer = add_customer(url, agent, num_workflows=options.workflows)
            path = Path(folder) / "customer.jsonl"
            num_rows = sum(export_customer(url, str(customer), path).num_rows.values())
            for _ in range(options.runs):
                purge_customer(url, str(customer))
                with writing(url, other) as longest:
                    started = time.perf_counter()
                    import_customer(url, path)
                    found["import"].append(time.perf_counter() - started)
                for kind, wait_s in longest.items():
                    found.setdefault(kind, []).append(wait_s)
    total_s = statistics.median(found["import"])
    print(f"{num_rows:,} rows, {options.workflows:,} workflows, {options.runs} runs")
    for kind, times in found.items():
        median_s = statistics.median(times)
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{kind:10} {median_s:6.2f} s ({spread})  {median_s / total_s:.2f} of the import")


if __name__ == "__main__":
    main()
