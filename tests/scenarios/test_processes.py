"""The command as a user starts it, with the embedded PostgreSQL in a data directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.scenarios.files import Files

TIMEOUT_S = 100


def run_command(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OPTIINFRA_")
    }
    command = [sys.executable, "-c", "from optiinfra.cli.main import main; main()", *arguments]
    return subprocess.run(
        command,
        env=environment | {"OPTIINFRA_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.timeout(600)  # five processes, each of which starts PostgreSQL
def test_the_command_from_analysis_to_decision(files: Files, open_dir: Path) -> None:
    analyze = ("analyze", "--fleet", str(files.fleet), "--trace", str(files.trace))
    done = run_command(open_dir, *analyze, "--json", "--report", str(files.report))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (identifier,) = document["recommendation_ids"].values()
    (deployment,) = document["deployments"]
    assert Decimal(deployment["recommendations"][0]["saving_usd_per_h"]) == Decimal("5.00")
    assert files.report.exists()

    decide = (identifier, "--by", "boss@example.com")
    approved = run_command(open_dir, "recommendations", "approve", *decide)
    assert approved.returncode == 0, approved.stderr
    again = run_command(open_dir, "recommendations", "approve", *decide)
    assert again.returncode == 2
    assert again.stderr.startswith("error: ")
    listed = run_command(open_dir, "recommendations", "list")
    assert listed.returncode == 0
    assert identifier[:8] in listed.stdout
    assert "approved" in listed.stdout


def test_exit_codes_of_what_goes_wrong(files: Files, open_dir: Path) -> None:
    """2 for bad input, 3 for no candidate, 4 for a disagreement; nothing is written."""
    analyze = (
        *("analyze", "--fleet", str(files.fleet), "--trace", str(files.trace)),
        *("--report", str(files.report), "--no-store"),
    )
    files.write_disagreeing_measurement()
    disagreeing = run_command(open_dir, *analyze, "--measured", str(files.measured))
    assert disagreeing.returncode == 4, disagreeing.stderr
    files.write_fleet(tpot_s=0.001)
    infeasible = run_command(open_dir, *analyze)
    assert infeasible.returncode == 3, infeasible.stderr
    assert infeasible.stderr.startswith("error: ")
    assert infeasible.stderr.count("\n") == 1
    files.fleet.write_text("customer: {}\n")
    unusable = run_command(open_dir, *analyze)
    assert unusable.returncode == 2, unusable.stderr
    assert "fleet.yaml" in unusable.stderr
    assert not files.report.exists()
    assert list(open_dir.iterdir()) == []
