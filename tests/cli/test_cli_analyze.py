from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import STORED_ID
from tests.factories.analysis import make_analysis, make_deployment, make_disagreeing_deployment
from typer.testing import CliRunner

from optiinfra.cli.main import app
from optiinfra.domain.errors import InputError
from optiinfra.report.document import from_json

Answer = Callable[..., list[Any]]
runner = CliRunner()


def test_prints_the_answer(answer: Answer, files: list[str]) -> None:
    requests = answer()
    result = runner.invoke(app, ["analyze", *files])
    assert result.exit_code == 0
    assert "You can serve this traffic for $7.47 instead of $9.96" in result.stdout
    assert f"optiinfra recommendations approve {STORED_ID} --by you@example.com" in result.stdout
    assert "uncalibrated" in result.stdout
    assert "assumed: gpu_memory_utilization 0.9" in result.stdout
    assert "optiinfra-report.html" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""
    assert requests[0].report == Path("optiinfra-report.html")
    assert requests[0].is_stored
    assert requests[0].seed == 0


def test_every_option_reaches_the_request(answer: Answer) -> None:
    requests = answer()
    arguments = (
        "analyze --fleet f.yaml --prometheus http://127.0.0.1:9090 --start a --end b "
        "--measured m.json --seed 7 --report r.html --price-book p.yaml --workers 2 --no-store"
    )
    result = runner.invoke(app, arguments.split())
    assert result.exit_code == 0
    request = requests[0]
    assert (request.fleet, request.trace) == (Path("f.yaml"), None)
    assert (request.prometheus, request.start, request.end) == ("http://127.0.0.1:9090", "a", "b")
    assert (request.measured, request.seed, request.num_workers) == ("m.json", 7, 2)
    assert (request.report, request.price_book) == (Path("r.html"), Path("p.yaml"))
    assert not request.is_stored
    assert "Not stored, so it cannot be approved." in result.stdout


def test_json_is_all_there_is(answer: Answer, files: list[str]) -> None:
    requests = answer()
    result = runner.invoke(app, ["analyze", *files, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema"] == "optiinfra.analysis.v1"
    assert from_json(result.stdout) == make_analysis()
    assert result.stderr == ""
    assert requests[0].report is None


def test_json_writes_a_report_when_asked(answer: Answer, files: list[str]) -> None:
    requests = answer()
    runner.invoke(app, ["analyze", *files, "--json", "--report", "r.html"])
    assert requests[0].report == Path("r.html")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_disagreement_exits_4_with_the_difference(
    answer: Answer, files: list[str], flags: list[str]
) -> None:
    answer(make_analysis(make_disagreeing_deployment()))
    result = runner.invoke(app, ["analyze", *files, *flags])
    assert result.exit_code == 4
    assert "other flags than the fleet file says" in result.stdout


def test_nothing_to_change_is_a_success(answer: Answer, files: list[str]) -> None:
    answer(make_analysis(make_deployment(has_recommendation=False)))
    result = runner.invoke(app, ["analyze", *files])
    assert result.exit_code == 0
    assert "Nothing to change" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ("", "--trace"),
        ("--trace t.csv --prometheus http://127.0.0.1", "--trace"),
        ("--prometheus http://127.0.0.1 --end b", "--start"),
        ("--prometheus http://127.0.0.1 --start a", "--end"),
        ("--prometheus http://127.0.0.1 --start a --end b --format azure", "--format"),
        ("--trace t.csv --start -1h", "--start"),
        ("--trace t.csv --measured m.json --end now", "--end"),
    ],
)
def test_the_traffic_comes_from_one_place(arguments: str, flag: str) -> None:
    result = runner.invoke(app, ["analyze", "--fleet", "f.yaml", *arguments.split()])
    assert isinstance(result.exception, InputError)
    assert result.exception.field == flag


def test_a_range_for_the_measurement_alone(answer: Answer, files: list[str]) -> None:
    requests = answer()
    arguments = ["--measured", "http://127.0.0.1:9090", "--start", "-2h"]
    assert runner.invoke(app, ["analyze", *files, *arguments]).exit_code == 0
    assert (requests[0].start, requests[0].end) == ("-2h", None)
