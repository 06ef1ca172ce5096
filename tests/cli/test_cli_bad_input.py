"""Bad input through the real front door: nothing is faked, and nothing may be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from optiinfra.cli.main import app
from optiinfra.domain.errors import InputError, SLOInfeasibleError

FLEET = """\
customer: {name: Example, email: platform@example.com}
slo: {ttft_s: 1.0, tpot_s: 0.03, attainment_ratio: 0.95}
limits: {gpus: [H100-SXM], max_replicas: 3}
deployments:
  - name: chat
    model: meta-llama/Llama-3.1-8B-Instruct
    engine: vllm
    gpu: H100-SXM
    replicas: 2
"""
TRACE = "arrival_s,prompt_tokens,output_tokens\n0,100,20\n1,100,20\n"
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet and a trace that are good, in a home of their own."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "trace.csv").write_text(TRACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTIINFRA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("OPTIINFRA_DATABASE_URL", raising=False)
    return tmp_path


def refuse(folder: Path, *arguments: str) -> InputError:
    """What `analyze` says; nothing new lies in the folder afterwards."""
    before = sorted(folder.rglob("*"))
    files = ["--fleet", "fleet.yaml", "--trace", "trace.csv"]
    result = runner.invoke(app, ["analyze", *files, "--no-store", *arguments])
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""
    assert sorted(folder.rglob("*")) == before
    return result.exception


def test_an_unknown_format(folder: Path) -> None:
    error = refuse(folder, "--format", "excel")
    assert error.field == "--format"
    assert "azure, mooncake, vllm, csv, parquet" in error.remedy


@pytest.mark.parametrize("report", [".", "", "missing/report.html"])
def test_a_report_that_cannot_be_written_is_said_at_once(folder: Path, report: str) -> None:
    assert refuse(folder, "--report", report).field == "--report"


def test_ten_gigabytes_of_zeros(folder: Path) -> None:
    with (folder / "zeros.csv").open("wb") as stream:
        stream.truncate(10 * 2**30)
    assert refuse(folder, "--trace", "zeros.csv").line == 1
    assert "larger than" in refuse(folder, "--fleet", "zeros.csv").problem


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "kind"),
    [
        ("gpu: H100-SXM\n", "gpu: T4\n", 5, "deployments[0]", InputError),
        ("tpot_s: 0.03", "tpot_s: 0.00001", 2, "slo", SLOInfeasibleError),
        ("replicas: 2", "replicas: 2\n    slo: {ttft_s: 1.0e-6}", 10, "deployments[0].slo",
         SLOInfeasibleError),
    ],
)  # fmt: skip
def test_what_simulation_finds_has_its_line_too(
    folder: Path, *, old: str, new: str, line: int, field: str, kind: type[InputError]
) -> None:
    text = FLEET.replace(old, new).replace("gpu: T4\n", "gpu: T4\n    price: unknown\n")
    assert text != FLEET
    (folder / "fleet.yaml").write_text(text)
    error = refuse(folder)
    assert type(error) is kind
    assert (error.file, error.line, error.field) == ("fleet.yaml", line, field)
