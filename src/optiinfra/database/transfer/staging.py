"""The rows of a file in temporary tables of the same form: read by PostgreSQL, and nobody's yet.

What a column or a CHECK refuses is refused here, by the line it stands in, without a lock on any
table that others use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Table

from optiinfra.database.ownership import list_columns
from optiinfra.database.transfer.file import Header, Line, read_lines
from optiinfra.database.transfer.report import SCHEMA
from optiinfra.domain.errors import InputError

LINE: Final = "line_of_file"
_PREFIX: Final = "staged_"
# What a value can be refused for: data, constraints, and limits such as the depth of JSON.
_REFUSALS: Final = ("22", "23", "54")
_PLACE: Final = re.compile(r"COPY \w+\D+(\d+)(?:\D*? (\w+):)?")


def get_staged(table: Table | str) -> sql.Identifier:
    """The temporary table for the rows of a table."""
    return sql.Identifier("pg_temp", _PREFIX + (table if isinstance(table, str) else table.name))


def stage(
    connection: psycopg.Connection, tables: Iterable[Table], header: Header, path: Path
) -> None:
    """Fill the temporary tables, which go with the transaction.

    Raises InputError for a line that is no row of its table.
    """
    by_name = {table.name: table for table in tables}
    for table in by_name.values():
        _create(connection, table)
    for name, lines in groupby(read_lines(path, header), key=lambda line: line.table):
        _copy(connection, by_name[name], lines, path)
    for table in by_name.values():
        connection.execute(sql.SQL("ANALYZE {}").format(get_staged(table)))


def _create(connection: psycopg.Connection, table: Table) -> None:
    staged = get_staged(table)
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE {name} (LIKE {table} INCLUDING CONSTRAINTS,"
            " {line} bigint NOT NULL) ON COMMIT DROP"
        ).format(
            name=sql.Identifier(_PREFIX + table.name),
            table=sql.Identifier(SCHEMA, table.name),
            line=sql.Identifier(LINE),
        )
    )
    for column in set(table.columns.keys()) - set(list_columns(table)):
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(staged, sql.Identifier(column))
        )


def _copy(connection: psycopg.Connection, table: Table, lines: Iterator[Line], path: Path) -> None:
    columns = [LINE, *list_columns(table)]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        get_staged(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    first = 0
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for line in lines:
                first = first or line.number
                copy.write_row((line.number, *line.values))
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _REFUSALS:
            raise
        raise _make_error(error, table, first, path) from error


def _make_error(error: psycopg.Error, table: Table, first: int, path: Path) -> InputError:
    """PostgreSQL counts the rows of one COPY; each is a line of the file."""
    place = _PLACE.search(error.diag.context or "")
    column = error.diag.column_name or (place[2] if place else None)
    problem = error.diag.message_primary or "a value was refused"
    for word in (_PREFIX, f"{SCHEMA}."):
        problem = problem.replace(word, "")
    return InputError(
        f"{problem}.",
        remedy="Nothing was written. Export the customer again, or correct what wrote the file.",
        file=str(path),
        line=first + int(place[1]) - 1 if place else None,
        field=f"{table.name}.{column}" if column else None,
    )
