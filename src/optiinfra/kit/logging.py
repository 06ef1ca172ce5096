"""Log lines as JSON: a constant event name, fields with units in their names, one a unit of work.

logger = logging.getLogger("optiinfra.collectors")
logger.info("scraped", extra={"target": name, "num_samples": 120, "elapsed_s": 0.04})
"""

from __future__ import annotations

import json
import logging
import math
import sys
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


def configure_logging(stream: TextIO | None = None, *, level: str = "INFO") -> None:
    """Let the loggers of `optiinfra` write JSON to `stream` (stderr), and nothing twice."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("optiinfra")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


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
