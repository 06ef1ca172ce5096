"""The import contracts hold, and each of them can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.repository import ROOT

BREAKS = {
    "domain/prices.py": ("import optiinfra.twin", "imports only from those below"),
    "adapters/__init__.py": ("import optiinfra.database", "imports only from those below"),
    "unplaced/__init__.py": ('"""A folder nobody placed."""', "imports only from those below"),
    "kit/__init__.py": ("import optiinfra", "front door"),
    "agents/cost/policy.py": ("import optiinfra.adapters", "Planning is pure"),
    "domain/fleet.py": ("import pydantic", "plain values"),
    "orchestrator/__init__.py": ("import sqlalchemy", "Home of sqlalchemy"),
    "report/__init__.py": ("import rich", "Home of typer"),
    "domain/trace.py": ("import numba", "Home of numba"),
    "cli/__init__.py": ("import plotly", "Home of plotly"),
    "twin/__init__.py": ("import pyarrow", "Home of httpx"),
    "orchestrator/analysis.py": ("import clickhouse_connect", "Home of the clients of stores"),
    "adapters/csv_table.py": ("import uvicorn", "Home of the engines of stores"),
    "adapters/workload_file.py": ("import qdrant_edge", "Home of the engines of stores"),
    "adapters/text_file.py": ("import chdb", "Home of the engines of stores"),
    "database/__init__.py": ("import pydantic_settings", "Home of pydantic-settings"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Import contracts of the checkout at `root`, checked in a process of their own."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package that a test may break."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return tmp_path


def test_every_contract_is_kept() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("module", "line", "contract"), [(m, *b) for m, b in BREAKS.items()])
def test_a_contract_breaks(checkout: Path, module: str, line: str, contract: str) -> None:
    path = checkout / "src" / "optiinfra" / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")
    result = lint(checkout)
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(contract in row for row in broken), result.stdout
