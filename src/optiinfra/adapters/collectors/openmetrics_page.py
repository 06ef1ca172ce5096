"""OpenMetrics 1.0, line by line, with what it demands of a family's samples."""

from __future__ import annotations

import re

from optiinfra.adapters.collectors.numbers import read_number, read_seconds
from optiinfra.adapters.collectors.openmetrics_family import OpenFamily
from optiinfra.adapters.collectors.page import NO_TIMESTAMP, Family, PageError, PageProblem
from optiinfra.adapters.collectors.series_text import SeriesTable, read_labels, read_name

_COMMENT = re.compile(r"# +(HELP|TYPE|UNIT) +")
_TAIL = re.compile(r" ([^ ]+)(?: ([^ #][^ ]*)(?: # \{)?| {1,2}# \{)?")
_EXEMPLAR = re.compile(r" ([^ ]+)(?: (.+))?")
_HELP_ESCAPE = re.compile(r'\\([\\n"])')
_MAX_EXEMPLAR_CHARACTERS = 128
END = "# EOF"


class OpenMetricsPage:
    """What has been read of a page; exemplars are checked and left out."""

    def __init__(self, table: SeriesTable) -> None:
        self.table = table
        self.families: list[Family] = []
        self.family: list[int] = []
        self.series: list[int] = []
        self.value: list[float] = []
        self.timestamp_ns: list[int] = []
        self.is_timed = False
        self.num_repeats = 0  # samples that say again what the line before them said
        self._open: OpenFamily | None = None
        self._taken: set[str] = set()  # names that no later family may use

    def read(self, lines: list[str]) -> None:
        """Read all lines.

        Raises:
            PageError: a line that the format does not allow, by its number.
        """
        if lines and not lines[-1]:
            lines = lines[:-1]
        number = 0
        try:
            if not lines or lines[-1] != END:
                number = len(lines)
                raise _make_error(f"the page does not end with {END}")
            for number, line in enumerate(lines[:-1], 1):  # noqa: B007  an error names it
                if line.startswith("#"):
                    self._read_comment(line)
                else:
                    self._read_sample(line)
            self._close()
        except PageError as error:
            raise PageError(error.problem, reason=error.reason, line=number) from error

    def _read_sample(self, line: str) -> None:
        head, _, tail = line.rpartition(" ")
        series = self.table.find(head)
        timestamp_ns, has_exemplar = NO_TIMESTAMP, False
        if series is not None:
            value = read_number(tail)
        else:
            series, end = self.table.read(line, is_open=True)
            match = _TAIL.match(line, end)
            if not match:
                raise _make_error(f"{line[:80]!r} is not a series with a value")
            value = read_number(match[1])
            if match[2]:
                timestamp_ns = read_seconds(match[2])
                self.is_timed = True
            has_exemplar = match[0].endswith("{")
            if has_exemplar:
                _check_exemplar(line, match.end())
            elif match.end() != len(line):
                raise _make_error(f"{line[match.end() :][:80]!r} follows the value")
            self.table.remember(line[:end], series)
        self._add(series, value, timestamp_ns, has_exemplar=has_exemplar)

    def _add(self, series: int, value: float, timestamp_ns: int, *, has_exemplar: bool) -> None:
        name, labels = self.table.series[series]
        family = self._open
        if family is None or name not in family.allowed:
            self._close()
            family = self._open = OpenFamily(name, kind="unknown")
        if family.add(name, labels, value, timestamp_ns, has_exemplar=has_exemplar):
            self.family.append(len(self.families))
            self.series.append(series)
            self.value.append(value)
            self.timestamp_ns.append(timestamp_ns)
        else:
            self.num_repeats += 1

    def _read_comment(self, line: str) -> None:
        match = _COMMENT.match(line)
        if not match:
            raise _make_error(f"{line[:80]!r} is not HELP, TYPE or UNIT, or is {END} too early")
        name, end = read_name(line, match.end())
        if not line.startswith(" ", end):
            raise _make_error(f"{line[:80]!r} says nothing of a metric")
        rest = line[end:].lstrip(" ")
        if self._open is None or self._open.name != name:
            self._close()
            self._open = OpenFamily(name)
        if match[1] == "HELP":
            rest = _HELP_ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], rest)
        self._open.describe(match[1], rest)

    def _close(self) -> None:
        if self._open is None:
            return
        names = self._open.list_names()
        if clash := next((name for name in names if name in self._taken), None):
            raise PageError(
                f"the name {clash} belongs to another family.", reason=PageProblem.MEANING
            )
        self._taken.update(names)
        self.families.append(self._open.close())
        self._open = None


def _check_exemplar(line: str, place: int) -> None:
    pairs, end = read_labels(line, place, is_open=True)
    names = {name for name, _ in pairs}
    if len(names) != len(pairs) or any(name.startswith("__") for name in names):
        raise _make_error("the labels of an exemplar repeat or are reserved")
    if sum(len(name or "__name__") + len(value) for name, value in pairs) > (
        _MAX_EXEMPLAR_CHARACTERS
    ):
        raise _make_error("the labels of an exemplar are too long")
    match = _EXEMPLAR.fullmatch(line, end)
    if not match:
        raise _make_error("an exemplar has no value")
    read_number(match[1])
    if match[2]:
        read_seconds(match[2])


def _make_error(problem: str) -> PageError:
    return PageError(f"{problem}.", reason=PageProblem.SYNTAX)
