"""`optiinfra collect` without a metric store: what it says, and what it refuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optiinfra.cli.collect import parse_place
from optiinfra.cli.main import app
from optiinfra.domain.errors import OptiInfraError

CUSTOMER = "00000000-0000-0000-0000-000000000007"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger("optiinfra")
    before = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIINFRA_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("OPTIINFRA_CLICKHOUSE_URL", raising=False)
    return tmp_path


def test_a_target_that_may_not_be_read_for_a_time(home: Path) -> None:
    arguments = ["collect", "--customer", CUSTOMER, "--target", "127.0.0.1:1", "--for", "1s"]
    result = CliRunner().invoke(app, [*arguments, "--interval", "0.1", "--no-listen"])
    assert "Targets: 0 healthy, 1 unknown." in result.stdout
    assert "unknown  http://127.0.0.1:1/metrics: address_not_allowed: " in result.stdout
    assert "Waiting on disk: " in result.stdout
    assert "optiinfra up" in result.stdout
    assert list((home / "ingestion" / "collect").rglob("*.sealed"))
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events == ["collection_started", "target_unknown"]


def test_once_as_json(home: Path) -> None:
    arguments = ["collect", "--customer", CUSTOMER, "--target", "127.0.0.1:1", "--once", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--name", "other"])
    said = json.loads(result.stdout)
    [target] = said["targets"]
    assert (target["status"], target["reason"]) == ("unknown", "address_not_allowed")
    assert said["num_kept_samples"] == 1  # that it is not up
    assert said["problems"] == {}
    assert (home / "ingestion" / "other").is_dir()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--once"], "There is nothing to collect"),
        (["--once", "--target", "h:1", "--name", "../x"], "cannot be the name"),
        (["--once", "--target", "h:1", "--for", "soon"], "not a duration"),
        (["--target", "h:1", "--for", "-1s"], "no time to collect"),
        (["--no-listen"], "There is nothing to collect"),
        (["--listen", "here"], "no place to listen at"),
        (["--listen", "127.0.0.1:99999"], "cannot be listened at"),
        (["--target", "h:1", "--allow-network", "h"], "not a network"),
    ],
)
def test_what_cannot_be_asked(home: Path, arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["collect", "--customer", CUSTOMER, *arguments])
    assert isinstance(result.exception, OptiInfraError)
    assert problem in str(result.exception)
    assert not list(home.rglob("*.open"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("4318", ("127.0.0.1", 4318)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),  # noqa: S104 - only read
        ("[::1]:4318", ("::1", 4318)),
    ],
)
def test_places(text: str, place: tuple[str, int]) -> None:
    assert parse_place(text) == place


def test_whose_targets_they_are_has_to_be_said(home: Path) -> None:
    result = CliRunner().invoke(app, ["collect", "--target", "h:1", "--once"])
    assert "Give --customer" in str(result.exception)
    assert not (home / "ingestion").exists()
