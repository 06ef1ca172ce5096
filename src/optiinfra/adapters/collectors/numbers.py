"""Numbers and instants as the two formats write them."""

from __future__ import annotations

import math
import re

from optiinfra.adapters.collectors.page import (
    BAD_TIMESTAMP,
    MAX_TIMESTAMP_S,
    PageError,
    PageProblem,
)

NS_PER_S = 10**9
_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?")
_NS_DIGITS = 9


def read_number(text: str) -> float:
    """The value of a sample.

    Raises:
        PageError: not a number.
    """
    try:
        number = float(text)
    except ValueError as error:
        raise _make_error(text, "a number") from error
    if "_" in text or text != text.strip():
        raise _make_error(text, "a number")
    return number


def read_milliseconds(text: str) -> int:
    """Unix milliseconds as nanoseconds; BAD_TIMESTAMP where they name no instant.

    Raises:
        PageError: not a number.
    """
    return _to_ns(read_number(text) / 1e3, 1e6, text)


def read_seconds(text: str) -> int:
    """Unix seconds with up to nine decimals as nanoseconds, exactly.

    Raises:
        PageError: not a finite number.
    """
    if match := _DECIMAL.fullmatch(text):
        sign = -1 if match[1] == "-" else 1
        fraction = int((match[3] or "")[:_NS_DIGITS].ljust(_NS_DIGITS, "0"))
        if len(match[2]) <= 10:  # noqa: PLR2004  digits of a second in reach of 64 bits
            return _bound(sign * (int(match[2]) * NS_PER_S + fraction))
    seconds = read_number(text)
    if not math.isfinite(seconds):
        raise _make_error(text, "an instant")
    return _to_ns(seconds, 1e9, text)


def _to_ns(seconds: float, scale: float, text: str) -> int:
    if not abs(seconds) <= MAX_TIMESTAMP_S:
        return BAD_TIMESTAMP
    try:
        return _bound(int(text) * int(scale))
    except ValueError:
        return _bound(round(float(text) * scale))


def _bound(ns: int) -> int:
    return ns if abs(ns) <= MAX_TIMESTAMP_S * NS_PER_S else BAD_TIMESTAMP


def _make_error(text: str, wanted: str) -> PageError:
    return PageError(f"{text[:40]!r} is not {wanted}.", reason=PageProblem.SYNTAX)
