"""A small CSV file as columns, with errors that name the line and the column."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Cells as text: `cells[row][column]`; `lines[row]` is the row's line in the file, from 1."""

    file: str
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """How many rows there are below the header."""
        return len(self.cells)

    def get_texts(self, name: str) -> list[str]:
        """A column as it stands."""
        column = self.names.index(name)
        return [row[column] for row in self.cells]

    def get_numbers(
        self, name: str, *, low: float = -math.inf, high: float = math.inf
    ) -> NDArray[np.float64]:
        """A column of finite numbers within `low` to `high`, float64[num_rows].

        Raises InputError for the first that is not, NaN included.
        """
        texts = self.get_texts(name)
        numbers = np.empty(len(texts))
        for row, text in enumerate(texts):
            try:
                number = float(text.replace("_", "?"))  # Python alone takes 1_000
            except ValueError:
                number = math.nan
            if not (math.isfinite(number) and low <= number <= high):
                raise self.make_error(
                    row, name, f"{text[:80]!r} is not {_describe_range(low, high)}."
                )
            numbers[row] = number
        return numbers

    def make_error(
        self, row: int, name: str, problem: str, remedy: str = "Correct it."
    ) -> InputError:
        """An error in one cell."""
        return InputError(problem, remedy=remedy, file=self.file, line=self.lines[row], field=name)


def read_csv_table(path: Path, *, what: str, max_bytes: int) -> CsvTable:
    """The columns of a UTF-8 CSV file whose first line names them; blank lines are passed over.

    Raises InputError where the file cannot be read, is too large, or a row has another length.
    """
    text = read_text_file(path, what=what, max_bytes=max_bytes)
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append(tuple(cell.strip() for cell in row))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"The line is not CSV ({error}).",
            remedy="Close every quotation mark.",
            file=str(path),
            line=reader.line_num,
        ) from error
    if len(rows) < 2:  # noqa: PLR2004 - a header and a row
        raise InputError(
            f"The {what} has no rows.", remedy="Give a header and data.", file=str(path)
        )
    names = rows[0]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"Column {name[:80]!r} is there twice.",
                remedy="Keep one of them.",
                file=str(path),
                line=lines[0],
                field=name[:80],
            )
    for row_cells, line in zip(rows[1:], lines[1:], strict=True):
        if len(row_cells) != len(names):
            raise InputError(
                f"{len(row_cells)} values where the header names {len(names)}.",
                remedy="Write a value for every column.",
                file=str(path),
                line=line,
            )
    return CsvTable(str(path), names, tuple(rows[1:]), tuple(lines[1:]))


def _describe_range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f"a number from {low:g} to {high:g}"
    if low == 0:
        return "a number that is 0 or more"
    return "a number"
