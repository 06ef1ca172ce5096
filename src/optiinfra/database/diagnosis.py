"""What PostgreSQL refused: which column, and with which value, as far as that can be known.

PostgreSQL names a constraint more often than a column; the models know its columns. The value is
the one that was sent for the column, where only one was, or stands in the detail of the refusal.
What the row held besides is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import CheckConstraint, Column, Enum, ForeignKeyConstraint, Table
from sqlalchemy.schema import ColumnCollectionConstraint

from optiinfra.database.checked_rows import make_rules
from optiinfra.database.models.base import Base
from optiinfra.database.refusals import Fault, show

TENANT: Final = "customer_id"
_WRITTEN: Final = re.compile(r"(?:INSERT INTO|UPDATE) (?:public\.)?(\w+)")
_PARTITION: Final = re.compile(r"(\w+)_p_(?:first|\d{4}_\d\d)")
_DETAIL: Final = re.compile(r"[Kk]ey (?:of the failing row contains )?\((.+?)\) ?= ?\((.*)\)")
# As SQLAlchemy says it, and as PostgreSQL does.
_ENUMS: Final = (
    re.compile(
        r"(?s)'(?P<word>.*)' is not among the defined enum values\. Enum name: (?P<enum>\w+)"
    ),
    re.compile(r'(?s)invalid input value for enum (?P<enum>\w+): "(?P<word>.*)"'),
)


class Place(NamedTuple):
    """Where it was, and what; None where it is not known."""

    table: str | None
    column: str | None = None
    value: str | None = None


def locate(diagnosis: Any, parameters: object) -> Place:
    """The place that PostgreSQL's own diagnosis leads to."""
    table = find_table(getattr(diagnosis, "table_name", None))
    if table is None:
        return Place(None)
    columns, values = _read_detail(getattr(diagnosis, "message_detail", None) or "")
    name = getattr(diagnosis, "column_name", None)
    if name is None:
        name = _find_column(table, getattr(diagnosis, "constraint_name", None) or "")
    if name is None and columns:
        name = columns[0]
    if name is None or name not in table.columns:
        return Place(table.name)
    column = table.columns[name]
    if name in columns and len(columns) == len(values):
        return Place(table.name, name, show(column, values[columns.index(name)]))
    sent = {show(column, value) for value in _list_sent(parameters, name)}
    return Place(table.name, name, sent.pop() if len(sent) == 1 else None)


def find_culprit(statement: str | None, parameters: object) -> tuple[Column[Any], Fault] | None:
    """The first value of a statement that its column does not take, by the models."""
    table = find_written(statement)
    for rule in make_rules(table).values() if table is not None else ():
        for value in _list_sent(parameters, rule.column.name):
            fault = None if value is None else rule.find(value)
            if fault is not None:
                return rule.column, fault
    return None


def find_unknown_word(message: str) -> tuple[Column[Any], Fault] | None:
    """The word that an enum lacks, where one column alone has that enum."""
    found = next((match for shape in _ENUMS if (match := shape.match(message))), None)
    columns = [
        (column, column.type.enums)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if found and isinstance(column.type, Enum) and column.type.name == found["enum"]
    ]
    if found is None or len(columns) != 1:
        return None
    column, words = columns[0]
    return column, Fault(f"is not one of {', '.join(words)}", found["word"])


def find_written(statement: str | None) -> Table | None:
    """The table into which a statement writes."""
    found = _WRITTEN.search(statement or "")
    return find_table(found[1]) if found else None


def find_table(name: str | None) -> Table | None:
    """The table of the models, of which it may be a partition."""
    if name is None:
        return None
    partition = _PARTITION.fullmatch(name)
    return Base.metadata.tables.get(partition[1] if partition else name)


def _find_column(table: Table, constraint: str) -> str | None:
    """The column that a constraint is about, if it is about one before all."""
    for index in table.indexes:
        if index.name == constraint:
            return _pick([str(column.name) for column in index.columns][::-1])
    own = next((c for c in table.constraints if c.name == constraint), None)
    if isinstance(own, ForeignKeyConstraint):
        return _pick(own.column_keys)
    if isinstance(own, CheckConstraint):
        words = re.findall(r"\w+", str(own.sqltext))
        named = [str(word) for word in words if word in table.columns]
        return next((word for word in named if word in constraint), named[0] if named else None)
    if isinstance(own, ColumnCollectionConstraint):  # a key, or what is unique
        return _pick([column.name for column in own.columns][::-1])
    return None


def _pick(columns: Sequence[str]) -> str | None:
    return next((name for name in columns if name != TENANT), columns[0] if columns else None)


def _read_detail(detail: str) -> tuple[list[str], list[str]]:
    found = _DETAIL.search(detail)
    return (
        ([name.strip(chr(34)) for name in found[1].split(", ")], found[2].split(", "))
        if found
        else ([], [])
    )


def _list_sent(parameters: object, name: str) -> Iterator[object]:
    """Values for a column; SQLAlchemy numbers them where one statement writes many rows."""
    numbered = re.compile(rf"{re.escape(name)}(__\d+)?")
    for row in parameters if isinstance(parameters, list | tuple) else [parameters]:
        for key, value in row.items() if isinstance(row, dict) else ():
            if numbered.fullmatch(key):
                yield getattr(value, "obj", value)  # psycopg wraps JSON
