"""Parsed rows, whatever file they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.traces.blocks import Block
from optiinfra.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file, column by column, as Arrow arrays of one length without nulls.

    `block` is the text they came from; without it (Parquet) rows are named by number.
    """

    file: str
    first_row: int
    num_rows: int
    columns: dict[str, Any]
    block: Block | None = None

    def get_numbers(self, name: str) -> NDArray[Any]:
        """A column as numpy array: int64 for counts and instants (ns), float64 for seconds."""
        array = self.columns[name]
        return np.asarray(array.to_numpy(zero_copy_only=False))

    def make_error(self, row: int, problem: str, *, remedy: str, field: str) -> InputError:
        """An error that names the line, or where there are no lines the row, counted from 1."""
        if self.block is None:
            problem = f"row {self.first_row + row + 1}: {problem}"
        line = None if self.block is None else self.block.find_line(row)
        return InputError(problem, remedy=remedy, file=self.file, line=line, field=field)


def find_first(mask: NDArray[np.bool_]) -> int | None:
    """Index of the first true entry."""
    if mask.size == 0:
        return None
    index = int(mask.argmax())
    return index if mask[index] else None
