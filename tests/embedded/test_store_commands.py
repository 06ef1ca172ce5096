"""`optiinfra up`, `down` and `verify` through the front door, on a machine that had no store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.repository import ROOT
from tests.ingestion.sinks import make_batch

from optiinfra.embedded.owner.starting import stop_left_postgres, stop_owner
from optiinfra.embedded.owner_state import find_owner_pid
from optiinfra.settings import Settings
from optiinfra.stores import open_metric_store, open_metric_writer, start_stores, stop_stores

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def home(open_dir: Path) -> Iterator[Path]:
    data_dir = open_dir / "optiinfra"
    yield data_dir
    stop_owner(data_dir)
    stop_left_postgres(data_dir)


def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPTIINFRA_")}
    return subprocess.run(
        [sys.executable, "-c", "from optiinfra.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=kept | {"XDG_DATA_HOME": str(home.parent), "COLUMNS": "200"} | variables,
    )


def test_up_verify_up_down(home: Path) -> None:
    up = run(home, "up")
    assert up.returncode == 0, up.stderr
    pid = find_owner_pid(home)
    assert f"run as process {pid}" in up.stdout

    verify = run(home, "verify", "--json")
    assert verify.returncode == 0, verify.stdout + verify.stderr
    found: list[dict[str, Any]] = json.loads(verify.stdout)
    assert [each["name"] for each in found][:2] == ["PostgreSQL", "ClickHouse"]
    for each in found:
        assert each["is_healthy"], each
        assert each["latency_s"] > 0
        assert each["version"]
        assert "@" not in each["where"], "a password may be in it"

    again = run(home, "up")
    assert again.returncode == 2
    assert f"Process {pid} runs" in again.stderr

    table = run(home, "verify")
    assert table.stdout.count("HEALTHY") == len(found)
    assert "NOT HEALTHY" not in table.stdout

    down = run(home, "down")
    assert down.returncode == 0
    assert f"Process {pid} has stopped" in down.stdout
    assert find_owner_pid(home) is None
    assert "Nobody ran" in run(home, "down").stdout


def test_a_writer_waits_for_stores_that_are_started_later(home: Path) -> None:
    home.mkdir()
    settings = Settings(data_dir=home)
    with open_metric_writer(settings, name="test") as writer:
        writer.append(make_batch(0, 10))
        assert not writer.flush(timeout_s=0.5)
        assert "optiinfra up" in str(writer.get_state().last_error)
        start_stores(settings)
        assert writer.flush(timeout_s=120), writer.get_state()
        assert writer.get_state().num_refused_rows == 0
    with open_metric_store(settings) as store:
        found = store.client.query("SELECT count(), sum(value) FROM metric_samples_ts").result_rows
        assert found == [(10, 45.0)]
    assert stop_stores(settings) is not None


def test_verify_says_what_is_missing(home: Path) -> None:
    done = run(home, "verify", "--json")
    assert done.returncode == 1
    states = {each["name"]: each for each in json.loads(done.stdout)}
    assert states["PostgreSQL"]["is_healthy"]
    assert "optiinfra up" in states["ClickHouse"]["reason"]
    assert states["ClickHouse"]["version"] is None


def test_servers_that_are_named_and_away(home: Path) -> None:
    away = {
        "OPTIINFRA_DATABASE_URL": "postgresql://u:hidden-word@127.0.0.1:1/x",
        "OPTIINFRA_CLICKHOUSE_URL": "http://u:hidden-word@127.0.0.1:1/x",
        "OPTIINFRA_REDIS_URL": "redis://u:hidden-word@127.0.0.1:1/0",
    }
    done = run(home, "verify", "--json", **away)
    assert done.returncode == 1
    assert "hidden-word" not in done.stdout + done.stderr
    states = {each["name"]: each for each in json.loads(done.stdout)}
    for each in states.values():
        assert not each["is_healthy"], each
        if each["name"] in {"ClickHouse", "Valkey"}:
            assert "127.0.0.1:1" in each["where"]
    assert not (home / "owner").exists(), "nothing of one machine was started"
