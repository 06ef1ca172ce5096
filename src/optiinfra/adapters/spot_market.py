"""A measured spot market from a CSV file.

Columns: `time_utc` (start of the tick, ISO 8601; UTC where no zone is given), then for each zone
`ZONE_available` (0 or 1) and `ZONE_usd_per_h` (price of one instance). Rows are one tick apart.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optiinfra.adapters.csv_table import CsvTable, read_csv_table
from optiinfra.domain.errors import InputError
from optiinfra.twin.spot.market import SpotMarket, SpotMeasure

MAX_BYTES = 64 * 2**20
MAX_PRICE_USD_PER_H = 1e6
_TIME = "time_utc"
_AVAILABLE = "_available"
_PRICE = "_usd_per_h"


def read_spot_market(
    path: Path,
    *,
    zones: Collection[str] = (),
    measure: SpotMeasure = SpotMeasure.LAUNCHABILITY,
) -> SpotMarket:
    """The market in a file, all its zones or the named ones, in order of the file.

    `measure` says what the ones and zeros were measured on: by default whether an instance could
    be had, as the file has no word for it.

    Raises:
        InputError: names the line and the column of what cannot be used: a gap, an overlap, a
            value that is no number, a price that is not positive, a zone that is not there.
    """
    table = read_csv_table(path, what="spot market", max_bytes=MAX_BYTES)
    wanted = _find_zones(table, zones)
    started_at, tick_s = _read_times(table)
    available = [_read_availability(table, zone) for zone in wanted]
    prices = [table.get_numbers(zone + _PRICE, low=0, high=MAX_PRICE_USD_PER_H) for zone in wanted]
    for zone, price in zip(wanted, prices, strict=True):
        if np.any(price == 0):
            row = int((price == 0).argmax())
            raise table.make_error(row, zone + _PRICE, "an instance for nothing.", "Give a price.")
    return SpotMarket(
        zones=wanted,
        tick_s=tick_s,
        is_available=np.stack(available, axis=1),
        price_usd_per_h=np.stack(prices, axis=1),
        measure=measure,
        source=path.name,
        started_at=started_at,
    )


def _find_zones(table: CsvTable, zones: Collection[str]) -> tuple[str, ...]:
    found = [name.removesuffix(_AVAILABLE) for name in table.names if name.endswith(_AVAILABLE)]
    known = {_TIME, *(zone + end for zone in found for end in (_AVAILABLE, _PRICE))}
    for name in table.names:
        if name not in known:
            raise _refuse(table, name, f"Unknown column {name[:80]!r}.")
    for name in sorted(known - set(table.names)):
        raise _refuse(table, name, f"Column {name[:80]!r} is missing.")
    unknown = [zone for zone in zones if zone not in found]
    if unknown or not found:
        raise InputError(
            f"There is no zone {unknown[0]!r}." if unknown else "There is no zone.",
            remedy=f"The file has {', '.join(found) or 'no column ZONE_available'}.",
            file=table.file,
            field=unknown[0] if unknown else None,
        )
    return tuple(zone for zone in found if not zones or zone in zones)


def _refuse(table: CsvTable, name: str, problem: str) -> InputError:
    return InputError(
        problem,
        remedy=f"The columns are {_TIME}, and for each zone ZONE{_AVAILABLE} and ZONE{_PRICE}.",
        file=table.file,
        field=name[:80],
    )


def _read_times(table: CsvTable) -> tuple[datetime, float]:
    """The first instant and the seconds between rows; raises where a row is not one tick on."""
    instants = []
    for row, text in enumerate(table.get_texts(_TIME)):
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            raise table.make_error(
                row, _TIME, f"{text[:80]!r} is not a time.", "Write 2023-02-16T05:34:00."
            ) from error
        instants.append(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    if len(instants) < 2:  # noqa: PLR2004 - one row says nothing of the tick
        raise table.make_error(0, _TIME, "one row is no market.", "Give at least two ticks.")
    at_s = np.array([(instant - instants[0]).total_seconds() for instant in instants])
    gaps = np.diff(at_s)
    lengths, counts = np.unique(np.abs(gaps), return_counts=True)
    tick_s = float(lengths[counts.argmax()])  # the usual one, the shorter of equals
    for row in (np.flatnonzero(gaps != tick_s) + 1)[:1].tolist():
        gap = float(gaps[row - 1])
        if gap <= 0:
            problem = f"{-gap:g} s before the row above: two stretches overlap."
            remedy = "Keep one row a tick, in order."
        elif gap < tick_s:
            problem = f"{gap:g} s after the row above, within a tick of {tick_s:g} s."
            remedy = "Keep one row a tick."
        else:
            problem = f"{gap:g} s after the row above: a gap, as a tick is {tick_s:g} s."
            remedy = "Cut the file at the gap; what was not measured is not filled in."
        raise table.make_error(row, _TIME, problem, remedy)
    return instants[0].astimezone(UTC), tick_s


def _read_availability(table: CsvTable, zone: str) -> NDArray[np.bool_]:
    numbers = table.get_numbers(zone + _AVAILABLE, low=0, high=1)
    is_between = (numbers != 0) & (numbers != 1)
    if np.any(is_between):
        row = int(is_between.argmax())
        raise table.make_error(
            row, zone + _AVAILABLE, f"{numbers[row]:g} is neither 0 nor 1.", "Write 0 or 1."
        )
    return np.asarray(numbers == 1)
