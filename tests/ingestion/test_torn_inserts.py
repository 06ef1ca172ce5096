"""A kill between a block's token and its part: the next attempt is no repetition."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.repository import ROOT

from optiinfra.adapters.clickhouse.torn_inserts import forget_torn_inserts

TABLES = ("ts", "hourly", "daily", "hourly_summary", "daily_summary")
pytestmark = pytest.mark.timeout(300)  # each process loads the engine, on a busy machine slowly
INSERTER = """
import sys
from tests.ingestion.sinks import make_batch
from optiinfra.adapters.clickhouse import open_store
store = open_store("chdb://" + sys.argv[1], is_migrated=False)
store.migrate()
store.client.command("SYSTEM STOP MERGES")
for number in map(int, sys.argv[2:]):
    rows = make_batch(100 * number, 100)
    store.insert(rows, token=f"token {number}")
print(store.client.query("SELECT count() FROM metric_samples_ts").result_rows[0][0])
for table in ("hourly", "daily", "hourly_summary", "daily_summary"):
    sql = f"SELECT sum(num_rows) FROM metric_samples_{table}"
    print(store.client.query(sql).result_rows[0][0])
store.close()
"""


def insert(directory: Path, *numbers: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", INSERTER, str(directory), *map(str, numbers)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(TABLES, map(int, done.stdout.split()), strict=True))


@pytest.mark.parametrize("table", ["ts", "hourly", "daily_summary"])
def test_a_block_whose_part_was_not_put_in_its_place_is_taken_again(
    tmp_path: Path, table: str
) -> None:
    assert insert(tmp_path, 0, 1, 2) == dict.fromkeys(TABLES, 300)
    (part,) = (tmp_path / f"data/optiinfra/metric_samples_{table}").glob("*_3_3_0")
    shutil.rmtree(part)  # as if the kill had come just before
    assert insert(tmp_path, 1, 2) == dict.fromkeys(TABLES, 300)
    assert insert(tmp_path, 0, 1, 2) == dict.fromkeys(TABLES, 300)


def make_log(directory: Path, *lines: str) -> Path:
    table = directory / "data/optiinfra/t"
    for part in ("202612_1_4_1", "202612_6_6_0", "202611_7_7_0"):
        (table / part).mkdir(parents=True)
    log = table / "deduplication_logs/deduplication_log_2.txt"
    log.parent.mkdir()
    (log.parent / "deduplication_log_1.txt").write_text("1\t202612_9_9_0\told\n")
    (log.parent / "deduplication_log_3.txt").touch()
    log.write_text("".join(lines))
    return log


def test_only_what_is_not_there_is_forgotten(tmp_path: Path) -> None:
    there = ["1\t202612_2_2_0\tmerged\n", "1\t202612_6_6_0\tthere\n", "1\t202611_7_7_0\tother\n"]
    gone = ["1\t202612_5_5_0\texpired\n", "2\t202612_5_5_0\texpired\n"]
    log = make_log(tmp_path, *there, *gone, "1\t202612_7_7_0\ttorn\n", "1\t202612_8_")
    assert forget_torn_inserts(tmp_path) == 2
    assert log.read_text() == "".join([*there, *gone])
    assert forget_torn_inserts(tmp_path) == 0
    assert forget_torn_inserts(tmp_path / "nothing") == 0
