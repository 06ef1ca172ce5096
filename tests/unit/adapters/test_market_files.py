"""Files of a spot market and of the plotted week: what is read, and what is refused where."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from optiinfra.adapters.azure_week import read_azure_week
from optiinfra.adapters.spot_market import read_spot_market
from optiinfra.domain.errors import InputError
from optiinfra.twin.spot import SpotMeasure

HEADER = "time_utc,a_available,b_available,a_usd_per_h,b_usd_per_h"
ROWS = (
    "2026-01-01T00:00:00,1,0,1.5,2.5",
    "2026-01-01T00:05:00,1,1,1.5,2.25",
    "2026-01-01T00:10:00,0,1,1.25,2.25",
)


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "market.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_market_is_read(tmp_path: Path) -> None:
    market = read_spot_market(write(tmp_path, HEADER, *ROWS))
    assert (market.zones, market.tick_s, market.num_ticks) == (("a", "b"), 300.0, 3)
    assert market.is_available.tolist() == [[True, False], [True, True], [False, True]]
    assert market.price_usd_per_h[:, 1].tolist() == [2.5, 2.25, 2.25]
    assert market.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert market.measure is SpotMeasure.LAUNCHABILITY
    assert (market.source, market.is_synthetic) == ("market.csv", False)


def test_some_zones_are_read(tmp_path: Path) -> None:
    market = read_spot_market(write(tmp_path, HEADER, *ROWS), zones=["b"])
    assert market.zones == ("b",)


@pytest.mark.parametrize(
    ("rows", "line", "field", "problem"),
    [
        ((ROWS[0], ROWS[1], "2026-01-01T00:20:00,1,1,1,1"), 4, "time_utc", "a gap"),
        ((*ROWS, ROWS[1]), 5, "time_utc", "overlap"),
        ((*ROWS, ROWS[2]), 5, "time_utc", "overlap"),
        ((*ROWS, "2026-01-01T00:11:00,1,1,1,1"), 5, "time_utc", "within a tick"),
        ((ROWS[0], "2026-01-01T00:05:00,1,1,-1.5,1"), 3, "a_usd_per_h", "not a number from 0"),
        ((ROWS[0], "2026-01-01T00:05:00,1,1,1,0"), 3, "b_usd_per_h", "for nothing"),
        ((ROWS[0], "2026-01-01T00:05:00,1,1,nan,1"), 3, "a_usd_per_h", "'nan'"),
        ((ROWS[0], "2026-01-01T00:05:00,NaN,1,1,1"), 3, "a_available", "'NaN'"),
        ((ROWS[0], "2026-01-01T00:05:00,1,0.5,1,1"), 3, "b_available", "neither 0 nor 1"),
        ((ROWS[0], "2026-01-01T00:05:00,1,,1,1"), 3, "b_available", "''"),
        ((ROWS[0], "2026-01-01T00:05:00,1,1,1"), 3, None, "4 values"),
        ((ROWS[0], "tomorrow,1,1,1,1"), 3, "time_utc", "not a time"),
        ((ROWS[0],), 2, "time_utc", "one row"),
        ((), None, None, "no rows"),
        ((ROWS[0], '"2026'), 3, None, "not CSV"),
    ],
)
def test_bad_rows_name_their_place(
    tmp_path: Path, rows: tuple[str, ...], line: int | None, field: str | None, problem: str
) -> None:
    path = write(tmp_path, HEADER, *rows)
    with pytest.raises(InputError, match=problem) as caught:
        read_spot_market(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), line, field)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("time_utc,a_available,a_available,a_usd_per_h,b_usd_per_h", "there twice"),
        ("time_utc,a_available,b_available,a_usd_per_h,c_usd_per_h", "Unknown column"),
        ("time_utc,a_available,b_usd_per_h,a_usd_per_h,x", "Unknown column"),
        ("start,a_available,b_available,a_usd_per_h,b_usd_per_h", "Unknown column 'start'"),
    ],
)
def test_bad_headers(tmp_path: Path, header: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_spot_market(write(tmp_path, header, *ROWS))


def test_unknown_zones_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no zone 'c'.*a, b"):
        read_spot_market(write(tmp_path, HEADER, *ROWS), zones=["a", "c"])
    with pytest.raises(InputError, match="cannot be read"):
        read_spot_market(tmp_path / "nothing.csv")


def make_week_lines() -> list[str]:
    """A point each two hours for four days."""
    return [
        "minute_of_week,x_rpm,x_rpm_min,x_rpm_max",
        *(f"{120 * k},{60 + k},{30 + k},{90 + k}" for k in range(48)),
    ]


def test_a_plotted_week_is_read(tmp_path: Path) -> None:
    plots = read_azure_week(write(tmp_path, *make_week_lines()))
    assert list(plots) == ["x"]
    assert plots["x"].at_s[:2].tolist() == [3600.0, 3 * 3600.0]
    assert plots["x"].middle_per_s[0] == 1.0
    assert np.all(plots["x"].highest_per_s - plots["x"].lowest_per_s == pytest.approx(1.0))


@pytest.mark.parametrize(
    ("number", "cells", "problem"),
    [
        (5, "480,64,94,34", "not between"),
        (5, "480,nan,34,94", "'nan'"),
        (5, "480,64,-1,94", "'-1'"),
        (5, "360,64,34,94", "does not go on"),
        (5, "1000,64,34,94", "after the point before"),
        (48, "8000,64,34,94", "after the point before"),
    ],
)
def test_bad_points(tmp_path: Path, number: int, cells: str, problem: str) -> None:
    lines = make_week_lines()
    lines[number] = cells
    with pytest.raises(InputError, match=problem) as caught:
        read_azure_week(write(tmp_path, *lines))
    assert caught.value.line == number + 1


def test_weeks_that_are_cut_off_or_lack_a_service(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cover"):
        read_azure_week(write(tmp_path, *make_week_lines()[:30]))
    with pytest.raises(InputError, match="no service 'y'"):
        read_azure_week(write(tmp_path, *make_week_lines()), services=["y"])
    with pytest.raises(InputError, match="'x_rpm_max' is missing"):
        read_azure_week(write(tmp_path, "minute_of_week,x_rpm,x_rpm_min", "0,1,1"))
