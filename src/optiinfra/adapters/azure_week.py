"""The points of the plotted Azure week, from their file.

Columns: `minute_of_week` (start of the point), and for each service `NAME_rpm` (middle),
`NAME_rpm_min` and `NAME_rpm_max` (lowest and highest minute within the point), all per minute.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from optiinfra.adapters.csv_table import CsvTable, read_csv_table
from optiinfra.domain.errors import InputError
from optiinfra.twin.workload.azure_week import NUM_DAYS_MEASURED, SECONDS_A_DAY, PlottedRate

_MAX_BYTES = 2**20
_MAX_PER_MINUTE = 1e9
_MINUTES_A_WEEK = 10_080
_TIME = "minute_of_week"


def read_azure_week(path: Path, *, services: Collection[str] = ()) -> dict[str, PlottedRate]:
    """The plotted rate of each service in the file, or of the named ones, in order of the file.

    Raises:
        InputError: names the line and the column of what cannot be used.
    """
    table = read_csv_table(path, what="plotted week", max_bytes=_MAX_BYTES)
    found = [name.removesuffix("_rpm") for name in table.names if name.endswith("_rpm")]
    wanted = [name for name in found if not services or name in services]
    unknown = [name for name in services if name not in found]
    if unknown or not wanted:
        raise InputError(
            f"The file has no service {unknown[0]!r}." if unknown else "The file has no service.",
            remedy=f"It has: {', '.join(found) or 'no column that ends in _rpm'}.",
            file=str(path),
        )
    for name in (_TIME, *(f"{service}_rpm_{end}" for service in wanted for end in ("min", "max"))):
        if name not in table.names:
            raise InputError(
                f"Column {name!r} is missing.",
                remedy="Give the file of points as it is.",
                file=str(path),
                field=name,
            )
    minutes = table.get_numbers(_TIME, low=0, high=_MINUTES_A_WEEK)
    spacing = _check_times(table, minutes)
    at_s = (minutes + spacing / 2) * 60.0
    return {service: _read_service(table, service, at_s) for service in wanted}


def _check_times(table: CsvTable, minutes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Minutes between points; raises where they do not go on evenly through the measured days."""
    gaps = np.diff(minutes)
    spacing = float(np.median(gaps)) if gaps.size else 0.0
    for row, gap in enumerate(gaps, 1):
        if gap <= 0:
            raise table.make_error(row, _TIME, "the time does not go on.", "Sort the points.")
        if gap > 2 * spacing:
            raise table.make_error(
                row, _TIME, f"{gap:g} minutes after the point before.", "Fill the gap."
            )
    wanted = NUM_DAYS_MEASURED * SECONDS_A_DAY / 60.0
    if minutes[0] > spacing or not wanted - 2 * spacing <= minutes[-1] < wanted:
        raise table.make_error(
            table.num_rows - 1,
            _TIME,
            f"the points cover minute {minutes[0]:g} to {minutes[-1]:g}.",
            f"They have to cover the first {NUM_DAYS_MEASURED} days.",
        )
    return spacing


def _read_service(
    table: CsvTable, service: str, at_s: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> PlottedRate:
    middle, lowest, highest = (
        table.get_numbers(f"{service}_rpm{end}", low=0, high=_MAX_PER_MINUTE)
        for end in ("", "_min", "_max")
    )
    is_wrong = (lowest > middle) | (middle > highest)
    if np.any(is_wrong):
        row = int(is_wrong.argmax())
        raise table.make_error(
            row,
            f"{service}_rpm",
            f"{middle[row]:g} is not between {lowest[row]:g} and {highest[row]:g}.",
            "The lowest comes before the highest.",
        )
    return PlottedRate(at_s, lowest / 60.0, highest / 60.0)
