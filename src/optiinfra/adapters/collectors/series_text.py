"""The part of a line that names a series: `name{label="value",…}`, by the grammar of both formats.

Read as Prometheus reads it: names in UTF-8 may be quoted and then stand inside the braces. In the
text format a comma may lead and follow; in OpenMetrics it may not.
"""

from __future__ import annotations

import re
from sys import intern

from optiinfra.adapters.collectors.page import Labels, PageError, PageProblem, SeriesName

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\]*"'
_SIMPLE = re.compile(rf"({NAME.pattern})(?:\{{((?:{_LABEL}(?:,{_LABEL})*)?)\}})?")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"')
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r'\\([\\n"])')
_UNESCAPED = {"\\": "\\", "n": "\n", '"': '"'}


def unescape(text: str) -> str:
    """A quoted text without its escapes; a backslash before anything else stands for itself."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], text)


def read_name(text: str, place: int) -> tuple[str, int]:
    """A name, bare or quoted, and the place behind it.

    Raises:
        PageError: there is none.
    """
    if match := NAME.match(text, place):
        return match[0], match.end()
    if (match := _QUOTED.match(text, place)) and match[1]:
        return unescape(match[1]), match.end()
    raise _make_error("a name is missing", text, place)


class SeriesTable:
    """Every series that a target named, by number; texts seen before cost one look-up."""

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self.series: list[SeriesName] = []
        self.by_text: dict[str, int] = {}
        self._by_name: dict[SeriesName, int] = {}
        self._labels: dict[Labels | str, Labels] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._names: dict[str, str] = {}  # bare ones

    def read(self, line: str, *, is_open: bool) -> tuple[int, int]:
        """Number of the series that a line begins with, and the place behind its text.

        Raises:
            PageError: not a series, or one more than the table may hold.
        """
        match = _SIMPLE.match(line)
        if match and (match[2] is not None or not _has_brace(line, match.end())):
            name, end = intern(match[1]), match.end()
            self._names[name] = name
            text = match[2] or ""
            labels = self._labels.get(text)
            if labels is None:
                labels = self._intern(_PAIR.findall(text), line)
                self._labels[text] = labels
        else:
            name, pairs, end = _read_careful(line, is_open=is_open)
            labels = self._intern(pairs, line)
        return self.number(SeriesName(name, labels)), end

    def find(self, text: str) -> int | None:
        """Number of the series that `text` names, where it is sure without the grammar.

        Either the text was seen before, or its name was and its labels were, as texts.
        """
        number = self.by_text.get(text)
        if number is None:
            name, _, rest = text.partition("{")
            labels = self._labels.get(rest[:-1])
            known = self._names.get(name)
            if labels is None or known is None or (rest[-1:] != "}" and text != name):
                return None
            number = self.number(SeriesName(known, labels))
            self.remember(text, number)
        return number

    def remember(self, text: str, series: int) -> None:
        """Find this series by this exact text from now on."""
        if len(self.by_text) < 2 * self.max_series:
            self.by_text[text] = series

    def number(self, name: SeriesName) -> int:
        """The number of a series; a new one where it was not named before.

        Raises:
            PageError: one more than the table may hold.
        """
        number = self._by_name.get(name)
        if number is None:
            number = len(self.series)
            if number >= self.max_series:
                raise PageError(
                    f"the target has named more than {self.max_series:,} series.",
                    reason=PageProblem.TOO_MANY_SERIES,
                )
            self._by_name[name] = number
            self.series.append(name)
        return number

    def _intern(self, pairs: list[tuple[str, str]], line: str) -> Labels:
        names = {name for name, _ in pairs}
        if len(names) != len(pairs):
            raise _make_error("a label is named twice", line, 0)
        if any(name.startswith("__") for name in names):
            raise _make_error("a label's name begins with __", line, 0)
        labels = tuple(sorted(self._pairs.setdefault(pair, pair) for pair in pairs))
        return self._labels.setdefault(labels, labels)


def read_labels(line: str, place: int, *, is_open: bool) -> tuple[list[tuple[str, str]], int]:
    """Pairs between braces, `place` being behind the opening one; and the place behind the closing.

    A quoted name that stands alone is the metric's and comes as the pair `("", name)`.

    Raises:
        PageError: not the grammar of labels.
    """
    pairs: list[tuple[str, str]] = []
    place = _skip(line, place)
    if not is_open and line.startswith(",", place):
        place = _skip(line, place + 1)
    while not line.startswith("}", place):
        is_quoted = line.startswith('"', place)
        name, place = read_name(line, place)
        place = _skip(line, place)
        if line.startswith("=", place):
            value = _QUOTED.match(line, _skip(line, place + 1))
            if not value:
                raise _make_error("a label has no quoted value", line, place)
            pairs.append((name, unescape(value[1])))
            place = _skip(line, value.end())
        elif is_quoted:
            pairs.append(("", name))
        else:
            raise _make_error("a label has no value", line, place)
        if line.startswith(",", place):
            place = _skip(line, place + 1)
            if is_open and line.startswith("}", place):
                raise _make_error("a comma follows the last label", line, place)
        elif not line.startswith("}", place):
            raise _make_error("labels are not separated by a comma", line, place)
    return pairs, place + 1


def _read_careful(line: str, *, is_open: bool) -> tuple[str, list[tuple[str, str]], int]:
    """Name, labels and the place behind them, where the simple form does not fit."""
    match = NAME.match(line)
    name = match[0] if match else ""
    place = match.end() if match else 0
    brace = place if is_open else _skip(line, place)
    if not line.startswith("{", brace):
        if not name:
            raise _make_error("the name of a metric is missing", line, 0)
        return name, [], place
    pairs, end = read_labels(line, brace + 1, is_open=is_open)
    names = [value for key, value in pairs if not key] + ([name] if name else [])
    if len(names) != 1:
        raise _make_error(f"{len(names)} names of a metric instead of one", line, 0)
    return names[0], [pair for pair in pairs if pair[0]], end


def _has_brace(line: str, place: int) -> bool:
    return line.startswith("{", _skip(line, place))


def _skip(line: str, place: int) -> int:
    match = _SPACE.match(line, place)
    return match.end() if match else place


def _make_error(problem: str, line: str, place: int) -> PageError:
    near = line[place : place + 80] or line[:80]
    return PageError(f"{problem}, near {near!r}.", reason=PageProblem.SYNTAX)
