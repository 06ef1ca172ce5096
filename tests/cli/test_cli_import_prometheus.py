"""`optiinfra import-prometheus`: once, in parts, and cut off anywhere; without a metric store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.ingestion.sinks import NOW_MS
from tests.unit.adapters.prometheus_server import FakePrometheus, serve
from typer.testing import CliRunner

from optiinfra.adapters.ingestion.frames import read_frames
from optiinfra.adapters.ingestion.import_ledger import ImportLedger
from optiinfra.cli.main import app

CUSTOMER = "00000000-0000-0000-0000-000000000007"
START_S = NOW_MS // 1000 - 86_400


class Fleet(FakePrometheus):
    """One counter that grows by its instant."""

    def answer(self, path: str, parameters: dict[str, str]) -> Any:
        assert path == "/api/v1/query_range"
        step = float(parameters["step"])
        first, last = float(parameters["start"]), float(parameters["end"])
        stamps = [first + step * n for n in range(round((last - first) / step) + 1)]
        metric = {"__name__": "vllm:generation_tokens_total", "job": "j", "instance": "i"}
        values = [[stamp, str(2 * (stamp - START_S) + 1000)] for stamp in stamps]
        return {"resultType": "matrix", "result": [{"metric": metric, "values": values}]}


@pytest.fixture
def url() -> Iterator[str]:
    with serve(Fleet()) as served:
        yield served


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIINFRA_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("OPTIINFRA_CLICKHOUSE_URL", raising=False)
    monkeypatch.setattr("optiinfra.stores.AWAY_S", 0.0)
    return tmp_path


def run(url: str, first_s: int, last_s: int, *arguments: str) -> dict[str, Any]:
    between = ["--start", str(START_S + first_s), "--end", str(START_S + last_s)]
    options = ["--customer", CUSTOMER, *between, "--json", *arguments]
    result = CliRunner().invoke(app, ["import-prometheus", url, *options])
    if result.exception is not None:
        raise result.exception
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def list_kept(home: Path) -> list[tuple[str, int, float]]:
    """Metric, second and value of every sample that waits on disk."""
    found = []
    for path in (home / "ingestion" / "import-prometheus" / "metric_samples_ts").glob("*"):
        if path.suffix not in {".open", ".sealed"}:
            continue
        with path.open("rb") as file:
            for frame in list(read_frames(file)):
                with pa.ipc.open_stream(pa.py_buffer(frame.payload)) as reader:
                    for row in reader.read_all().to_pylist():
                        at_s = round(row["timestamp"].timestamp()) - START_S
                        found.append((row["metric"], at_s, row["value"]))
    return sorted(found)


def make_expected(first_s: int, last_s: int) -> list[tuple[str, int, float]]:
    steps = [at_s for at_s in range(0, 10_000, 15) if first_s <= at_s <= last_s]
    return sorted(
        [("output_tokens_total", at_s, 2.0 * at_s + 1000) for at_s in steps]
        + [("output_tokens_per_s", at_s, 2.0) for at_s in steps]
        + [("up", at_s, 1.0) for at_s in steps]
    )


def test_parts_that_overlap_count_once(url: str, home: Path) -> None:
    first = run(url, 0, 3_600)
    assert (first["num_steps"], first["num_new_steps"]) == (241, 241)
    assert first["num_samples"] == 3 * 241
    second = run(url, 1_000, 7_200)
    assert second["num_new_steps"] == 240
    again = run(url, 0, 7_200)
    assert (again["num_steps"], again["num_new_steps"], again["num_samples"]) == (481, 0, 0)
    assert list_kept(home) == make_expected(0, 7_200)


@pytest.mark.parametrize("cut_at", ["begin", "append", "end"])
def test_cut_off_anywhere_it_goes_on(
    url: str, home: Path, monkeypatch: pytest.MonkeyPatch, cut_at: str
) -> None:
    """As a kill would, an interrupt cuts it off within the second page."""
    from optiinfra.adapters.ingestion import BufferedWriter

    owner: Any = BufferedWriter if cut_at == "append" else ImportLedger
    inner = getattr(owner, cut_at)
    num_calls = 0

    def cut(*arguments: Any, **options: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls > 1:
            raise KeyboardInterrupt
        return inner(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, cut_at, cut)
        between = ["--start", str(START_S), "--end", str(START_S + 3_600)]
        arguments = ["import-prometheus", url, "--customer", CUSTOMER, *between]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code != 0
    said = run(url, 0, 5_400)  # another end: the page that was begun is finished all the same
    assert said["num_steps"] == 361
    assert list_kept(home) == make_expected(0, 5_400)


def test_as_text(url: str) -> None:
    between = ["--start", str(START_S), "--end", str(START_S + 600)]
    arguments = ["import-prometheus", url, "--customer", CUSTOMER, *between]
    for expected in ("41 of 41 steps.", "0 of 41 steps; 41 were imported before."):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0
        assert expected in result.stdout
    assert "Waiting on disk: " in result.stdout


def test_a_prometheus_that_is_not_there() -> None:
    with pytest.raises(Exception, match="cannot be reached"):
        run("http://127.0.0.1:1", 0, 600)
