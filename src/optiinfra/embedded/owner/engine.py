"""chDB in this process: statements in, bytes of a format out. Nobody may fork while it is open."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optiinfra.domain.errors import PackageMissingError

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_SETTINGS = {
    "max_execution_time": "60",  # where the request does not say
    "max_result_bytes": str(1 << 30),
    "max_memory_usage": str(4 << 30),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CODE = re.compile(r"Code: (\d+)\.")
UNKNOWN_ERROR = 1002  # ClickHouse's own code for it
BAD_ARGUMENTS = 36


class EngineError(Exception):
    """What ClickHouse said, with its code."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a result, and what it took."""

    body: bytes
    num_rows_read: int
    num_bytes_read: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with what a request says about it."""

    sql: str
    database: str = ""
    output_format: str = "TabSeparated"
    settings: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None
    is_read_only: bool = False


READ_ONLY = 164  # ClickHouse's code
_READS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|VALUES)\b",
    re.IGNORECASE | re.DOTALL,
)


class Engine:
    """One directory. A statement has a handle of its own, so nothing leaks between them."""

    def __init__(self, directory: Path) -> None:
        try:
            import chdb
        except ImportError as error:
            raise PackageMissingError("chdb-core", purpose="The embedded ClickHouse") from error
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._chdb = chdb
        self._path = str(directory.resolve())
        self._root = chdb.connect(self._path)  # keeps the engine open

    def run(self, statement: Statement) -> Answer:
        """Run a statement. Raises EngineError. May be called from any thread."""
        settings = DEFAULT_SETTINGS | dict(statement.settings or {})
        if statement.is_read_only:
            # Handles of one directory were seen to share settings, so the words are looked at too.
            if not _READS.match(statement.sql):
                raise EngineError("A request by GET may only read.", code=READ_ONLY)
            settings["readonly"] = "2"  # last: nothing that writes, and settings still by request
        started = time.perf_counter()
        try:
            handle = self._chdb.connect(self._path)
        except RuntimeError as error:
            raise _translate(error) from error
        try:
            if statement.database:
                handle.query(f"USE {quote_name(statement.database)}", "TabSeparated")
            handle.query(f"SET {_write_settings(settings)}", "TabSeparated")
            result = handle.query(
                statement.sql, statement.output_format, params=dict(statement.parameters or {})
            )
            return Answer(
                body=result.bytes() or b"",
                num_rows_read=int(result.rows_read()),
                num_bytes_read=int(result.bytes_read()),
                elapsed_s=time.perf_counter() - started,
            )
        except RuntimeError as error:  # ChdbError is one too
            raise _translate(error) from error
        finally:
            handle.close()

    def get_version(self) -> str:
        """Of ClickHouse."""
        return self.run(Statement("SELECT version()")).body.decode().strip()

    def close(self) -> None:
        """Flush and close; the process may then open another directory."""
        self._root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _write_settings(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise EngineError(f"{name!r} is no name of a setting.", code=BAD_ARGUMENTS)
    return ", ".join(f"{name} = {quote_text(value)}" for name, value in settings.items())


def quote_text(text: str) -> str:
    """A literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_name(name: str) -> str:
    """An identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _translate(error: Any) -> EngineError:
    text = str(error)
    match = _CODE.search(text)
    return EngineError(
        text[match.start() :] if match else text, code=int(match[1]) if match else UNKNOWN_ERROR
    )
