from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from optiinfra.cli import main as cli
from optiinfra.domain.errors import (
    DatabaseError,
    DisagreementError,
    InputError,
    OptiInfraError,
    SLOInfeasibleError,
)

Answer = Callable[..., list[Any]]
HEAVY = ("numpy", "numba", "plotly", "jinja2", "sqlalchemy", "pydantic", "pyarrow", "httpx")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["optiinfra", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    code = exit_info.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (
            InputError("Bad row.", remedy="Mend it.", file="t.csv", line=3, field="arrival_s"),
            2,
        ),
        (SLOInfeasibleError("No candidate keeps the SLO.", remedy="Relax it."), 3),
        (DatabaseError("The database is down.", remedy="Start it."), 2),
        (DisagreementError("They disagree.", remedy="Measure again."), 4),
        (OptiInfraError("Failed.", remedy="Try again."), 1),
    ],
)
def test_errors_are_one_paragraph(
    answer: Answer,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    error: OptiInfraError,
    exit_code: int,
) -> None:
    answer(error=error)
    assert run(monkeypatch, "analyze", *files) == exit_code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"error: {error}\n"


def test_an_error_of_many_lines_is_joined(
    answer: Answer,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(error=InputError("one\n  two\x1b[31m", remedy="three"))
    assert run(monkeypatch, "analyze", *files) == 2
    assert capsys.readouterr().err == "error: one two [31m three\n"


def test_unexpected_errors_are_short(
    answer: Answer,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(error=ZeroDivisionError("division by zero"))
    assert run(monkeypatch, "analyze", *files) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--debug" in error
    assert "Traceback" not in error


def test_debug_prints_the_traceback(
    answer: Answer,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(error=ZeroDivisionError("division by zero"))
    assert run(monkeypatch, "analyze", *files, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_exits_130(
    bootstrap: Any, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "run_analysis", interrupt, raising=False)
    assert run(monkeypatch, "analyze", *files) == 130


def test_unknown_flag_exits_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "analyze", "--nonsense") == 2


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("optiinfra ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from optiinfra.cli.main import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout.strip() == b"[]"
