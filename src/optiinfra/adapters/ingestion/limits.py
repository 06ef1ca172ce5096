"""How much may wait, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from optiinfra.domain.metric_tables import MAX_ROWS


@dataclass(frozen=True, slots=True)
class IngestionLimits:
    """Limits of one writer."""

    max_rows: int = 200_000  # of a table, before they are sent
    max_age_s: float = 2.0  # of the oldest row that was not sent
    max_waiting_bytes: int = 2 * 1024**3  # on disk; beyond it nothing is acknowledged
    full_wait_s: float = 5.0  # how long an append waits for room before it is refused
    first_backoff_s: float = 0.1
    max_backoff_s: float = 10.0
    max_refusals: int = 5  # of one block by a store that answers, before it is set aside
    max_tokens: int = 100_000  # of appended batches that are remembered
    max_ahead: timedelta = timedelta(hours=1)  # of our clock
    max_behind: timedelta = timedelta(days=399)  # the rollups by hour are kept 400 days

    def __post_init__(self) -> None:
        assert 1 <= self.max_rows <= MAX_ROWS  # noqa: S101 - wired by us
