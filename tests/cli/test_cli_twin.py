"""`optiinfra twin` through the front door."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.factories.point_files import write_made_points, write_run

from optiinfra.adapters.calibration.file import read_calibration
from optiinfra.cli import main as cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["optiinfra", "twin", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    code = exit_info.value.code
    assert isinstance(code, int)
    return code


def test_points_are_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = str(write_made_points(tmp_path / "points.csv"))
    assert run(monkeypatch, "evaluate", "--points", points, "--anchors", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["anchors"] == 2
    assert len(document["groups"]) == 6
    assert document["summary"]["tpot_mape_dense"] < 0.1
    assert document["groups"][0]["tpot"]["model_free_mape"] > 0
    assert document["off"] == []
    assert run(monkeypatch, "evaluate", "--points", points) == 0
    assert "tpot_coverage_mean" in capsys.readouterr().out


def test_a_calibration_is_written_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = str(write_made_points(tmp_path / "points.csv"))
    out = tmp_path / "calibration.json"
    arguments = ("calibrate", "--points", points, "--out", str(out), "--date", "2026-11-30")
    assert run(monkeypatch, *arguments) == 0
    made = read_calibration(out)
    assert made.source.date == "2026-11-30"
    assert made.source.num_points == 60
    assert set(made.score) == {0, 1, 2}
    folder = str(write_run(tmp_path / "run"))
    capsys.readouterr()
    assert run(monkeypatch, "evaluate", "--run", folder, "--calibration", str(out), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["constants"] == "calibration.json"
    assert document["num_requests"] == 30
    arguments = ("evaluate", "--run", folder, "--anchors", "1", "--calibration-requests", "10")
    assert run(monkeypatch, *arguments) == 0
    assert "first 10 requests" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("evaluate",), "one thing to evaluate"),
        (("evaluate", "--points", "a.csv", "--run", "b"), "one thing to evaluate"),
        (("evaluate", "--points", "a.csv", "--calibration", "c.json"), "without them"),
        (("evaluate", "--points", "missing.csv"), "cannot be read"),
        (("evaluate", "--points", "a.csv", "--anchors", "3"), "anchors"),
        (("calibrate", "--points", "a.csv", "--out", "o.json", "--date", "soon"), "not a date"),
    ],
)
def test_what_cannot_be_done_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert problem in " ".join(capsys.readouterr().err.split())
