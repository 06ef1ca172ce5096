"""Log lines: a constant event name, fields with units in their names, one a unit of work.

JSON, but for a person at a terminal.

logger = logging.getLogger("optiinfra.collectors")
logger.info("scraped", extra={"target": name, "num_samples": 120, "elapsed_s": 0.04})
"""

from __future__ import annotations

import json
import logging
import math
import sys
import unicodedata
from datetime import UTC, datetime
from typing import Any, TextIO

_MAX_TEXT = 4_000
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RENAMED = frozenset(("at", "level", "logger", "event", "error", "traceback"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `event`, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; it is one line and JSON whatever the fields are."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:_MAX_TEXT],
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                line[f"{name}_" if name in _RENAMED else name] = _to_plain(value)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"[:_MAX_TEXT]
            line["traceback"] = self.formatException(record.exc_info)[-_MAX_TEXT:]
        return json.dumps(line, ensure_ascii=False, allow_nan=False)


class TerminalFormatter(logging.Formatter):
    """`12:30:59 warning target_unknown target=chat-0 num_failures=3`, UTC, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without characters that could steer the terminal; a traceback follows it."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()} "
        fields = [
            f"{name}={_to_plain(value)}" for name, value in vars(record).items() if name not in _OWN
        ]
        line = _quieten(" ".join((f"{at} {level}{record.getMessage()[:_MAX_TEXT]}", *fields)))
        if record.exc_info:
            error = self.formatException(record.exc_info).splitlines()
            line = "\n".join((line, *map(_quieten, error)))
        return line


def configure_logging(stream: TextIO | None = None, *, level: str = "INFO") -> None:
    """Let the loggers of `optiinfra` write to `stream` (stderr), and nothing twice."""
    chosen = stream or sys.stderr
    handler = logging.StreamHandler(chosen)
    handler.setFormatter(TerminalFormatter() if chosen.isatty() else JsonFormatter())
    logger = logging.getLogger("optiinfra")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _quieten(text: str) -> str:
    """One line, without characters that could steer a terminal."""
    return "".join(" " if unicodedata.category(each) == "Cc" else each for each in text)


def _to_plain(value: object) -> object:
    """A value that JSON holds; a number that is none becomes text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_plain(item) for item in value]
    return str(value)[:_MAX_TEXT]
