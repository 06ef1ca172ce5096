"""Ids that people type: the first digits of a UUID stand for it where they are unique."""

from __future__ import annotations

import re
from uuid import UUID

MIN_PREFIX_DIGITS = 8
_UUID_DIGITS = 32
_HEX = re.compile(r"[0-9a-f]+")


def get_id_range(text: str) -> tuple[UUID, UUID]:
    """The lowest and the highest UUID that begin with these hex digits; dashes and case are free.

    Raises ValueError for fewer than 8 digits, more than 32, or anything that is not a hex digit.
    """
    digits = text.strip().replace("-", "").lower()
    if not _HEX.fullmatch(digits):
        message = f"{text!r} is not made of hex digits"
        raise ValueError(message)
    if not MIN_PREFIX_DIGITS <= len(digits) <= _UUID_DIGITS:
        message = (
            f"{text!r} has {len(digits)} hex digits, not {MIN_PREFIX_DIGITS} to {_UUID_DIGITS}"
        )
        raise ValueError(message)
    return UUID(digits.ljust(_UUID_DIGITS, "0")), UUID(digits.ljust(_UUID_DIGITS, "f"))
