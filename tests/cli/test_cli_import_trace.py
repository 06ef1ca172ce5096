"""`optiinfra import-trace`: requests of a file become rows, once; without a metric store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.ingestion.sinks import NOW_MS
from typer.testing import CliRunner

from optiinfra.adapters.ingestion.frames import read_frames
from optiinfra.cli.main import app
from optiinfra.domain.errors import InputError

CUSTOMER = "00000000-0000-0000-0000-000000000007"
START_S = NOW_MS // 1000 - 86_400


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIINFRA_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("OPTIINFRA_CLICKHOUSE_URL", raising=False)
    monkeypatch.setattr("optiinfra.stores.AWAY_S", 0.0)
    monkeypatch.setattr("optiinfra.imports.REQUESTS_OF_PAGE", 2)
    return tmp_path / "home"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,1\n0.5,20,2\n2,30,3\n")
    return path


def run(path: Path, *arguments: str) -> dict[str, Any]:
    options = ["import-trace", str(path), "--customer", CUSTOMER, "--json", *arguments]
    result = CliRunner().invoke(app, options)
    if result.exception is not None:
        raise result.exception
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def list_kept(home: Path) -> list[dict[str, Any]]:
    found = []
    for path in (home / "ingestion" / "import-trace").rglob("*"):
        if path.suffix not in {".open", ".sealed"}:
            continue
        with path.open("rb") as file:
            for frame in list(read_frames(file)):
                with pa.ipc.open_stream(pa.py_buffer(frame.payload)) as reader:
                    found += reader.read_all().to_pylist()
    return sorted(found, key=lambda row: row["timestamp"])


def test_each_request_is_a_row_once(trace: Path, home: Path) -> None:
    arguments = ["--deployment", "chat", "--model", "m", "--start", str(START_S)]
    said = run(trace, *arguments)
    assert (said["num_requests"], said["num_new_requests"]) == ({"chat": 3}, 3)
    assert run(trace, *arguments)["num_new_requests"] == 0
    rows = list_kept(home)
    begun: datetime = rows[0]["timestamp"]
    assert begun.timestamp() == START_S
    assert [row["timestamp"] - begun for row in rows] == [
        timedelta(seconds=each) for each in (0, 0.5, 2)
    ]
    columns = ("service_id", "model_name", "prompt_tokens", "completion_tokens", "total_tokens")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("chat", "m", 10, 1, 11),
        ("chat", "m", 20, 2, 22),
        ("chat", "m", 30, 3, 33),
    ]
    assert {row["latency_ms"] for row in rows} == {None}
    assert len({row["request_id"] for row in rows}) == 3
    assert {row["customer_id"] for row in rows} == {CUSTOMER}


def test_as_text(trace: Path) -> None:
    arguments = ["import-trace", str(trace), "--customer", CUSTOMER, "--deployment", "chat"]
    result = CliRunner().invoke(app, [*arguments, "--start", str(START_S)])
    assert "Requests: 3 of chat; 3 new." in result.stdout
    assert "Waiting on disk: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--start", "-1d"], "does not name its deployment"),
        (["--deployment", "chat"], "does not say when"),
        (["--deployment", "chat", "--start", "-1d", "--format", "x"], "not a format"),
        (["--deployment", "chat", "--start", "-500d"], "outside"),
    ],
)
def test_what_is_not_said(trace: Path, home: Path, arguments: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        run(trace, *arguments)
    assert list_kept(home) == []


def test_a_synthetic_trace_is_no_measurement(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    made = ["generate-trace", "--seed", "7", "--requests", "20", "--rate", "5", "--out", str(path)]
    assert CliRunner().invoke(app, made).exception is None
    with pytest.raises(InputError, match="synthetic"):
        run(path, "--deployment", "chat", "--start", "-1d")
