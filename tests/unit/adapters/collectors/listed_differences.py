"""Every way in which we differ from prometheus_client, each as a test of a line.

docs/collectors.md lists the same. But for the comments it reads what we refuse; where a line is of
one of these kinds, the page is not compared.
"""

from __future__ import annotations

import re

from optiinfra.adapters.collectors.page import PageForm

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABELS = r'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}'
_SERIES = re.compile(rf"\s*{_NAME.pattern}\s*(?:{_LABELS})?")
_EMPTY_TERM = re.compile(r"=\s*[,}]|,\s+,|\{\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*[,}]")
_NUMBER_WORD = re.compile(r"\s*(nan|inf|infinity)\s*", re.IGNORECASE)
_EXPONENT = re.compile(r" [^ {}\"]+ [0-9.]+[eE][+-]?[0-9]+$")


def has_listed_difference(page: str, form: PageForm) -> bool:
    """Whether a line of the page is of a listed kind."""
    is_listed = _is_listed_text if form == PageForm.TEXT else _is_listed_open
    lines = page.split("\n")
    if form == PageForm.OPENMETRICS and any(_EXPONENT.search(line) for line in lines):
        return (
            True  # timestamps with an exponent: prometheus_client cannot compare them with others
        )
    return any(is_listed(line) for line in lines if line.strip())


def _has_bad_name(line: str) -> bool:
    """What stands before the braces is not a name, or a bare number word."""
    name = line.partition("{")[0]
    return bool(_NUMBER_WORD.fullmatch(line)) or (
        "{" in line and bool(name.strip()) and not _NAME.fullmatch(name.strip())
    )


def _is_listed_text(line: str) -> bool:
    line = line.strip()
    if line.startswith("#"):
        words = line.split()
        return (
            len(words) > 1 and words[1] in {"HELP", "TYPE"} and (words[0] != "#" or len(words) < 3)
        )
    if _has_bad_name(line) or _EMPTY_TERM.search(line):
        return True
    series = _SERIES.match(line)
    return series is not None and len(re.split(r"[ \t]+", line[series.end() :].strip())) > 2


def _is_listed_open(line: str) -> bool:
    if line.startswith("#"):
        words = line.split()
        about = line.split(" ", 3)[:3]
        return len(words) > 1 and (words[0] != "#" or any(re.search(r"[^\S ]", w) for w in about))
    if _has_bad_name(line) or re.match(rf"{_NAME.pattern}\s+\{{", line):
        return True
    series = _SERIES.match(line)
    rest = "" if series is None else line[series.end() :]
    if series is not None and series[0].endswith("}") and not rest.startswith(" "):
        return True
    return bool(re.search(r"[^\S ]", rest)) or rest.lstrip().startswith("{")
