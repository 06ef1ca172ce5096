"""Sinks in place of the store: it keeps the rules that the writer counts on, and can be away."""

from __future__ import annotations

import threading
import time
from uuid import UUID

import numpy as np
import pyarrow as pa

from optiinfra.domain.errors import StoreAwayError, StoreError
from optiinfra.domain.metric_tables import MetricRows, MetricTable, make_rows

CUSTOMER = UUID(int=7)
DAY_MS = 86_400_000
NOW_MS = round(time.time() * 1000) // DAY_MS * DAY_MS  # today: old raw rows are removed


class FakeSink:
    """Keeps one block a token; `failures` are raised first, one an insert."""

    def __init__(self) -> None:
        self.blocks: dict[str, pa.Table] = {}
        self.failures: list[StoreError] = []
        self.num_inserts = 0
        self.is_away = threading.Event()

    def insert_table(self, table: MetricTable, rows: pa.Table, *, token: str) -> None:
        del table
        self.num_inserts += 1
        if self.is_away.is_set():
            raise StoreAwayError("The store is away.", remedy="Wait.")
        if self.failures:
            raise self.failures.pop(0)
        self.blocks.setdefault(token, rows)

    def list_values(self) -> list[float]:
        """Every kept value, in order."""
        found = [v for t in self.blocks.values() for v in t.column("value").to_pylist()]
        return sorted(found)


def make_batch(first: int, size: int = 10) -> MetricRows:
    """Samples whose values count up from `first`."""
    return make_rows(
        MetricTable.SAMPLES,
        timestamp=NOW_MS + np.arange(size),
        customer_id=CUSTOMER,
        columns={
            "metric": "m",
            "labels": f"batch {first}",
            "value": np.arange(first, first + size),
        },
    )
