"""A rate limiter that processes share: a bucket of tokens a key, refilled at a steady rate.

What is kept of a bucket is the instant at which it will be full again. It holds
burst - rate * (full_at - now) tokens, so one number says all, and a full bucket need not be kept
(the "virtual scheduling" form of the generic cell rate algorithm, ITU-T I.371). Times are whole
microseconds, the same in every store.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from optiinfra.domain.errors import InputError
from optiinfra.kit.time import require_utc

MAX_KEY_LENGTH: Final = 200
MAX_RATE_PER_S: Final = 10_000.0
MIN_RATE_PER_S: Final = 1 / 86_400
MAX_BURST: Final = 1_000_000
MAX_FILL_S: Final = 30 * 86_400.0
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEY: Final = re.compile(r"[!-~]+")
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Tokens a second in the long run, and how many may be taken at once after a rest."""

    rate_per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not MIN_RATE_PER_S <= self.rate_per_s <= MAX_RATE_PER_S:
            raise InputError(
                f"a rate of {self.rate_per_s} tokens a second was asked for.",
                remedy=f"Use one a day to {MAX_RATE_PER_S:.0f} a second.",
            )
        if not 1 <= self.burst <= MAX_BURST or self.burst > self.rate_per_s * MAX_FILL_S:
            raise InputError(
                f"a burst of {self.burst} tokens was asked for.",
                remedy=f"Use 1 to {MAX_BURST}, and no more than come in {MAX_FILL_S:.0f} s.",
            )

    def compute_refill_us(self, num_tokens: int) -> int:
        """Microseconds in which so many tokens come.

        A token's own time is rounded up to whole ones: at 10,000 a second by 1 % at most.
        """
        return num_tokens * math.ceil(1_000_000 / self.rate_per_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the tokens were taken; else after how long they could be, if nobody else comes."""

    is_allowed: bool
    retry_after_s: float


class RateLimiter(Protocol):
    """See the module. Raises InputError for what is beyond the limits."""

    def acquire(self, key: str, limit: RateLimit, *, now: datetime, num_tokens: int = 1) -> Verdict:
        """Take all of the tokens or none. A clock that goes back gives no more."""

    def sweep(self, *, now: datetime) -> int:
        """Forget full buckets, as far as the store does not by itself; how many."""

    def close(self) -> None:
        """Give back all connections."""


def check_acquire(key: str, limit: RateLimit, num_tokens: int) -> None:
    """Raise InputError for a key that cannot be, or tokens that no bucket ever holds."""
    if len(key) > MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise InputError(
            f"{key[:MAX_KEY_LENGTH]!r} cannot name a bucket.",
            remedy=f"Use 1 to {MAX_KEY_LENGTH} printable ASCII characters without spaces.",
        )
    if not 1 <= num_tokens <= limit.burst:
        raise InputError(
            f"{num_tokens} tokens were asked of a bucket of {limit.burst}.",
            remedy="Ask for one at least and for no more than the bucket holds.",
        )


def to_microseconds(instant: datetime) -> int:
    """Since 1970."""
    return (require_utc(instant) - EPOCH) // _MICROSECOND


def make_verdict(
    full_at_us: int, limit: RateLimit, *, now_us: int, num_tokens: int, is_allowed: bool
) -> Verdict:
    """The answer, from when the bucket will be full; when denied, without these tokens."""
    if is_allowed:
        return Verdict(is_allowed=True, retry_after_s=0.0)
    over = full_at_us + limit.compute_refill_us(num_tokens) - limit.compute_refill_us(limit.burst)
    return Verdict(is_allowed=False, retry_after_s=max(0, over - now_us) / 1_000_000)
