"""What `optiinfra twin` does: read measurements, judge or fit the performance model, write."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.adapters.calibration.file import (
    parse_calibration,
    read_calibration,
    write_calibration,
)
from optiinfra.adapters.calibration.measured_run import read_measured_run
from optiinfra.adapters.calibration.silicon_points import read_silicon_points
from optiinfra.domain.errors import InputError
from optiinfra.twin.calibration.evaluation import Evaluation, evaluate
from optiinfra.twin.calibration.model import Calibration, CalibrationSource, calibrate
from optiinfra.twin.calibration.replay import (
    ReplayScore,
    calibrate_replay,
    replay,
    score_replay,
)
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.performance.points import build_table
from optiinfra.twin.replicas import DoesNotFitError
from optiinfra.twin.step_time import build_step_time_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    from optiinfra.adapters.calibration.silicon_points import SiliconPoints

PRIOR = "prior.json"


@dataclass(frozen=True)
class PointsResult:
    """Errors on points; `removed` says how many rows were not used, by reason."""

    file: str
    num_rows: int
    removed: Mapping[str, int]
    evaluation: Evaluation


@dataclass(frozen=True)
class RunResult:
    """Errors on a run; `scales` are of the step's parts where requests calibrated, else empty."""

    name: str
    constants: str
    num_calibration_requests: int
    scales: Mapping[str, float]
    score: ReplayScore


def read_prior() -> Calibration:
    """The calibration that the package ships."""
    text = files("optiinfra.adapters.calibration").joinpath(PRIOR).read_text(encoding="utf-8")
    return parse_calibration(text, PRIOR)


def evaluate_points(path: Path, *, num_anchors: int) -> PointsResult:
    """Leave-one-group-out errors of a file's points. Raises InputError."""
    points = _read_points(path)
    evaluation = evaluate(build_table(points.curves), (num_anchors,))[num_anchors]
    return PointsResult(path.name, points.num_rows, points.removed, evaluation)


def calibrate_to_file(points_file: Path, out: Path, *, when: date) -> Calibration:
    """Constants fitted to a file's points, written to `out`. Raises InputError."""
    points = _read_points(points_file)
    table = build_table(points.curves)
    source = CalibrationSource(
        name=points_file.name,
        data_sha256=hashlib.sha256(points_file.read_bytes()).hexdigest(),
        date=when.isoformat(),
        num_rows=points.num_rows,
        num_points=int(table.concurrency.size),
        removed=points.removed,
    )
    made = calibrate(table, source)
    write_calibration(made, out)
    return made


def evaluate_run(
    folder: Path, *, num_calibration_requests: int = 0, calibration_file: Path | None = None
) -> RunResult:
    """Errors on the requests of a run that did not calibrate. Raises InputError."""
    prior = read_prior() if calibration_file is None else read_calibration(calibration_file)
    run = read_measured_run(folder)
    requests = run.requests
    if num_calibration_requests >= requests.trace.num_requests:
        raise InputError(
            f"The run has {requests.trace.num_requests} requests, all of which would calibrate.",
            remedy="Let fewer calibrate, so that some are predicted.",
            file=str(folder),
        )
    plan = compute_memory_plan(run.architecture, run.gpu, run.arguments)
    model = build_step_time_model(run.architecture, run.gpu, run.arguments, prior.step)
    scales: dict[str, float] = {}
    try:
        if num_calibration_requests:
            model, scales = calibrate_replay(
                requests, model, plan, run.arguments, num_requests=num_calibration_requests
            )
        predicted = replay(requests, model, plan, run.arguments)
    except DoesNotFitError as error:
        raise InputError(
            f"The run cannot be replayed: {error}.",
            remedy="Check the run's GPU, model and engine arguments.",
            file=str(folder),
        ) from error
    is_scored = np.arange(requests.trace.num_requests) >= num_calibration_requests
    return RunResult(
        name=run.name,
        constants="built-in prior" if calibration_file is None else calibration_file.name,
        num_calibration_requests=num_calibration_requests,
        scales=scales,
        score=score_replay(requests, predicted, is_scored),
    )


def _read_points(path: Path) -> SiliconPoints:
    points = read_silicon_points(path)
    if not points.curves:
        reasons = "; ".join(f"{count} rows: {why}" for why, count in points.removed.items())
        raise InputError(
            f"No row of {points.num_rows} can be used ({reasons}).",
            remedy="Give points of at least three concurrencies of a deployment.",
            file=str(path),
        )
    return points
