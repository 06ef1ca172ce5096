"""One difference, and how it is put into words."""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import dataclass
from typing import Final

MISSING: Final = "missing"
PRESENT: Final = "present"
NONE: Final = "none"
EXISTENCE: Final = "existence"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One way in which the live schema is not what it should be."""

    kind: str  # of the object: table, column, index, policy ...
    name: str
    facet: str  # what differs about it; "existence" for an object too many or too few
    expected: str
    found: str

    def __str__(self) -> str:
        if self.facet == EXISTENCE:
            what = "is missing" if self.found == MISSING else "should not be there"
            return f"{self.kind} {self.name} {what}"
        is_word = self.facet.isidentifier()  # and not the name of somebody's index
        facet = self.facet.replace("_", " ") if is_word else self.facet
        if "\n" in self.expected and "\n" in self.found:
            return (
                f"{self.kind} {self.name}: {facet} differs; - should be, + is\n{self._list_lines()}"
            )
        expected, found = (" ".join(value.split()) for value in (self.expected, self.found))
        return f"{self.kind} {self.name}: {facet} is {found}, should be {expected}"

    def _list_lines(self) -> str:
        """Of a function's twenty lines, those that differ."""
        expected, found = self.expected.strip().splitlines(), self.found.strip().splitlines()
        lines = difflib.ndiff(expected, found)
        shown = [line for line in lines if line.startswith(("- ", "+ "))]
        return textwrap.indent("\n".join(shown), "    ")


def make_existence(kind: str, name: str, *, is_expected: bool) -> Difference:
    """An object that is missing, or that should not be there."""
    words = (PRESENT, MISSING) if is_expected else (MISSING, PRESENT)
    return Difference(kind, name, EXISTENCE, *words)
