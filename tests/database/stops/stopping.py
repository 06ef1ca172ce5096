"""Stop an upgrade before a chosen statement, as a process that dies there would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

# What changes nothing that outlives the session; to stop before it is to stop before the next one.
PASSING = re.compile(r"\s*(SET|RESET|SELECT|LOCK)\b", re.IGNORECASE)
BUILDING = re.compile(r"CREATE (UNIQUE )?INDEX CONCURRENTLY (IF NOT EXISTS )?(?P<name>\w+)")
CHANGING_ROWS = ("INSERT", "UPDATE", "DELETE", "WITH")
CHANGE = re.compile(r"\$change\$(.*)\$change\$", re.DOTALL)  # see operations.alter


class StoppedError(Exception):
    """As if the process were gone."""


class Watch:
    """Keeps the statements that change something, and raises before the one that is chosen."""

    def __init__(self, is_chosen: Callable[[str], bool]) -> None:
        self._is_chosen = is_chosen
        self._is_over = False
        self.passed: list[str] = []

    def __call__(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: object,
        *rest: object,
    ) -> None:
        del connection, rest
        if self._is_over or PASSING.match(statement):
            return
        shown = f"{statement} {parameters or ''}"
        if self._is_chosen(shown):
            self._is_over = True  # what is still done on the way out runs
            leave_broken_index(cursor, statement)
            raise StoppedError(shown)
        self.passed.append(shown)


def leave_broken_index(cursor: Any, statement: str) -> None:
    """An index that was being built when the process died stays, and is of no use."""
    building = BUILDING.match(statement)
    if building is not None:
        cursor.execute(statement.replace("CONCURRENTLY ", ""))
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
            (building["name"],),
        )


@contextmanager
def watching(is_chosen: Callable[[str], bool] = lambda _: False) -> Iterator[Watch]:
    """Within, an upgrade stops before the first statement that is chosen."""
    watch = Watch(is_chosen)
    event.listen(Engine, "before_cursor_execute", watch)
    try:
        yield watch
    finally:
        event.remove(Engine, "before_cursor_execute", watch)


def find_ends_of_kinds(statements: Sequence[str]) -> list[str]:
    """The first and the last statement of each kind: those that differ in names alone are one."""
    ends: dict[str, list[str]] = {}
    for statement in statements:
        inner = CHANGE.search(statement)
        words = inner[1] if inner else statement
        verbs = re.findall(r"\b[A-Z]+\b", words)
        kind = " ".join(verbs[: 2 if verbs[0] in CHANGING_ROWS else 5])
        ends.setdefault(kind, []).append(statement)
    return [end for found in ends.values() for end in dict.fromkeys((found[0], found[-1]))]
