"""What a trace may hold, and the checks that hold it to that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from optiinfra.adapters.traces.rows import Rows, find_first

MAX_REQUESTS = 50_000_000
MAX_TOKENS = 10_000_000  # of one prompt or one output
MAX_SPAN_S = 400 * 86_400
MAX_PREFIX_IDS = 100_000_000
MAX_PREFIX_BLOCK_TOKENS = 1_000_000
MAX_DEPLOYMENTS = 256


def check_counts(rows: Rows, counts: list[NDArray[np.int64]], names: tuple[str, str]) -> None:
    """Raise for the first row with a negative or absurd count, whichever column it is in."""
    found = [
        (row, name, int(count[row]))
        for count, name in zip(counts, names, strict=True)
        if (row := find_first((count < 0) | (count > MAX_TOKENS))) is not None
    ]
    if not found:
        return
    row, name, value = min(found)
    if value < 0:
        problem, remedy = f"{value} tokens.", "A token count is 0 or more."
    else:
        problem = f"{value:,} tokens in one request."
        remedy = f"At most {MAX_TOKENS:,} are believed; check the column."
    raise rows.make_error(row, problem, remedy=remedy, field=name)


def check_deployments(rows: Rows, name: str) -> Any:
    """The column as text; every row names a deployment."""
    column = rows.columns[name].cast(pa.string())
    row = find_first(np.asarray(pc.equal(pc.utf8_trim_whitespace(column), ""), np.bool_))
    if row is not None:
        raise rows.make_error(
            row, "the value is missing.", remedy="Name the deployment.", field=name
        )
    return column
