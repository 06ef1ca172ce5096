"""kill -9 at any instant between acknowledgement and store: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.architecture.repository import ROOT
from tests.ingestion.appending import SIZE

NUM_KILLS = 3
MAX_BATCHES = 120  # before a kill
pytestmark = pytest.mark.timeout(600)  # four processes load the engine, on a busy machine slowly
READER = """
import sys
from optiinfra.adapters.clickhouse import open_store
from optiinfra.adapters.ingestion import BufferedWriter
store = open_store("chdb://" + sys.argv[1] + "/chdb")
from pathlib import Path
writer = BufferedWriter(store, Path(sys.argv[1]) / "journal")
assert writer.flush(timeout_s=300), writer.get_state()
writer.close()
for sql in (
    "SELECT count(), uniqExact(value), toUInt64(max(value)) FROM metric_samples_ts",
    "SELECT sum(num_rows), toInt64(sum(value_sum)) FROM metric_samples_hourly",
    "SELECT sum(num_rows), toInt64(sum(value_sum)) FROM metric_samples_daily",
):
    print(*store.client.query(sql).result_rows[0])
"""


def run_until_killed(directory: Path, first: int, num_acknowledged: int) -> int:
    """The number of the last acknowledged batch."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ingestion.appending", str(directory), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        last = first - 1
        for _ in range(num_acknowledged):
            last = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else last


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    last = -1
    for _ in range(NUM_KILLS):
        # The batch after the last acknowledged one may have been kept; it is sent again, as a
        # collector would, and its token tells.
        last = run_until_killed(tmp_path, last + 1, int(rng.integers(1, MAX_BATCHES)))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    raw, hours, days = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    count, different, greatest = raw
    assert count == different == greatest + 1
    assert (last + 1) * SIZE <= count <= (last + 2) * SIZE  # all acknowledged, at most one more
    total = count * (count - 1) // 2
    assert hours == [count, total]
    assert days == [count, total]
