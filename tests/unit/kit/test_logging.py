"""Log lines are JSON, one a line, whatever is in them."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from optiinfra.kit.logging import JsonFormatter, TerminalFormatter, configure_logging


def write(event_name: str, /, **fields: Any) -> dict[str, Any]:
    record = logging.LogRecord("optiinfra.x", logging.INFO, "f", 1, event_name, None, None)
    vars(record).update(fields)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line() -> None:
    line = write("scraped", target="t", num_samples=3, elapsed_s=0.5, created=1_700_000_000.25)
    assert line == {
        "at": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "logger": "optiinfra.x",
        "event": "scraped",
        "target": "t",
        "num_samples": 3,
        "elapsed_s": 0.5,
    }


def test_a_field_cannot_pass_for_the_event() -> None:
    assert write("scraped", event="stolen", level="none")["event"] == "scraped"


def test_what_json_does_not_hold() -> None:
    line = write("e", a=float("nan"), b={1: (2, {3})}, c=object, d="x" * 10_000)
    assert line["a"] == "nan"
    assert line["b"] == {"1": [2, [3]]}
    assert len(line["d"]) == 4_000


@given(st.text(), st.text())
def test_any_text(event: str, value: str) -> None:
    line = write(event.replace("%", ""), field=value)
    assert line["field"] == value[:4_000]


def test_the_loggers_of_the_package_write_once_with_their_errors() -> None:
    stream = io.StringIO()
    root = logging.getLogger("optiinfra")
    before = root.handlers[:], root.level, root.propagate
    try:
        configure_logging(stream)
        configure_logging(stream, level="WARNING")
        logger = logging.getLogger("optiinfra.collectors")
        logger.info("not_written")
        try:
            int("oh\nno")
        except ValueError:
            logger.exception("failed", extra={"target": "t"})
    finally:
        root.handlers[:], root.level, root.propagate = before
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["event"], line["target"], line["level"]) == ("failed", "t", "error")
    assert line["error"].startswith("ValueError: invalid literal")
    assert "Traceback" in line["traceback"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_reads_plain_lines_that_cannot_steer_the_terminal() -> None:
    record = logging.LogRecord("optiinfra.x", logging.WARNING, "f", 1, "target_unknown", None, None)
    vars(record).update(target="a\x1b[31m\nb", num_failures=2, created=1_700_000_000.25)
    line = TerminalFormatter().format(record)
    assert line == "22:13:20 warning target_unknown target=a [31m b num_failures=2"
    root = logging.getLogger("optiinfra")
    before = root.handlers[:], root.level, root.propagate
    terminal = Terminal()
    try:
        configure_logging(terminal)
        logging.getLogger("optiinfra.x").info("scraped", extra={"num_samples": 3})
        try:
            int("oh\x1b[31m")
        except ValueError:
            logging.getLogger("optiinfra.x").exception("failed")
    finally:
        root.handlers[:], root.level, root.propagate = before
    lines = terminal.getvalue().splitlines()
    assert lines[0].endswith(" scraped num_samples=3")
    assert lines[1].endswith(" error failed")
    assert lines[2].startswith("Traceback")
    assert "\x1b" not in terminal.getvalue()
