"""A cache that processes share: bytes by key, for a limited time. It may forget at any time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from optiinfra.domain.errors import InputError
from optiinfra.kit.time import require_utc

MAX_KEY_LENGTH: Final = 200
MAX_VALUE_BYTES: Final = 1_048_576
MAX_TTL_S: Final = 30 * 86_400.0
_KEY: Final = re.compile(r"[!-~]+")


class Cache(Protocol):
    """What was computed and may be used again until `ttl_s` after `now`.

    A customer's entries are apart from everybody else's, under the same keys too, and `customer_id`
    None are those of nobody alone. Raises InputError for what is beyond the limits.
    """

    def find(self, key: str, *, customer_id: UUID | None, now: datetime) -> bytes | None:
        """The value, or None where there is none or its time is over."""

    def set(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> None:
        """Keep the value, in place of what was there."""

    def add(
        self, key: str, value: bytes, *, customer_id: UUID | None, ttl_s: float, now: datetime
    ) -> bool:
        """Keep the value where there is none; of many who try at once, one succeeds."""

    def drop(self, key: str, *, customer_id: UUID | None) -> bool:
        """Forget it; whether it was there, its time over or not."""

    def sweep(self, *, now: datetime) -> int:
        """Forget what is over, as far as the store does not by itself; how much."""

    def close(self) -> None:
        """Give back all connections."""


def make_full_key(key: str, customer_id: UUID | None) -> str:
    """The key with whose it is. Raises InputError for one that is too long or not printable."""
    if len(key) > MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise InputError(
            f"{key[:MAX_KEY_LENGTH]!r} cannot be a key of the cache.",
            remedy=f"Use 1 to {MAX_KEY_LENGTH} printable ASCII characters without spaces.",
        )
    return f"{customer_id or ''}/{key}"


def compute_end(value: bytes, *, ttl_s: float, now: datetime) -> datetime:
    """When its time is over. Raises InputError for a value or a time beyond the limits."""
    if len(value) > MAX_VALUE_BYTES:
        raise InputError(
            f"a value of {len(value)} bytes was to be cached.",
            remedy=f"At most {MAX_VALUE_BYTES} are taken.",
        )
    if not 0 < ttl_s <= MAX_TTL_S:
        raise InputError(
            f"a value was to be cached for {ttl_s} s.",
            remedy=f"Give it a time above 0 and up to {MAX_TTL_S:.0f} s.",
        )
    return require_utc(now) + timedelta(seconds=ttl_s)
