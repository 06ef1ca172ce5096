"""Instants: aware, in UTC, and always given from outside."""

from __future__ import annotations

from datetime import UTC, datetime


def require_utc(instant: datetime) -> datetime:
    """The same instant in UTC; a naive one is refused, since nobody can say when it was."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        message = f"{instant!r} has no time zone; pass an aware instant, such as datetime.now(UTC)"
        raise ValueError(message)
    return instant.astimezone(UTC)
