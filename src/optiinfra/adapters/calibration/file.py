"""A calibration as a file, JSON: written whole, read with every number checked."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError
from optiinfra.twin.calibration.model import ANCHOR_COUNTS, Calibration, CalibrationSource
from optiinfra.twin.performance.closed_loop import LoopConstants
from optiinfra.twin.performance.effects import LEVELS, Effects
from optiinfra.twin.performance.intervals import LogInterval
from optiinfra.twin.performance.spread import Spread
from optiinfra.twin.step_time import StepConstants

FORMAT = "optiinfra-calibration"
VERSION = 2
_MAX_BYTES = 4 * 2**20
_WHAT = "calibration"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


class _SourceSection(_Section):
    name: str = Field(max_length=1_000)
    data_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    num_rows: int = Field(ge=0)
    num_points: int = Field(ge=0)
    removed: dict[str, int]


class _IntervalSection(_Section):
    figure: str
    num_anchors: int = Field(ge=0, le=2)
    low: FiniteFloat
    high: FiniteFloat


class _SpreadSection(_Section):
    engine: dict[str, FiniteFloat]
    units: dict[str, FiniteFloat]


class _File(_Section):
    format: str
    version: int
    source: _SourceSection
    step: dict[str, FiniteFloat]
    loop: dict[str, FiniteFloat]
    effects: dict[str, dict[str, FiniteFloat]]
    intervals: tuple[_IntervalSection, ...] = Field(max_length=100)
    spread: _SpreadSection
    score: dict[str, dict[str, FiniteFloat | None]]


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration; equal ones give equal bytes. The old file stays until the new is whole.

    Raises InputError where the file cannot be written.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "source": {**asdict(calibration.source), "removed": dict(calibration.source.removed)},
        "step": asdict(calibration.step),
        "loop": asdict(calibration.loop),
        "effects": {level: dict(getattr(calibration.effects, level)) for level in LEVELS},
        "intervals": [
            {"figure": figure, "num_anchors": num_anchors, "low": v.low, "high": v.high}
            for (figure, num_anchors), v in sorted(calibration.intervals.items())
        ],
        "spread": {
            "engine": dict(calibration.spread.engine),
            "units": dict(calibration.spread.units),
        },
        "score": {str(n): dict(calibration.score[n]) for n in sorted(calibration.score)},
    }
    text = json.dumps(_round(document), indent=1, sort_keys=True, allow_nan=False) + "\n"
    _write_whole(path, text)


def read_calibration(path: Path) -> Calibration:
    """The calibration of a file; InputError with the field that cannot be used.

    NaN, another version, a constant outside its physical bounds and unknown names are refused.
    """
    return parse_calibration(read_text_file(path, what=_WHAT, max_bytes=_MAX_BYTES), str(path))


def parse_calibration(text: str, file: str) -> Calibration:
    """The calibration of a file's text; InputError as `read_calibration`."""
    document = _parse(text, file)
    version = document.get("version")
    if document.get("format") != FORMAT or isinstance(version, bool) or version != VERSION:
        raise InputError(
            f"It is {str(document.get('format'))[:80]!r} of version {str(version)[:80]}, not "
            f"{FORMAT} of version {VERSION}.",
            remedy="Make it again with `optiinfra twin calibrate`.",
            file=file,
            field="version",
        )
    try:
        checked = _File.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"{first['msg']}.",
            remedy="Make it again with `optiinfra twin calibrate`.",
            file=file,
            field=".".join(str(part) for part in first["loc"]),
        ) from error
    try:
        return _build(checked)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The calibration cannot be used: {error}.",
            remedy="Make it again with `optiinfra twin calibrate`.",
            file=file,
        ) from error


def _parse(text: str, file: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        message = f"{constant} is not a number of JSON"
        raise ValueError(message)

    try:
        document = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"This is not JSON: {error}.",
            remedy="Make it again with `optiinfra twin calibrate`.",
            file=file,
            line=getattr(error, "lineno", None),
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            "The calibration is not a JSON object.",
            remedy="Make it again with `optiinfra twin calibrate`.",
            file=file,
        )
    return document


def _build(checked: _File) -> Calibration:
    unknown = set(checked.effects) - set(LEVELS)
    if unknown:
        message = f"effects of {', '.join(sorted(unknown))} are not known"
        raise ValueError(message)
    return Calibration(
        source=CalibrationSource(**checked.source.model_dump()),
        step=StepConstants(**checked.step),
        loop=LoopConstants(**checked.loop),
        effects=Effects(**checked.effects),
        intervals={
            (section.figure, section.num_anchors): LogInterval(section.low, section.high)
            for section in checked.intervals
        },
        spread=Spread(**checked.spread.model_dump()),
        score={n: checked.score.get(str(n), {}) for n in ANCHOR_COUNTS},
    )


def _round(value: Any) -> Any:
    """Floats with 9 significant digits: the last bits differ between processors."""
    if isinstance(value, float):
        return value if value == 0 or not math.isfinite(value) else float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return value


def _write_whole(path: Path, text: str) -> None:
    """Write beside the target and put it in the target's place in one step."""
    beside = path.with_name(f".{path.name}.part")
    try:
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"The {_WHAT} cannot be written: {error.strerror or error}.",
            remedy="Check the path and its permissions.",
            file=str(path),
        ) from error
