"""Rows of a JSON-lines file: Arrow parses blocks; where it refuses one, a careful pass says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from optiinfra.adapters.traces.blocks import Block, TextFile
from optiinfra.adapters.traces.formats import Column, Kind, Layout, check_names
from optiinfra.adapters.traces.rows import Rows
from optiinfra.domain.errors import InputError

_TYPES = {
    Kind.COUNT: pa.int64(),
    Kind.SECONDS: pa.float64(),
    Kind.MILLISECONDS: pa.float64(),
    Kind.IDS: pa.list_(pa.int64()),
    Kind.TEXT: pa.string(),
}
_MAX_ID = 2**63


def iter_json_rows(file: TextFile, layout: Layout) -> Iterator[Rows]:
    """The rows, some megabytes at a time."""
    schema = pa.schema([(column.name, _TYPES[column.kind]) for column in layout.columns])
    num_rows = 0
    for block in file.iter_blocks():
        if not block.data.strip():
            continue
        rows = _parse(str(file.path), block, schema, layout, num_rows)
        num_rows += rows.num_rows
        yield rows


def _parse(file: str, block: Block, schema: Any, layout: Layout, first_row: int) -> Rows:
    try:
        table = pa_json.read_json(
            pa.BufferReader(block.data),
            read_options=pa_json.ReadOptions(block_size=len(block.data) + 1, use_threads=False),
            parse_options=pa_json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="error"
            ),
        )
    except pa.ArrowException as error:
        raise _explain(file, block, layout, str(error)) from error
    is_complete = all(
        not table.column(column.name).null_count for column in layout.columns if column.is_required
    )
    # a line with two objects would shift the line numbers of every later error
    is_one_a_line = table.num_rows == block.data.count(b"\n") or table.num_rows == block.num_lines
    if not (is_complete and is_one_a_line):
        raise _explain(file, block, layout, "not one object a line")
    columns = {
        column.name: table.column(column.name).combine_chunks()
        for column in layout.columns
        if table.column(column.name).null_count < table.num_rows
    }
    return Rows(file, first_row, table.num_rows, columns, block)


def _explain(file: str, block: Block, layout: Layout, reason: str) -> InputError:
    """The first line of the block that is wrong, and in which field."""
    for number, raw in block.iter_lines():
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as error:
            return InputError(
                f"the line is not JSON ({error}).",
                remedy="Write one JSON object a line.",
                file=file,
                line=number,
            )
        if not isinstance(record, dict):
            return InputError(
                "the line is not a JSON object.",
                remedy="Write one JSON object a line.",
                file=file,
                line=number,
            )
        try:
            check_names(file, number, list(record), layout)
        except InputError as error:
            return error
        for column in layout.columns:
            if column.name in record and not _is_of_kind(column, record[column.name]):
                return InputError(
                    f"not {column.kind}: {json.dumps(record[column.name])[:80]}.",
                    remedy=f"Write {column.kind}.",
                    file=file,
                    line=number,
                    field=column.name,
                )
    return InputError(
        f"the lines from {block.first_line} on cannot be read ({reason[:200]}).",
        remedy="Write one JSON object a line, each field once.",
        file=file,
    )


def _is_of_kind(column: Column, value: object) -> bool:
    if value is None:
        return not column.is_required
    match column.kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.IDS:
            return isinstance(value, list) and all(_is_int(item) for item in value)
        case Kind.COUNT:
            return _is_int(value)
        case _:
            return _is_int(value) or isinstance(value, float)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID
