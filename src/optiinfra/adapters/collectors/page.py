"""A page of metrics as it was read: families, series and columns of values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.errors import InputError

NO_TIMESTAMP = np.iinfo(np.int64).min  # the page gave none
BAD_TIMESTAMP = np.iinfo(np.int64).max  # not a number, infinite or outside the years 1678 to 2262
MAX_TIMESTAMP_S = 9.2e9

Labels = tuple[tuple[str, str], ...]


class PageProblem(StrEnum):
    """Why a page was refused."""

    ENCODING = "encoding"  # not UTF-8
    SYNTAX = "syntax"  # a line that its format does not allow
    MEANING = "meaning"  # lines that contradict each other, as OpenMetrics forbids
    TOO_MANY_SERIES = "too_many_series"  # more series than a target may have


class PageError(InputError):
    """A page that cannot be read; nothing of it is used. Lines count from 1."""

    def __init__(self, problem: str, *, reason: PageProblem, line: int | None = None) -> None:
        super().__init__(problem, remedy="Nothing of the page was used.", line=line)
        self.reason = reason


class PageForm(StrEnum):
    """The two text formats."""

    TEXT = "text"  # Prometheus text 0.0.4
    OPENMETRICS = "openmetrics"  # OpenMetrics 1.0


class Family(NamedTuple):
    """What a page says about a name: `kind` is its TYPE, `unknown` where there is none."""

    name: str
    kind: str
    documentation: str
    unit: str


class SeriesName(NamedTuple):
    """The name of a sample and its labels, sorted by name."""

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """All of a page but its values; two pages of the same lines share one object.

    `series_index` and `family_index` are int32, one a sample; `is_repeat` marks samples of a
    series that the page had named before.
    """

    families: tuple[Family, ...]
    family_index: NDArray[np.int32]
    series_index: NDArray[np.int32]
    is_repeat: NDArray[np.bool_]

    def is_same(self, other: Layout) -> bool:
        """Whether families and series follow each other in the same order."""
        return (
            np.array_equal(self.series_index, other.series_index)
            and np.array_equal(self.family_index, other.family_index)
            and self.families == other.families
        )


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The samples of a page in its order.

    `value` is float64 as written, NaN and infinity included. `timestamp_ns` is None where no
    sample has one, and NO_TIMESTAMP or BAD_TIMESTAMP for single samples.
    """

    layout: Layout
    value: NDArray[np.float64]
    timestamp_ns: NDArray[np.int64] | None


def make_layout(families: list[Family], family: list[int], series: list[int]) -> Layout:
    """The layout of samples given as lists of equal length."""
    series_index = np.array(series, np.int32)
    is_repeat = np.ones(series_index.size, np.bool_)
    is_repeat[np.unique(series_index, return_index=True)[1]] = False
    return Layout(tuple(families), np.array(family, np.int32), series_index, is_repeat)
