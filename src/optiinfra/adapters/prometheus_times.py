"""Instants as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from optiinfra.domain.errors import InputError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RELATIVE = re.compile(r"-(\d{1,9})([smhdw])")
_UNIX = re.compile(r"\d{1,11}(\.\d{1,9})?")


def read_instant(text: str, *, now: datetime, field: str) -> datetime:
    """An aware UTC instant from ISO 8601, unix seconds, `now`, or relative to `now` as `-1h`.

    ISO 8601 without a zone is taken as UTC. `field` is the flag to name in an error.

    Raises:
        InputError: none of these forms.
    """
    text = text.strip()
    if text == "now":
        return now
    try:
        if relative := _RELATIVE.fullmatch(text):
            return now - timedelta(seconds=int(relative[1]) * _UNITS_S[relative[2]])
        if _UNIX.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"{text[:80]!r} is not a time.",
            remedy="Write 2026-01-31T08:00:00Z, unix seconds, now, or relative as -1h, -30m, -7d.",
            field=field,
        ) from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def check_range(start: datetime, end: datetime) -> float:
    """Seconds from start to end.

    Raises:
        InputError: the range is empty, shorter than a minute, or longer than 100 days.
    """
    span_s = (end - start).total_seconds()
    if not 60 <= span_s <= 100 * 86_400:  # noqa: PLR2004
        raise InputError(
            f"the range from {start.isoformat(timespec='seconds')} to "
            f"{end.isoformat(timespec='seconds')} "
            + ("ends before it begins." if span_s < 0 else f"is {span_s:,.0f} s long."),
            remedy="Give a range from one minute to 100 days, the earlier time as the start.",
            field="--start",
        )
    return span_s
