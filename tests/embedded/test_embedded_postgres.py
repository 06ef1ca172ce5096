"""The embedded PostgreSQL: started once, shared, stopped by the last, found after a crash."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL
from tests.fixtures_database import FAST

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded import binaries, locks, places, server
from optiinfra.embedded.binaries import find_binaries
from optiinfra.embedded.locks import find_lock
from optiinfra.embedded.postgres import running

SITE_PACKAGES = find_binaries().bin_dir.parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change its user")
# A process of its own that uses the server until it is told to end, or is killed.
USER = """
import sys
from pathlib import Path
from optiinfra.embedded.postgres import running
with running(Path(sys.argv[1]), settings={"fsync": "off"}) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def connect(url: str) -> psycopg.Connection:
    parsed: URL = make_url(url)
    host, port = parsed.query["host"], parsed.query["port"]
    assert isinstance(host, str)
    assert isinstance(port, str)
    return psycopg.connect(
        host=host,
        port=int(port),
        user=parsed.username,
        password=parsed.password,
        dbname=parsed.database,
        autocommit=True,
    )


def is_up(url: str) -> bool:
    try:
        connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def get_server_pid(data_dir: Path) -> int:
    pid_file = next(data_dir.rglob("postmaster.pid"))
    return int(pid_file.read_text().splitlines()[0])


def wait_until_free(lock: Path) -> None:
    """Until the last process of the server has ended."""
    deadline = time.monotonic() + 30
    while (descriptor := find_lock(lock)) is None:
        assert time.monotonic() < deadline, f"{lock} is still held"
        os.sched_yield()
    os.close(descriptor)


class OtherUser:
    """Another process that uses the server."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, data_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


def test_a_database_is_there_and_kept_over_a_restart(open_dir: Path) -> None:
    with running(open_dir / "data", settings=FAST) as url, connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    assert not is_up(url)
    with running(open_dir / "data", settings=FAST) as again, connect(again) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_the_url_is_for_sqlalchemy_and_the_server_is_set_as_it_should_be(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        engine = create_engine(url)
        settings = (
            "SELECT current_setting('server_encoding'), current_setting('data_checksums'),"
            " current_setting('password_encryption'), current_setting('listen_addresses'),"
            " current_setting('TimeZone'), lower('ÄÖ')"
        )
        with engine.connect() as connection:
            found = tuple(connection.execute(text(settings)).one())
        engine.dispose()
    assert found == ("UTF8", "on", "scram-sha-256", "", "UTC", "äö")


def test_without_the_password_nobody_gets_in(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        parsed = make_url(url)
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect(parsed.set(password="guess").render_as_string(hide_password=False))  # noqa: S106
        password = data_dir / "server" / "cluster" / "password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert len(parsed.password or "") >= 32


def test_a_second_process_joins_and_the_last_one_out_stops_it(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        pid = get_server_pid(data_dir)
        other = OtherUser(data_dir)
        assert other.url == url
        assert get_server_pid(data_dir) == pid
    assert is_up(url), "the first one out stopped it under the other"
    other.leave()
    assert not is_up(url)


def test_the_same_process_may_enter_twice(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as outer:
        with running(data_dir, settings=FAST) as inner:
            assert inner == outer
        assert is_up(outer)
    assert not is_up(outer)


def test_several_first_starts_at_once_share_one_server(open_dir: Path) -> None:
    data_dir = open_dir / "data"
    others = [OtherUser(data_dir) for _ in range(2)]
    with running(data_dir, settings=FAST) as url:
        assert {other.url for other in others} == {url}
    for other in others:
        other.leave()
    assert not is_up(url)


def test_a_server_left_behind_by_a_killed_process_is_found_and_stopped(data_dir: Path) -> None:
    other = OtherUser(data_dir)
    pid = get_server_pid(data_dir)
    other.kill()
    assert is_up(other.url)
    with running(data_dir, settings=FAST) as url:
        assert get_server_pid(data_dir) == pid
        assert url == other.url
    assert not is_up(url)


def test_a_killed_process_does_not_stop_the_server_for_others(data_dir: Path) -> None:
    other = OtherUser(data_dir)
    with running(data_dir, settings=FAST) as url:
        other.kill()
        assert is_up(url)
    assert not is_up(url)


def test_a_killed_server_comes_back_with_what_was_committed(data_dir: Path) -> None:
    with running(data_dir) as url:  # with fsync: the rows must be there
        with connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        os.kill(get_server_pid(data_dir), signal.SIGKILL)
        with running(data_dir) as again, connect(again) as connection:  # before the first has left
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    assert not is_up(url)


def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(data_dir: Path) -> None:
    with running(data_dir, settings=FAST):
        os.kill(get_server_pid(data_dir), signal.SIGKILL)
        wait_until_free(data_dir / "server.lock")
    pid_file = next(data_dir.rglob("postmaster.pid"))
    lines = pid_file.read_text().splitlines()
    # A process of the server's own user, which PostgreSQL by itself would take for a server.
    owner = pid_file.stat()
    sleeper = subprocess.Popen(
        ["sleep", "60"],
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
    )
    try:
        pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        with running(data_dir, settings=FAST) as url:
            assert is_up(url)
            assert get_server_pid(data_dir) != sleeper.pid
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait(timeout=30)


def test_an_interrupted_first_start_is_begun_anew(data_dir: Path) -> None:
    leftover = data_dir / "server" / "new" / "data"
    made = data_dir / "server" / "cluster"
    made.rename(leftover.parent)  # what a kill before the last rename leaves
    (leftover / "PG_VERSION").unlink()
    with running(data_dir, settings=FAST) as url:
        assert is_up(url)
    assert not leftover.exists()


def test_an_error_in_the_block_still_stops_the_server(data_dir: Path) -> None:
    with pytest.raises(ZeroDivisionError), running(data_dir, settings=FAST) as url:
        _ = 1 / 0
    assert not is_up(url)


def test_a_long_path_gets_a_short_socket(open_dir: Path) -> None:
    data_dir = open_dir / ("deep" * 30) / "data dir with 'quotes' and $signs"
    with running(data_dir, settings=FAST) as url:
        assert is_up(url)
        first = make_url(url).query["host"]
    with running(data_dir, settings=FAST) as url:
        assert make_url(url).query["host"] == first
    assert isinstance(first, str)
    assert len(first) < places.MAX_SOCKET_DIR
    Path(first).rmdir()


def test_a_setting_that_postgresql_refuses_is_shown(open_dir: Path) -> None:
    with (
        pytest.raises(DatabaseError, match="no_such_setting") as caught,
        running(open_dir / "data", settings={"no_such_setting": "1"}),
    ):
        pass
    assert caught.value.exit_code == 2
    with running(open_dir / "data", settings=FAST) as url:
        assert is_up(url)


def test_a_directory_that_cannot_be_written_is_named() -> None:
    with (
        pytest.raises(DatabaseError, match="/proc/no/such/place") as caught,
        running(Path("/proc/no/such/place")),
    ):
        pass
    assert "XDG_DATA_HOME" in caught.value.remedy


def test_a_server_that_never_answers_is_given_up(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT_S", 0.05)
    monkeypatch.setattr(server.Server, "_answers", lambda _: False)
    with (
        pytest.raises(DatabaseError, match="did not answer"),
        running(data_dir, settings=FAST),
    ):
        pass
    wait_until_free(data_dir / "server.lock")  # it was not left running


def test_a_lock_held_for_ever_is_given_up(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.05)
    descriptor = find_lock(open_dir / "control.lock")
    assert descriptor is not None
    with pytest.raises(DatabaseError, match=r"control\.lock"), running(open_dir, settings=FAST):
        pass
    os.close(descriptor)


@pytest.fixture
def closed_dir(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that only root may enter, as /root is; the fallback is kept inside the test."""
    monkeypatch.setattr(places, "FALLBACK_PARENTS", (open_dir / "elsewhere",))
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    yield closed
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert closed.stat().st_uid == 0


