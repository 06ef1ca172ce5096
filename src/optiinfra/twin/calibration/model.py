"""A calibration: fitted constants, intervals, and where all of it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.calibration.evaluation import evaluate
from optiinfra.twin.calibration.fit import fit_constants
from optiinfra.twin.calibration.held_out import cross_fit
from optiinfra.twin.performance.closed_loop import LOOP_BOUNDS, LoopConstants
from optiinfra.twin.performance.effects import Effects
from optiinfra.twin.step_time import BOUNDS, StepConstants

if TYPE_CHECKING:
    from optiinfra.twin.performance.intervals import LogInterval
    from optiinfra.twin.performance.points import PointTable
    from optiinfra.twin.performance.spread import Spread

ANCHOR_COUNTS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class CalibrationSource:
    """The data behind a calibration: `data_sha256` is of the whole file, `date` is given."""

    name: str
    data_sha256: str
    date: str
    num_rows: int
    num_points: int
    removed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants within their bounds, effects, intervals by figure and number of anchors, scores.

    `spread` widens or narrows the interval of SPREAD_KEY by the deployment's engine and GPU.

    `score` are the held-out figures of `evaluation.evaluate`, by number of anchors and name; None
    where there were too few groups.
    """

    source: CalibrationSource
    step: StepConstants
    loop: LoopConstants
    effects: Effects
    intervals: Mapping[tuple[str, int], LogInterval]
    spread: Spread
    score: Mapping[int, Mapping[str, float | None]]

    def __post_init__(self) -> None:
        values = {**asdict(self.step), **asdict(self.loop)}
        for name, (low, high) in {**BOUNDS, **LOOP_BOUNDS}.items():
            if not low * 0.999 <= values[name] <= high * 1.001:
                message = f"{name} is {values[name]}, outside its physical bounds {low} to {high}"
                raise ValueError(message)


def calibrate(table: PointTable, source: CalibrationSource) -> Calibration:
    """Constants fitted to all points, intervals and scores from groups held out in turn."""
    everything = np.ones(table.concurrency.size, np.bool_)
    cross = cross_fit(table, everything, ANCHOR_COUNTS)
    fit = cross.complete(fit_constants(table, everything))
    evaluations = evaluate(table, ANCHOR_COUNTS)
    score = {count: evaluation.summary for count, evaluation in evaluations.items()}
    return Calibration(
        source, fit.step, fit.loop, fit.effects, cross.intervals, cross.spread, score
    )
