"""Ranges of numbers, read from the models: what their check constraints say.

A CHECK on one column alone, such as `progress >= 0 AND progress <= 100`, is known before anything
is sent. What a CHECK says of several columns only PostgreSQL finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import CheckConstraint, Table

from optiinfra.database.refusals import Fault

_TERM: Final = re.compile(
    r"(?P<column>\w+) (?:(?P<sign>>=|<=) (?P<limit>-?[\d.]+)|[<>] '-?Infinity'::float8)"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits, both within the range; None where there is none."""

    constraint: str
    lowest: float | None = None
    highest: float | None = None

    def find_fault(self, value: float) -> Fault | None:
        """Whether the number is outside; NaN and infinity are refused elsewhere."""
        if self.lowest is not None and value < self.lowest:
            return Fault(f"is below {self.lowest:g}", value, self.constraint)
        if self.highest is not None and value > self.highest:
            return Fault(f"is above {self.highest:g}", value, self.constraint)
        return None


def read_bounds(table: Table) -> dict[str, list[Bounds]]:
    """Bounds by name of column, one for each CHECK that speaks of it alone."""
    found: dict[str, list[Bounds]] = {}
    for check in table.constraints:
        if isinstance(check, CheckConstraint):
            for column, limits in _read_limits(str(check.sqltext)).items():
                found.setdefault(column, []).append(Bounds(str(check.name), **limits))
    return found


def _read_limits(condition: str) -> dict[str, dict[str, float]]:
    """Limits by column; nothing of a condition that says more than that."""
    found: dict[str, dict[str, float]] = {}
    for text in condition.split(" AND "):
        term = _TERM.fullmatch(text)
        if term is None:
            return {}
        limits = found.setdefault(term["column"], {})
        if term["sign"]:
            limits["lowest" if term["sign"] == ">=" else "highest"] = float(term["limit"])
    return found