@needs_root
def test_root_with_a_closed_home_keeps_its_data_elsewhere(closed_dir: Path) -> None:
    data_dir = closed_dir / "data"
    with running(data_dir, settings=FAST) as url, connect(url) as connection:
        connection.execute("CREATE TABLE kept ()")
        user = Path(f"/proc/{_get_pid_elsewhere(closed_dir)}").stat().st_uid
        assert user != 0
    base = Path((data_dir / "location").read_text())
    assert base.parent == closed_dir.parent / "elsewhere"
    assert stat.S_IMODE((base / "server").stat().st_mode) == 0o700
    with running(data_dir, settings=FAST) as url, connect(url) as connection:
        connection.execute("SELECT FROM kept")


def _get_pid_elsewhere(closed_dir: Path) -> int:
    return get_server_pid(closed_dir.parent / "elsewhere")


@needs_root
def test_root_with_nowhere_to_go_is_told_what_to_do(
    closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "FALLBACK_PARENTS", (closed_dir / "elsewhere",))
    with pytest.raises(DatabaseError, match="root") as caught, running(closed_dir / "data"):
        pass
    assert "XDG_DATA_HOME" in caught.value.remedy


@needs_root
def test_data_that_moved_away_is_not_replaced_by_an_empty_database(closed_dir: Path) -> None:
    data_dir = closed_dir / "data"
    data_dir.mkdir()
    (data_dir / "location").write_text("/no/such/place")
    with pytest.raises(DatabaseError, match="is gone"), running(data_dir, settings=FAST):
        pass


@needs_root
def test_programs_that_only_root_may_run_are_copied(
    closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The environment lies where everybody may enter, so reach it through the closed place.
    (closed_dir / "site-packages").symlink_to(SITE_PACKAGES)
    inside = closed_dir / "site-packages" / find_binaries().bin_dir.relative_to(SITE_PACKAGES)
    monkeypatch.setattr(binaries, "list_wheel_dirs", lambda: [inside])
    data_dir = closed_dir.parent / "data"
    with running(data_dir, settings=FAST) as url:
        assert is_up(url)
    (copy,) = data_dir.glob("postgresql-*")
    assert next(copy.rglob("postgres")).stat().st_mode & 0o005 == 0o005
    assert not list(copy.rglob("*.a"))
    with running(data_dir, settings=FAST) as url:
        assert is_up(url)
    assert len(list(data_dir.glob("postgresql-*"))) == 1


@needs_root
def test_an_odd_home_does_not_matter(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("PGDATA", "/no/such/place")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "/no/such/place")
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with running(data_dir, settings=FAST) as url:
        assert is_up(url)


@needs_root
def test_another_users_server_is_not_taken_over(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with (
        pytest.raises(DatabaseError, match="belongs to user id") as caught,
        running(data_dir),
    ):
        pass
    assert "Run as that user" in caught.value.remedy
