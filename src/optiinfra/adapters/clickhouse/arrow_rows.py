"""Rows of the metric store as an Arrow table: every column of the schema, in order."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pyarrow as pa

from optiinfra.domain.metric_tables import SCHEMAS, ColumnKind, MetricRows, MetricTable

_TEXT = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    ColumnKind.TEXT: _TEXT,
    ColumnKind.FLAG: pa.bool_(),
    ColumnKind.INDEX: pa.int16(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.COUNT: pa.uint64(),
}
_UUID = pa.binary(16)
_DEFAULTS = {ColumnKind.FLAG: 0.0, ColumnKind.INDEX: -1.0}


def get_arrow_schema(table: MetricTable) -> pa.Schema:
    """Names and types of the columns as they are sent."""
    fields = [pa.field("timestamp", pa.timestamp("ms", "UTC")), pa.field("customer_id", _TEXT)]
    columns = SCHEMAS[table].columns.items()
    return pa.schema([*fields, *(pa.field(name, _TYPES[kind]) for name, kind in columns)])


def make_arrow_table(rows: MetricRows) -> pa.Table:
    """One record batch; NaN becomes null."""
    size = len(rows)
    nothing = (("",), np.zeros(size, dtype=np.int32))
    customers = [str(customer_id) for customer_id in rows.customer_ids]
    arrays = [
        pa.array(rows.timestamp, pa.timestamp("ms", "UTC")),
        _make_texts(customers, rows.customers),
    ]
    for name, kind in SCHEMAS[rows.table].columns.items():
        if kind is ColumnKind.TEXT:
            values, places = rows.texts.get(name, nothing)
            arrays.append(_make_texts(values, places))
        elif name in rows.numbers:
            numbers = np.ascontiguousarray(rows.numbers[name])
            plain = pa.array(numbers, mask=np.isnan(numbers))
            arrays.append(plain if kind is ColumnKind.NUMBER else plain.cast(_TYPES[kind]))
        elif kind in _DEFAULTS:
            arrays.append(pa.array(np.full(size, _DEFAULTS[kind])).cast(_TYPES[kind]))
        else:
            arrays.append(pa.nulls(size, _TYPES[kind]))
    return pa.Table.from_arrays(arrays, schema=get_arrow_schema(rows.table))


def pack_rows(rows: pa.Table) -> pa.Table:
    """The same rows as one batch, in the form that ClickHouse reads in the least time.

    Customers become the 16 bytes of their UUIDs, and a column without nulls says that it has none.
    """
    block = rows.unify_dictionaries().combine_chunks()
    place = block.schema.get_field_index("customer_id")
    customers = block.column(place).combine_chunks()
    different = pa.array([UUID(text).bytes for text in customers.dictionary.to_pylist()], _UUID)
    block = block.set_column(place, "customer_id", different.take(customers.indices))
    fields = [
        field.with_nullable(column.null_count > 0)
        for field, column in zip(block.schema, block.columns, strict=True)
    ]
    return pa.Table.from_arrays(block.columns, schema=pa.schema(fields))


def _make_texts(values: object, places: object) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(places, pa.int32()), pa.array(values, pa.string())
    )
