from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from optiinfra.kit.time import require_utc


def test_an_instant_elsewhere_is_the_same_instant_in_utc() -> None:
    in_kolkata = datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert require_utc(in_kolkata).isoformat() == "2026-01-01T00:00:00+00:00"
    assert require_utc(in_kolkata).tzinfo is UTC


def test_a_naive_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        require_utc(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
