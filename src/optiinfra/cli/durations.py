"""Durations and other small notations that options are written in."""

from __future__ import annotations

import math
import re

from optiinfra.domain.errors import InputError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_DURATION = re.compile(r"([+-]?\d+(?:\.\d+)?)(s|m|h|d|w|)")


def parse_duration(text: str, *, option: str) -> float:
    """Seconds of `90`, `90s`, `5m`, `2h`, `1.5d` or `1w`; may be negative. Raises InputError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} is not a duration.",
            remedy="Write a number and s, m, h, d or w, for example 90s or 1.5d.",
            field=option,
        )
    return float(match[1]) * _SECONDS[match[2]]


def parse_number(text: str, *, option: str) -> float:
    """A finite number. Raises InputError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{text!r} is not a number.", remedy="Write a number, for example 2.5.", field=option
        )
    return number
