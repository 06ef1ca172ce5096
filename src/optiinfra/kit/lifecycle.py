"""A status and the changes it may go through, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)


class IllegalTransitionError(ValueError):
    """A change of status that the table does not hold."""

    def __init__(self, *, name: str, source: StrEnum, target: StrEnum) -> None:
        super().__init__(f"{name}: {source.value} -> {target.value} is not a change it can make")
        self.name = name
        self.source = source
        self.target = target


@dataclass(frozen=True, slots=True)
class Lifecycle(Generic[S]):
    """Source -> allowed targets: a row for every member, all reachable from `initial`."""

    name: str
    initial: S
    table: Mapping[S, frozenset[S]]

    def __post_init__(self) -> None:
        members = set(type(self.initial))
        if set(self.table) != members:
            message = f"{self.name}: the table needs exactly one row for each of {sorted(members)}"
            raise ValueError(message)
        unreachable = members - self._reachable()
        if unreachable:
            message = f"{self.name}: {sorted(unreachable)} cannot be reached from {self.initial}"
            raise ValueError(message)

    def _reachable(self) -> set[S]:
        seen = {self.initial}
        open_ends = [self.initial]
        while open_ends:
            fresh = self.table[open_ends.pop()] - seen
            seen |= fresh
            open_ends.extend(fresh)
        return seen

    @property
    def terminal(self) -> frozenset[S]:
        """The members that nothing follows."""
        return frozenset(source for source, targets in self.table.items() if not targets)

    def list_sources(self, target: S) -> tuple[S, ...]:
        """The members that may become `target`, in the order of the table."""
        return tuple(source for source in self.table if self.allows(source=source, target=target))

    def allows(self, *, source: S, target: S) -> bool:
        """Whether the table holds this change."""
        return target in self.table[source]

    def check(self, *, source: S, target: S) -> None:
        """Raise IllegalTransitionError unless the table holds this change."""
        if not self.allows(source=source, target=target):
            raise IllegalTransitionError(name=self.name, source=source, target=target)
