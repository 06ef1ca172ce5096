"""`optiinfra generate-trace`: what the options ask for, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from optiinfra.adapters.traces import read_traces
from optiinfra.adapters.traces.generation import GeneratedTrace, TraceRequest
from optiinfra.cli.durations import parse_duration
from optiinfra.cli.main import app
from optiinfra.domain.errors import InputError
from optiinfra.twin.workload import LoadBurst, RegimeChange, generate_conversation, measure_workload

runner = CliRunner()


@pytest.fixture
def asked(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> list[TraceRequest]:
    """What the command asks of a bootstrap that writes nothing."""
    requests: list[TraceRequest] = []

    def generate_trace(request: TraceRequest) -> GeneratedTrace:
        requests.append(request)
        trace = generate_conversation(seed=1, num_requests=300, rate_per_s=2.0)
        return GeneratedTrace(
            num_requests=100,
            span_s=50.0,
            notes=("synthetic: made, seed 3",),
            statistics=measure_workload(trace) if request.is_measured else None,
        )

    monkeypatch.setattr(bootstrap, "generate_trace", generate_trace, raising=False)
    return requests


def test_what_was_written_is_said(asked: list[TraceRequest], tmp_path: Path) -> None:
    out = tmp_path / "demo.csv"
    arguments = ["generate-trace", "--seed", "3", "--requests", "100", "--rate", "2", "--out"]
    result = runner.invoke(app, [*arguments, str(out)])
    assert result.exit_code == 0
    assert "Wrote 100 synthetic requests over 50 s (2/s, seed 3)" in result.stdout
    assert "synthetic: made, seed 3" in result.stdout
    assert asked == [TraceRequest(seed=3, num_requests=100, rate_per_s=2.0, out=out)]


def test_changes_are_read_from_their_options(asked: list[TraceRequest]) -> None:
    options = (
        "--out t.csv --like l.csv --span 2d --scale-rate 2 --scale-lengths 0.5 --shift -6h "
        "--warp 1h=2h --warp 30m=10m --burst 12h,10m,3 --burst 1d,60,0 --regime 36h,1.5 "
        "--regime 1d,1,2,0.5 --statistics"
    )
    result = runner.invoke(app, ["generate-trace", *options.split()])
    assert result.exit_code == 0, result.output
    changes = asked[0].changes
    assert asked[0].span_s == 2 * 86_400
    assert (changes.rate_factor, changes.length_factor, changes.shift_s) == (2.0, 0.5, -21_600.0)
    assert changes.warp is not None
    assert changes.warp.from_s.tolist() == [0, 1800, 3600]
    assert changes.warp.to_s.tolist() == [0, 600, 7200]
    assert changes.bursts == (LoadBurst(43_200, 600, 3), LoadBurst(86_400, 60, 0))
    assert changes.regimes == (RegimeChange(129_600, 1.5), RegimeChange(86_400, 1, 2, 0.5))
    assert "index of dispersion, 1 s" in result.stdout
    assert "rank correlation of the two" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "There is nothing to do"),
        ("--statistics", "There is nothing to do"),
        ("--like l", "There is nothing to do"),
        ("--out o --like l --fit f", "different sources"),
        ("--out o --keep-requests", "no requests to keep"),
        ("--out o --save-fit f", "Nothing is fitted"),
        ("--out o --span soon", "'soon' is not a duration"),
        ("--out o --burst 1h,2", "has 2 parts"),
        ("--out o --burst 1h,2h,x", "'x' is not a number"),
        ("--out o --burst 1h,0,2", "positive number of seconds"),
        ("--out o --regime 1h,-1", "positive"),
        ("--out o --warp 1h=2h --warp 1h=3h", "rise from 0"),
    ],
)
def test_options_that_cannot_be(asked: list[TraceRequest], options: str, said: str) -> None:
    result = runner.invoke(app, ["generate-trace", *options.split()])
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)
    assert asked == []


def test_durations() -> None:
    texts = {
        "90": 90,
        "90s": 90,
        "1.5m": 90,
        "2h": 7200,
        "1d": 86_400,
        "1w": 604_800,
        "-3h": -10_800,
    }
    assert {text: parse_duration(text, option="--span") for text in texts} == texts
    for text in ("", "h", "1 h 5", "1y", "1e3", "nan", "inf"):
        with pytest.raises(InputError, match="not a duration"):
            parse_duration(text, option="--span")


def test_the_whole_way(tmp_path: Path) -> None:
    first, fit, second = (tmp_path / name for name in ("a.csv", "fit.json", "b.parquet"))
    options = f"--out {first} --requests 2000 --rate 4"
    assert runner.invoke(app, ["generate-trace", *options.split()]).exit_code == 0
    options = f"--like {first} --save-fit {fit} --out {second} --statistics"
    result = runner.invoke(app, ["generate-trace", *options.split()])
    assert result.exit_code == 0, result.output
    assert f"Kept the fit in {fit}" in result.stdout
    assert "trace" in result.stdout
    options = f"--fit {fit} --out {tmp_path / 'c.csv'} --requests 50"
    assert runner.invoke(app, ["generate-trace", *options.split()]).exit_code == 0
    assert read_traces(tmp_path / "c.csv")[None].num_requests == 50
    assert read_traces(second)[None].is_synthetic
