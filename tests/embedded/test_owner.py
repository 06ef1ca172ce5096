"""The owner: one a data directory, taken over when killed, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.architecture.repository import ROOT
from tests.ingestion.sinks import make_batch

from optiinfra.adapters.clickhouse import open_store
from optiinfra.adapters.clickhouse.probe import probe as probe_clickhouse
from optiinfra.adapters.ingestion import BufferedWriter, IngestionLimits
from optiinfra.adapters.redis_probe import probe as probe_redis
from optiinfra.database.probe import probe as probe_postgres
from optiinfra.domain.errors import ConflictError, StoreAwayError
from optiinfra.embedded.owner.starting import start_owner, stop_left_postgres, stop_owner
from optiinfra.embedded.owner_state import (
    OwnerPlaces,
    OwnerState,
    find_owner_pid,
    read_owner_state,
)
from optiinfra.embedded.postgres import running

DEADLINE_S = 120.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def home(open_dir: Path) -> Iterator[Path]:
    """A data directory whose stores are stopped afterwards, whatever the test did."""
    yield open_dir
    stop_owner(open_dir)
    stop_left_postgres(open_dir)
    lock = open_dir / "valkey" / "server.lock"
    assert not lock.exists() or is_free(lock), "a Valkey was left"


def is_free(lock: Path) -> bool:
    from optiinfra.embedded.locks import find_lock

    descriptor = find_lock(lock)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def find_child(program: str, directory: Path) -> int:
    """The pid of the oldest process of a program that works below the directory."""
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            name = (entry / "comm").read_text().strip()
            where = (entry / "cwd").readlink()
        except OSError:
            continue
        if name.startswith(program) and where.is_relative_to(directory):
            return int(entry.name)
    raise AssertionError(f"no {program} works in {directory}")


def write_and_count(state: OwnerState, home: Path, number: int) -> list[int]:
    """Write one row to each of the three stores; how many each has then."""
    import redis

    assert state.clickhouse_url is not None
    assert state.redis_url is not None
    with open_store(state.clickhouse_url, is_migrated=False) as store:
        store.client.command("CREATE TABLE IF NOT EXISTS t (n Int64) ENGINE MergeTree ORDER BY n")
        store.client.insert("t", [[number]], column_names=["n"])
        clickhouse = int(store.client.query("SELECT uniqExact(n) FROM t").result_rows[0][0])
    with redis.Redis.from_url(state.redis_url) as client:
        client.sadd("t", number)
        valkey = int(client.scard("t"))
    with running(home / "postgres") as url:
        address = url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (n bigint)")
            connection.execute("INSERT INTO t VALUES (%s)", [number])
            row = connection.execute("SELECT count(DISTINCT n) FROM t").fetchone()
    assert row is not None
    return [int(row[0]), clickhouse, valkey]


def test_up_down_and_up_again(home: Path) -> None:
    with pytest.raises(StoreAwayError, match="optiinfra up"):
        read_owner_state(home)
    first = start_owner(home)
    assert find_owner_pid(home) == first.pid == read_owner_state(home).pid
    assert first.reasons == {}
    assert write_and_count(first, home, 1) == [1, 1, 1]
    with pytest.raises(ConflictError, match=f"Process {first.pid} runs"):
        start_owner(home)
    assert stop_owner(home) == first.pid
    assert stop_owner(home) is None
    assert find_owner_pid(home) is None
    assert is_free(home / "postgres" / "server.lock"), "PostgreSQL was left"
    second = start_owner(home)
    assert second.pid != first.pid
    assert (second.clickhouse_url, second.redis_url) == (first.clickhouse_url, first.redis_url)
    assert write_and_count(second, home, 2) == [2, 2, 2]


def test_a_killed_owner_is_taken_over_and_nothing_is_lost(home: Path) -> None:
    state = start_owner(home)
    for number in range(1, 4):
        assert write_and_count(state, home, number) == [number] * 3
        kill(state.pid)
        wait_until(lambda: find_owner_pid(home) is None)
        state = start_owner(home)
    assert write_and_count(state, home, 4) == [4, 4, 4]


def test_killed_stores_are_started_again(home: Path) -> None:
    state = start_owner(home)
    assert write_and_count(state, home, 1) == [1, 1, 1]
    for program, probe in (("postgres", None), ("valkey", probe_redis)):
        pid = find_child(program, home)
        kill(pid)
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
        if probe is None:
            # Nobody else enters: it is the owner that starts it again.
            wait_until(lambda: not is_free(home / "postgres" / "server.lock"))
            continue

        def answers() -> bool:
            try:
                return bool(probe_redis(str(state.redis_url)))
            except StoreAwayError:
                return False

        wait_until(answers)
    assert read_owner_state(home).pid == state.pid
    assert write_and_count(state, home, 2) == [2, 2, 2]


def test_what_is_written_while_the_owner_is_away_arrives_once(home: Path) -> None:
    """Batches are appended all the time; the owner is killed twice, amid inserts too."""
    state = start_owner(home, has_postgres=False)
    limits = IngestionLimits(max_rows=500, max_age_s=0.05, first_backoff_s=0.05, max_backoff_s=0.2)
    with open_store(str(state.clickhouse_url), is_migrated=False) as store:
        store.migrate()
        with BufferedWriter(store, home / "ingestion", limits=limits) as writer:
            number = 0
            for _ in range(2):
                for _ in range(60):
                    writer.append(make_batch(100 * number, 100))
                    number += 1
                kill(state.pid)
                for _ in range(20):
                    writer.append(make_batch(100 * number, 100))
                    number += 1
                wait_until(lambda: find_owner_pid(home) is None)
                state = start_owner(home, has_postgres=False)
            assert writer.flush(timeout_s=60), writer.get_state()
            assert writer.get_state().num_refused_rows == 0
        size = 100 * number
        sums = [size, size * (size - 1) // 2]
        for sql in (
            "SELECT count(), toInt64(sum(value)) FROM metric_samples_ts",
            "SELECT sum(num_rows), toInt64(sum(value_sum)) FROM metric_samples_hourly",
            "SELECT sum(num_rows), toInt64(sum(value_sum)) FROM metric_samples_daily",
        ):
            assert [int(n) for n in store.client.query(sql).result_rows[0]] == sums, sql


def test_of_many_that_start_at_once_one_owns(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from optiinfra.embedded.owner.starting import start_owner;"
        "print(start_owner(Path(sys.argv[1]), has_postgres=False).pid)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in processes]
    codes = [process.returncode for process in processes]
    assert codes.count(0) == 1, answers
    pid = find_owner_pid(home)
    for out, err in answers:
        assert f"{pid}" in (out or err)
    probe_clickhouse(str(read_owner_state(home).clickhouse_url))


def test_a_stale_lock_and_a_foreign_pid_in_it_hold_nobody_up(home: Path) -> None:
    places = OwnerPlaces(home)
    places.directory.mkdir()
    places.lock.write_text(str(os.getpid()))  # alive, but not the owner
    places.state.write_text("{not json")
    assert find_owner_pid(home) is None
    state = start_owner(home, has_postgres=False)
    assert find_owner_pid(home) == state.pid != os.getpid()


def test_files_with_passwords_are_ours_alone(home: Path) -> None:
    state = start_owner(home, has_postgres=False)
    places = OwnerPlaces(home)
    for path in (places.state, places.directory / "password", places.log):
        assert path.stat().st_mode & 0o077 == 0, path
    for name in ("owner", "clickhouse", "qdrant", "valkey"):
        assert (home / name).stat().st_mode & 0o077 == 0, name
    command = Path(f"/proc/{state.pid}/cmdline").read_bytes().decode()
    assert places.get_password() not in command
    valkey = find_child("valkey", home)
    assert places.get_password() not in Path(f"/proc/{valkey}/cmdline").read_bytes().decode()
    assert places.get_password() not in repr(state)


def test_what_keeps_it_from_starting_is_said(home: Path) -> None:
    (home / "clickhouse").write_text("a file where a directory belongs")
    with pytest.raises(StoreAwayError, match="clickhouse"):
        start_owner(home, has_postgres=False)
    assert find_owner_pid(home) is None


def test_probes_find_what_is_there(home: Path) -> None:
    state = start_owner(home)
    assert probe_clickhouse(str(state.clickhouse_url)).startswith("2")
    assert probe_redis(str(state.redis_url)).startswith(("Valkey", "Redis"))
    with running(home / "postgres") as url:
        assert int(probe_postgres(url).split(".")[0]) >= 15
