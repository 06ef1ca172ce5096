"""Rows of a Parquet file in our own form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from optiinfra.adapters.traces.blocks import MAX_FILE_BYTES, TextFile
from optiinfra.adapters.traces.csv_rows import split_ids
from optiinfra.adapters.traces.formats import Column, Kind, Layout, check_names
from optiinfra.adapters.traces.rows import Rows
from optiinfra.domain.errors import InputError

_BATCH_ROWS = 2**18
_REMEDY = "Write it again, for example with pyarrow.parquet.write_table."


def read_parquet_metadata(file: TextFile) -> dict[str, str]:
    """The file's own key-value metadata; keys and values as in the comments of the CSV form."""
    with _opened(file) as parquet:
        pairs = parquet.metadata.metadata or {}
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in pairs.items()
        if key != b"ARROW:schema"
    }


def iter_parquet_rows(file: TextFile, layout: Layout, *, max_values: int) -> Iterator[Rows]:
    """The rows, batch by batch; what the footer declares is checked before anything is unpacked."""
    with _opened(file) as parquet:
        schema = parquet.schema_arrow
        check_names(str(file.path), None, schema.names, layout)
        columns = [column for column in layout.columns if column.name in schema.names]
        for column in columns:
            _check_type(file.path, column, schema.field(column.name).type)
        _check_size(file.path, parquet.metadata, max_values)
        num_rows = 0
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            arrays = {
                column.name: _convert(batch.column(column.name), column) for column in columns
            }
            rows = Rows(str(file.path), num_rows, batch.num_rows, arrays)
            for column in columns:
                _check_nulls(rows, column)
            num_rows += batch.num_rows
            yield rows


@contextmanager
def _opened(file: TextFile) -> Iterator[Any]:
    if file.is_gzip:
        raise InputError(
            "this is Parquet inside gzip.",
            remedy="Unpack it: Parquet is packed inside already.",
            file=str(file.path),
        )
    try:
        with pq.ParquetFile(file.path) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"the Parquet file is damaged ({str(error)[:200]}).",
            remedy=_REMEDY,
            file=str(file.path),
        ) from error


def _check_type(path: Path, column: Column, found: Any) -> None:
    value = found.value_type if pa.types.is_dictionary(found) else found
    is_text = pa.types.is_string(value) or pa.types.is_large_string(value)
    is_integer = pa.types.is_integer(value)
    match column.kind:
        case Kind.COUNT:
            is_fine = is_integer
        case Kind.TEXT:
            is_fine = is_text
        case Kind.IDS:
            is_list = pa.types.is_list(value) or pa.types.is_large_list(value)
            item = value.value_type if is_list else value
            is_item_text = pa.types.is_string(item) or pa.types.is_large_string(item)
            is_fine = is_item_text or (is_list and pa.types.is_integer(item))
        case _:
            is_fine = is_integer or pa.types.is_floating(value)
    if not is_fine:
        raise InputError(
            f"the column has type {found}.",
            remedy=f"It holds {column.kind}: cast it.",
            file=str(path),
            field=column.name,
        )


def _check_size(path: Path, metadata: Any, max_values: int) -> None:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    num_values = sum(g.column(i).num_values for g in groups for i in range(g.num_columns))
    if num_values > max_values or sum(g.total_byte_size for g in groups) > MAX_FILE_BYTES:
        raise InputError(
            f"the file declares {num_values} values.",
            remedy=f"At most {max_values} are read: cut it to the hours that matter.",
            file=str(path),
        )


def _convert(array: Any, column: Column) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    match column.kind:
        case Kind.COUNT:
            return array.cast(pa.int64())
        case Kind.SECONDS:
            return array.cast(pa.float64())
        case Kind.IDS if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            return split_ids(array.cast(pa.string()))
        case _:
            return array


def _check_nulls(rows: Rows, column: Column) -> None:
    array = rows.columns[column.name]
    if array.null_count and column.kind is not Kind.IDS:
        row = array.is_null().to_pylist().index(True)
        raise rows.make_error(
            row, "the value is missing.", remedy=f"Write {column.kind}.", field=column.name
        )
