"""Prometheus' text format 0.0.4, line by line."""

from __future__ import annotations

import re

from optiinfra.adapters.collectors.numbers import read_milliseconds, read_number
from optiinfra.adapters.collectors.page import NO_TIMESTAMP, Family, PageError, PageProblem
from optiinfra.adapters.collectors.series_text import SeriesTable, read_name

_COMMENT = re.compile(r"#\s+(HELP|TYPE)(?:\s+|$)")
_HELP_ESCAPE = re.compile(r"\\([\\n])")
_SUFFIXES = {"summary": ("_count", "_sum", ""), "histogram": ("_count", "_sum", "_bucket")}
_KINDS = frozenset(
    ("counter", "gauge", "summary", "histogram", "gaugehistogram", "info", "stateset", "unknown")
)
_MAX_FIELDS = 2  # value and timestamp


class TextPage:
    """What has been read of a page. `is_plain` as long as each line was `series value`."""

    def __init__(self, table: SeriesTable) -> None:
        self.table = table
        self.families: list[Family] = []
        self.family: list[int] = []
        self.series: list[int] = []
        self.value: list[float] = []
        self.timestamp_ns: list[int] = []
        self.is_timed = False
        self.is_plain = True
        self.sample_lines: list[int] = []
        self._number = -1  # of the family in force
        self._name = ""
        self._kind = "unknown"
        self._documentation = ""
        self._allowed: tuple[str, ...] = ()

    def read(self, lines: list[str]) -> None:
        """Read all lines.

        Raises:
            PageError: a line that the format does not allow, by its number.
        """
        known, find = self.table.by_text, self.table.find
        number = 0
        try:
            for number, line in enumerate(lines, 1):
                head, _, tail = line.rpartition(" ")
                series = known.get(head)
                if series is None:
                    series = find(head)
                if series is None or "_" in tail:
                    self._read_line(line.strip(), number)
                    continue
                try:
                    value = float(tail)
                except ValueError:
                    self._read_line(line.strip(), number)
                    continue
                self._add(series, value, NO_TIMESTAMP, number)
            self._close()
        except PageError as error:
            raise PageError(error.problem, reason=error.reason, line=number) from error

    def _read_line(self, line: str, number: int) -> None:
        if line.startswith("#"):
            if match := _COMMENT.match(line):
                self._read_comment(match[1], line, match.end())
        elif line:
            self._read_sample(line, number)

    def _read_sample(self, line: str, number: int) -> None:
        series, end = self.table.read(line, is_open=False)
        rest = line[end:]
        fields = rest.split()
        if len(fields) != 1:
            fields = _split_fields(rest)
        if not 1 <= len(fields) <= _MAX_FIELDS or (line[end - 1] != "}" and rest[0] not in " \t"):
            raise PageError(
                f"{line[:80]!r} is not a series with a value.", reason=PageProblem.SYNTAX
            )
        value = read_number(fields[0])
        timestamp_ns = NO_TIMESTAMP
        if len(fields) == _MAX_FIELDS:
            timestamp_ns = read_milliseconds(fields[1])
            self.is_timed = True
        self.table.remember(line[:end], series)
        if len(rest) != len(fields[0]) + 1 or rest[0] != " ":
            self.is_plain = False
        self._add(series, value, timestamp_ns, number)

    def _add(self, series: int, value: float, timestamp_ns: int, number: int) -> None:
        name = self.table.series[series].name
        if name not in self._allowed:
            self._close()
            self._name, self._allowed = "", ()
            self.families.append(Family(name, "unknown", "", ""))
            self._number = len(self.families) - 1
        elif self._number < 0:
            self._number = len(self.families)
            self.families.append(Family("", "", "", ""))  # named when it closes
        self.family.append(self._number)
        self.series.append(series)
        self.value.append(value)
        self.timestamp_ns.append(timestamp_ns)
        self.sample_lines.append(number - 1)

    def _read_comment(self, word: str, line: str, place: int) -> None:
        name, end = read_name(line, place)
        rest = line[end:]
        if (rest and not rest[0].isspace()) or (word == "TYPE" and not rest.strip()):
            raise PageError(
                f"{line[:80]!r} names no metric, or no type.", reason=PageProblem.SYNTAX
            )
        rest = rest.strip()
        if name != self._name:
            self._close()
            self._name, self._kind, self._documentation = name, "unknown", ""
            self._allowed, self._number = (name,), -1
        if word == "HELP":
            self._documentation = _HELP_ESCAPE.sub(
                lambda match: "\n" if match[1] == "n" else "\\", rest
            )
        else:
            self._kind = "unknown" if rest == "untyped" else rest
            self._allowed = tuple(name + suffix for suffix in _SUFFIXES.get(self._kind, ("",)))

    def _close(self) -> None:
        if not self._name:
            return
        if self._kind not in _KINDS:
            raise PageError(f"{self._kind[:40]!r} is not a type.", reason=PageProblem.SYNTAX)
        family = Family(self._name, self._kind, self._documentation, "")
        if self._number < 0:
            self.families.append(family)
        else:
            self.families[self._number] = family
        self._number = -1


def _split_fields(rest: str) -> list[str]:
    """Value and timestamp, parted by spaces, or by tabs where there is no space."""
    separator = " " if " " in rest.lstrip() else "\t"
    return [field for part in rest.split(separator) if (field := part.strip())]
