from __future__ import annotations

import errno
import os
import signal
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyze", "--nonsense"], "No such option: --nonsense"),
        (["analyze"], "Missing option '--fleet'"),
        (["analyze", "--fleet", "f", "--trace", "t", "--seed", "-1"], "'--seed'"),
        (["analyse"], "No such command 'analyse'. Did you mean 'analyze'?"),
        (["generate-trace", "--out", "t.csv", "--rate", "inf"], "'--rate'"),
        (["generate-trace", "--out", "t.csv", "--requests", "1000000000"], "'--requests'"),
        (["recommendations", "approve", "01234567"], "Missing option '--by'"),
    ],
)
def test_wrong_usage_is_one_paragraph(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert run(monkeypatch, *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: {said}" if said[0].isupper() else "error: ")
    assert said in output.err
    assert "--help` lists what can be given." in output.err
    assert output.err.count("\n") == 1


def test_nothing_asked_prints_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 2
    assert capsys.readouterr().err.startswith("Usage: optiinfra")


@pytest.mark.parametrize("is_closed_late", [False, True])
def test_a_reader_that_has_seen_enough(*, is_closed_late: bool) -> None:
    late = "import typer; cli.app = lambda **_: print('x' * 9)" if is_closed_late else ""
    code = (
        "import sys; import optiinfra.cli.main as cli; sys.argv = ['optiinfra', '--help']; "
        f"{late}\ncli.main()"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (141, b"")


def test_a_full_disk_is_no_bug(
    answer: Answer,
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert run(monkeypatch, "analyze", *files) == 2
    said = "error: Something cannot be written: No space left on device."
    assert capsys.readouterr().err.startswith(said)


def test_a_termination_leaves_in_order(
    bootstrap: Any, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(bootstrap, "run_analysis", terminate, raising=False)
    try:
        assert run(monkeypatch, "analyze", *files) == 143
    finally:
        signal.signal(signal.SIGTERM, before)


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
