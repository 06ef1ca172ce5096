"""A change as a unified diff."""

from __future__ import annotations

from dataclasses import dataclass

from optiinfra.domain.analysis import Candidate, FlagChange
from optiinfra.report.words import describe_configuration


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a unified diff; `sign` is "-" or "+", doubled in the two heading lines."""

    sign: str
    text: str


def build_diff(
    old: Candidate, new: Candidate, changes: tuple[FlagChange, ...]
) -> tuple[DiffLine, ...]:
    """A change as a unified diff: what stands today goes, what is proposed comes."""
    lines = [
        DiffLine("--", f"- {describe_configuration(old.configuration)}"),
        DiffLine("++", f"+ {describe_configuration(new.configuration)}"),
    ]
    width = max((len(change.flag) for change in changes), default=0)
    for change in changes:
        if change.before is not None:
            lines.append(DiffLine("-", f"{change.flag:<{width}}  {change.before}"))
        if change.after is not None:
            lines.append(DiffLine("+", f"{change.flag:<{width}}  {change.after}"))
    return tuple(lines)
