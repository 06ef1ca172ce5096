"""Numbers out of foreign JSON: there and usable, or None; never a zero that means missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from optiinfra.domain.errors import InputError


def find_number(document: Any, *keys: str) -> float | None:
    """The finite number >= 0 at a path of keys; None where a key or a number is missing.

    Raises:
        InputError: the number is negative.
    """
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    if isinstance(document, bool) or not isinstance(document, int | float):
        return None
    value = float(document)
    if not math.isfinite(value):
        return None
    if value < 0:
        raise InputError(
            f"the value is negative: {value:g}.",
            remedy="Measure again; a time or a count is 0 or more.",
            field=".".join(keys),
        )
    return value


def find_seconds(document: Any, *keys: str, units_per_s: float) -> float | None:
    """A time in seconds; None for 0 too, which is what the tools write where nothing was timed."""
    value = find_number(document, *keys)
    return value / units_per_s if value else None


def find_count(document: Any, *keys: str) -> int | None:
    """A number of requests."""
    value = find_number(document, *keys)
    return None if value is None else round(value)


def require_any_latency(path: Path, *values: float | None) -> None:
    """Raise where a report has no latency at all."""
    if all(value is None for value in values):
        raise InputError(
            "the report has no latency of any request.",
            remedy="Measure with streaming on, and see whether requests succeeded.",
            file=str(path),
        )
