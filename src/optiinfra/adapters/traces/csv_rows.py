"""Rows of a CSV file: Arrow parses blocks; where it refuses one, a careful pass says why."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from optiinfra.adapters.traces.blocks import Block, TextFile
from optiinfra.adapters.traces.formats import Column, Kind, Layout, Prelude, check_names
from optiinfra.adapters.traces.rows import Rows
from optiinfra.domain.errors import InputError

_COUNT = re.compile(r"-?\d{1,18}")
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


def iter_csv_rows(file: TextFile, prelude: Prelude, layout: Layout) -> Iterator[Rows]:
    """The rows, some megabytes at a time."""
    check_names(str(file.path), prelude.first_line - 1, prelude.header, layout)
    by_name = {column.name: column for column in layout.columns}
    columns = [by_name[name] for name in prelude.header]
    num_rows, types = 0, None
    blocks = file.iter_blocks(num_bytes_skipped=prelude.num_bytes, first_line=prelude.first_line)
    for block in blocks:
        first = next(block.iter_lines(), None)
        if first is None:
            continue
        if types is None:
            types = {column.name: _arrow_type(column, first[1]) for column in columns}
        rows = _parse(str(file.path), block, types, columns, num_rows)
        num_rows += rows.num_rows
        yield rows


def _arrow_type(column: Column, first_row: bytes) -> Any:
    match column.kind:
        case Kind.COUNT:
            return pa.int64()
        case Kind.SECONDS | Kind.MILLISECONDS:
            return pa.float64()
        case Kind.INSTANT:
            has_zone = _ZONE.search(first_row.decode(errors="replace").split(",")[0].strip('" '))
            return pa.timestamp("ns", "UTC" if has_zone else None)
        case Kind.IDS | Kind.TEXT:
            return pa.string()


def _parse(
    file: str, block: Block, types: dict[str, Any], columns: list[Column], first_row: int
) -> Rows:
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block.data),
            read_options=pa_csv.ReadOptions(
                column_names=list(types), block_size=len(block.data) + 1, use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(newlines_in_values=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise _explain(file, block, columns, types, str(error)) from error
    parsed = {}
    for column in columns:
        array = table.column(column.name).combine_chunks()
        if column.kind is Kind.INSTANT:
            array = array.cast(pa.int64())
        elif column.kind is Kind.IDS:
            array = split_ids(array)
        parsed[column.name] = array
    return Rows(file, first_row, table.num_rows, parsed, block)


def split_ids(texts: Any) -> Any:
    """Ids separated by spaces, as a list array; an empty cell is an empty list."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_empty = pc.equal(trimmed, "")
    return pc.utf8_split_whitespace(pc.if_else(is_empty, None, trimmed))


def _explain(
    file: str, block: Block, columns: list[Column], types: dict[str, Any], reason: str
) -> InputError:
    """The first line of the block that is wrong, and in which field."""
    names = ",".join(column.name for column in columns)
    for number, raw in block.iter_lines():
        line = raw.decode()
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            return InputError(
                f"the line is not CSV ({error}).",
                remedy="Close every quotation mark.",
                file=file,
                line=number,
            )
        if len(cells) != len(columns):
            remedy = "Comments stand above the header only." if line.startswith("#") else ""
            return InputError(
                f"{len(cells)} values where the header names {len(columns)}.",
                remedy=remedy or f"Write {names} in every line.",
                file=file,
                line=number,
            )
        for column, cell in zip(columns, cells, strict=True):
            if (problem := _explain_cell(column, cell, types[column.name])) is not None:
                return InputError(
                    f"{problem}: {cell[:80]!r}.",
                    remedy=f"Write {column.kind}.",
                    file=file,
                    line=number,
                    field=column.name,
                )
    return InputError(
        f"the lines from {block.first_line} on cannot be read ({reason[:200]}).",
        remedy=f"Write {names} in every line.",
        file=file,
    )


def _explain_cell(column: Column, cell: str, arrow_type: Any) -> str | None:
    match column.kind:
        case Kind.TEXT | Kind.IDS:
            return None
        case _ if not cell.strip():
            return "the value is missing"
        case Kind.INSTANT:
            return _explain_instant(cell, has_zone=arrow_type.tz is not None)
        case Kind.COUNT:
            return _explain_count(cell.strip())
        case _:
            return None if _to_float(cell) is not None else "not a number"


def _to_float(cell: str) -> float | None:
    try:
        return float(cell.replace("_", "?"))  # Python alone takes 1_000
    except ValueError:
        return None


def _explain_count(cell: str) -> str | None:
    if _COUNT.fullmatch(cell):
        return None
    value = _to_float(cell)
    if value is None:
        return "not a number"
    if not math.isfinite(value) or not value.is_integer() or "." in cell:
        return "not a whole number"
    return "not a plain whole number of at most 18 digits"


def _explain_instant(cell: str, *, has_zone: bool) -> str | None:
    # 7 and more decimals are real here, and more than datetime takes
    shortened = re.sub(r"(\.\d{6})\d{1,3}", r"\1", cell)
    try:
        instant = datetime.fromisoformat(shortened)
    except ValueError:
        return "not a date and time such as 2023-11-16 18:15:46.6805900"
    if (instant.tzinfo is not None) is not has_zone:
        return "a time zone here but not in the first line, or the other way round"
    return None
