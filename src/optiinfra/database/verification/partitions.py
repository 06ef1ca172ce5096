"""Partitions of a live database: each as its parent says, none missing, and enough of them ahead.

Which there are depends on the day; how they must be does not. What a partition made now has of its
own is not a difference of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from optiinfra.database.catalogue import DEFAULT_BOUNDS, Catalogue, Partition
from optiinfra.database.partitions import ALARM, TABLES
from optiinfra.database.verification.difference import Difference

KIND = "partition"
FIRST = "{}_p_first"


def check_partitions(expected: Catalogue, live: Catalogue) -> Iterator[Difference]:
    """Every partition that is not as it should be, and every time without one."""
    usual = {
        (partition.parent, facet, found)
        for partition in expected.partitions
        for facet, (_, found) in partition.own.items()
    }
    allowed_defaults = {p.parent for p in expected.partitions if p.bounds == DEFAULT_BOUNDS}
    for partition in live.partitions:
        for facet, (wanted, found) in partition.own.items():
            if (partition.parent, facet, found) not in usual:
                yield Difference(KIND, partition.name, facet, wanted, found)
        if partition.bounds == DEFAULT_BOUNDS and partition.parent not in allowed_defaults:
            yield Difference(KIND, partition.name, "bounds", "a range", DEFAULT_BOUNDS)
        name = _get_name(partition)
        if name is not None and name != partition.name:
            yield Difference(KIND, partition.name, "name", name, partition.name)
    covered = {}
    for parent in sorted({p.parent for p in (*expected.partitions, *live.partitions)}):
        if ("table", parent) not in live.items or ("table", parent) not in expected.items:
            continue
        ranges = [p for p in live.partitions if p.parent == parent and p.is_by_time]
        if any(p.parent == parent and p.is_by_time for p in expected.partitions):
            covered[parent] = ranges
            yield from _check_ranges(parent, ranges, live)
    yield from _check_ahead(covered, live)


def _get_name(partition: Partition) -> str | None:
    """What a partition of ours is called; None where it is not for us to say."""
    if partition.parent not in TABLES or not partition.is_by_time:
        return None
    first = FIRST.format(partition.parent)
    return first if partition.lower is None else f"{partition.parent}_p_{partition.lower:%Y_%m}"


def _check_ranges(parent: str, ranges: list[Partition], live: Catalogue) -> Iterator[Difference]:
    is_current = any(
        (p.lower is None or p.lower <= live.read_at) and (p.upper is None or live.read_at < p.upper)
        for p in ranges
    )
    if not is_current:
        yield Difference(KIND, parent, "now", "covered", "not covered")
    bounded = [p for p in ranges if p.lower is not None]
    in_order = [p for p in ranges if p.lower is None]
    in_order += sorted(bounded, key=lambda p: p.lower or live.read_at)
    for earlier, later in pairwise(in_order):
        if earlier.upper != later.lower:
            yield Difference(
                KIND,
                parent,
                "ranges",
                expected="without a gap",
                found=f"a gap from {earlier.upper} to {later.lower}",
            )


def _check_ahead(covered: dict[str, list[Partition]], live: Catalogue) -> Iterator[Difference]:
    """Months are made for all tables at once: one that ends before the others lacks some."""
    ends = {
        parent: max((p.upper for p in ranges if p.upper is not None), default=None)
        for parent, ranges in covered.items()
        if all(p.upper is not None for p in ranges)
    }
    # A first partition reaches as far as the rows did that were there when it was made.
    made = [
        p.upper
        for parent, ranges in covered.items()
        if parent in TABLES
        for p in ranges
        if p.upper is not None and p.name != FIRST.format(parent)
    ]
    needed = live.read_at + ALARM
    for parent, end in ends.items():
        wanted = max([needed, *made]) if parent in TABLES else needed
        if end is not None and end < wanted:
            yield Difference(KIND, parent, "end", f"{wanted:%Y-%m-%d} or later", f"{end:%Y-%m-%d}")
