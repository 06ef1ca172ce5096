"""The fewest replicas that keep a promise: doubling, bisection, and a walk where more is worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def find_fewest_with_spare(keeps: Callable[[int], bool], *, low: int, high: int) -> int | None:
    """Fewest replicas in `low` .. `high` that keep the SLO, also with one lost; None: none do.

    A larger fleet need not serve better in a simulation: from the count that bisection finds, it
    walks up until one and one less do.
    """
    fewest = find_fewest(keeps, high - 1)
    if fewest is None:
        return None
    counts = range(max(fewest + 1, low), high + 1)
    return next((count for count in counts if keeps(count) and keeps(count - 1)), None)


def find_fewest(keeps: Callable[[int], bool], limit: int) -> int | None:
    """Smallest count in 1 .. limit that keeps, by doubling and bisection; None when none does.

    A rhythm in the traffic may load one replica alone at one count and not at the next, which has
    no factor in common with it: none keeps when neither the largest count nor the one below does.
    """
    if limit < 1:
        return None
    if keeps(1):
        return 1
    if not keeps(limit):
        limit -= 1
        if limit <= 1 or not keeps(limit):
            return None
    low, high = 1, 2
    while high < limit and not keeps(high):
        low, high = high, high * 2
    high = min(high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        if keeps(middle):
            high = middle
        else:
            low = middle
    return high
