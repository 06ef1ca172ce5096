"""Fixtures of the tests of embedded engines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fixtures_database import FAST, make_open_dir, open_dir

from optiinfra.embedded.postgres import running

__all__ = ["data_dir", "made_once", "open_dir"]


@pytest.fixture(scope="session")
def made_once() -> Iterator[Path]:
    """A data directory whose server was started and stopped: to be copied, never to be used."""
    with make_open_dir() as directory:
        with running(directory / "data", settings=FAST):
            pass
        yield directory / "data"


@pytest.fixture
def data_dir(made_once: Path, open_dir: Path) -> Path:
    """A data directory of the test's own, past its first start."""
    subprocess.run(["cp", "-a", made_once, open_dir / "data"], check=True)
    return open_dir / "data"
