"""Where fitted figures come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was fitted to: enough to find the data again and to see that it is the same.

    `digest` is a SHA-256 over the columns that were used; `started_at` is ISO 8601, None where the
    data has no calendar.
    """

    source: str
    digest: str
    num_rows: int
    span_s: float
    started_at: str | None = None
    is_synthetic: bool = False
    notes: tuple[str, ...] = ()
