"""What makes seeds the same every time: ids from names, times from one instant, a label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("550e8400-e29b-41d4-a716-446655440000")
# The first customer of the specification's own seeds has that id.
CUSTOMER_ID: Final = NAMESPACE
NOW: Final = datetime(2025, 10, 19, 17, 0, tzinfo=UTC)
SIMULATED: Final[dict[str, Any]] = {"is_simulated": True, "source": "seed"}
Row = dict[str, Any]


def make_id(table: str, name: object) -> UUID:
    """The id of the row of that name, always the same."""
    return uuid5(NAMESPACE, f"{table}/{name}")


def ago(**span: float) -> datetime:
    """That long before the seeds' instant."""
    return NOW - timedelta(**span)


REGRESSION_AT: Final = ago(minutes=12)
SCALING_BEGAN_AT: Final = ago(hours=5)
