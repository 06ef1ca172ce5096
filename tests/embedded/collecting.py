"""A collecting process of a test, and what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.architecture.repository import ROOT

CUSTOMER = "00000000-0000-0000-0000-000000000007"
END_S = 300


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """`optiinfra collect` of a data directory."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPTIINFRA_")}
    code = "from optiinfra.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "collect", "--customer", CUSTOMER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=kept | {"OPTIINFRA_DATA_DIR": str(home)},
    )


@dataclass
class Receiving:
    """A process that receives; `said` is its summary once it has ended."""

    url: str
    token: str
    said: dict[str, Any]


@contextmanager
def receiving(home: Path) -> Iterator[Receiving]:
    """A process without targets, ended by SIGTERM."""
    with start(home, "--json") as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert line["event"] == "receiving_started"
        begun = json.loads(process.stderr.readline())
        assert begun["event"] == "collection_started"  # from here on it ends in order
        token = (home / "ingestion" / "token").read_text()
        assert token not in str(line)
        found = Receiving(line["url"], token, {})
        try:
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=END_S)
    assert process.returncode == 0, stderr
    found.said = json.loads(stdout)
