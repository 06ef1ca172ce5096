"""How the package is entered: the command, and an import that does no work."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

SLOW_TO_IMPORT = ("alembic", "numba", "plotly", "pyarrow", "sqlalchemy")


def list_slow_imports(module: str) -> list[str]:
    """Slow libraries that a fresh interpreter holds after importing `module`."""
    code = (
        f"import json, sys, {module}; "
        f"print(json.dumps([name for name in {SLOW_TO_IMPORT!r} if name in sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("module", ["optiinfra", "optiinfra.cli.main"])
def test_an_import_does_no_work(module: str) -> None:
    assert list_slow_imports(module) == []


def test_the_command_exists() -> None:
    (script,) = entry_points(group="console_scripts", name="optiinfra")
    assert callable(script.load())
