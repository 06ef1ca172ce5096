"""The page and the picture of the data model, from the models alone.

    python -m optiinfra.database.data_model docs

writes both; a test compares them with what the models say now.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import CheckConstraint, Column, Enum, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from optiinfra.database import models
from optiinfra.database.data_model_picture import draw_picture
from optiinfra.database.models import Base

PAGE: Final = "data-model.md"
PICTURE: Final = "images/data-model.svg"
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_SHORT_TYPES: Final = {
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "VARCHAR": "varchar",
    "DOUBLE PRECISION": "double precision",
    "FLOAT": "double precision",
}
# As the revisions came; a module that is not named follows.
_ORDER: Final = (
    "core",
    "agent_state",
    "workflow_history",
    "resource_schema",
    "application_schema",
)
_INTRODUCTION: Final = """\
# Data model

Made from the models by `python -m optiinfra.database.data_model docs`; a test compares. Times are
`timestamptz`, in UTC. Enum types store the lower-case values listed at the end.

![Tables by subsystem with their keys](images/data-model.svg)

The keys to `customers` and `agents`, which nearly every table has, are written and not drawn. An
arrow runs from a foreign key to the table it names: solid where the row goes with its parent,
dashed where the key becomes null.
"""


def list_groups() -> dict[str, list[Table]]:
    """The tables by the module of their models, in the order in which they are written there."""
    placed: dict[str, list[tuple[int, Table]]] = {}
    for mapper in Base.registry.mappers:
        table = mapper.local_table
        assert isinstance(table, Table), "every model has a table of its own"  # noqa: S101
        line = inspect.getsourcelines(mapper.class_)[1]
        group = mapper.class_.__module__.rpartition(".")[2]
        placed.setdefault(group, []).append((line, table))
    known = [group for group in _ORDER if group in placed]
    return {
        group: [table for _, table in sorted(placed[group], key=itemgetter(0))]
        for group in (*known, *sorted(placed.keys() - known))
    }


def make_page() -> str:
    """The page, in Markdown."""
    parts = [_INTRODUCTION]
    for group, tables in list_groups().items():
        summary = inspect.getdoc(import_module(f"{models.__name__}.{group}")) or ""
        parts.append(f"## {group}\n\n{summary.splitlines()[0]}\n")
        parts += [_describe_table(table) for table in tables]
    parts.append(
        "## Enum types\n\n| type | values |\n|---|---|\n" + "\n".join(_list_enums()) + "\n"
    )
    return "\n".join(parts)


def write(folder: Path) -> None:
    """Write page and picture into the documentation's folder."""
    (folder / PAGE).write_text(make_page(), encoding="utf-8")
    (folder / PICTURE).write_text(draw_picture(list_groups()), encoding="utf-8")


def _describe_table(table: Table) -> str:
    model = next(m.class_ for m in Base.registry.mappers if m.local_table is table)
    lines = [f"### {table.name}", "", inspect.getdoc(model) or "", ""]
    lines += ["| column | type | null | default | meaning |", "|---|---|---|---|---|"]
    in_order = sorted(table.columns, key=lambda column: column.name != "id")
    lines += [_describe_column(table, column) for column in in_order]
    rules = [*_list_uniques(table), *_list_checks(table), *_list_indexes(table)]
    if rules:
        lines += ["", *(f"- {rule}" for rule in rules)]
    return "\n".join(lines) + "\n"


def _describe_column(table: Table, column: Column[Any]) -> str:
    notes = ["primary key"] if column.primary_key else []
    for constraint in sorted(table.foreign_key_constraints, key=lambda key: str(key.name)):
        if column.name in constraint.column_keys:
            others = [name for name in constraint.column_keys if name != column.name]
            along = f" with {', '.join(others)}" if others else ""
            rule = (constraint.ondelete or "no action").lower()
            notes.append(f"→ {constraint.referred_table.name}{along}, on delete {rule}")
    notes += [text for text in (column.comment or column.doc,) if text]
    cells = [
        f"`{column.name}`",
        _describe_type(column),
        "null" if column.nullable else "",
        _describe_default(column),
        "; ".join(notes),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _describe_type(column: Column[Any]) -> str:
    if isinstance(column.type, Enum):
        return str(column.type.name)
    words = column.type.compile(dialect=_DIALECT)
    for long, short in _SHORT_TYPES.items():
        words = words.replace(long, short)
    return words if words[0].islower() else words.lower()


def _describe_default(column: Column[Any]) -> str:
    if column.identity is not None:
        return "identity"
    if column.computed is not None:
        return f"`{column.computed.sqltext}`, computed"
    argument = getattr(column.server_default, "arg", None)
    if argument is None:
        return ""
    words = argument if isinstance(argument, str) else str(argument.compile(dialect=_DIALECT))
    return f"`{words}`"


def _list_uniques(table: Table) -> Iterator[str]:
    found = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    for columns in sorted(", ".join(c.name for c in u.columns) for u in found):
        yield f"unique ({columns})"


def _list_checks(table: Table) -> Iterator[str]:
    found = [c for c in table.constraints if isinstance(c, CheckConstraint)]
    for check in sorted(found, key=lambda c: str(c.name)):
        yield f"`{check.name}`: `{' '.join(str(check.sqltext).split())}`"


def _list_indexes(table: Table) -> Iterator[str]:
    for index in sorted(table.indexes, key=lambda i: str(i.name)):
        statement = " ".join(str(CreateIndex(index).compile(dialect=_DIALECT)).split())
        what = statement.partition(f" ON {table.name} ")[2]
        yield f"{'unique ' if index.unique else ''}index `{index.name}` {what}"


def _list_enums() -> Iterator[str]:
    types = {
        str(column.type.name): column.type
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Enum)
    }
    for name, type_ in sorted(types.items()):
        yield f"| `{name}` | {', '.join(type_.enums)} |"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
