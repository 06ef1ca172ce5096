"""One embedded server: made, started, reached and stopped. Call it with the control lock held."""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded.binaries import Binaries, find_binaries, make_executable_by
from optiinfra.embedded.locks import POLL_S, find_lock
from optiinfra.embedded.places import Places

ROLE = "optiinfra"
DATABASE = "optiinfra"
PORT = 5432  # only part of the socket's name: nothing listens on the network
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
BUILTIN_LOCALES_SINCE = 17
_LOG_LINES = 6
_MISSING_DATABASE = f'database "{DATABASE}" does not exist'
_WRONG_PASSWORD = "password authentication failed"  # noqa: S105 - a message
_WRITE_PASSWORD = "rm -rf new && mkdir new && cat > new/password"  # noqa: S105 - a script


@dataclass(frozen=True, slots=True)
class Server:
    """The server of one data directory. `settings` go over our own, for tests and benchmarks."""

    places: Places
    bin_dir: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def ensure(self) -> str:
        """Make sure that the server answers, starting it where no process of it lives; its URL."""
        deadline = time.monotonic() + START_TIMEOUT_S
        is_started = False
        while True:
            # The server inherits this lock, so holding it proves that no process of it is left,
            # whatever a pid file says; a server that recovers or stops still holds it.
            descriptor = find_lock(self.places.server_lock)
            if descriptor is not None:
                try:
                    if is_started:
                        raise self._make_error("stopped as soon as it was started")
                    self._start(descriptor)
                    is_started = True
                finally:
                    os.close(descriptor)
            if self._answers():
                return self._make_url()
            if time.monotonic() > deadline:
                raise self._make_error(f"did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop the server where one lives, and wait until its last process has ended."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        is_asked = False
        while (descriptor := find_lock(self.places.server_lock)) is None:
            if not is_asked:
                pg_ctl = self._find_binaries().bin_dir / "pg_ctl"
                self._run([pg_ctl, "stop", "-W", "-s", "-m", "fast", "-D", "cluster/data"])
                is_asked = True
            if time.monotonic() > deadline:
                raise self._make_error(f"did not stop within {STOP_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        os.close(descriptor)

    def _find_binaries(self) -> Binaries:
        found = find_binaries(self.bin_dir, major=self.places.get_major())
        return make_executable_by(self.places.account, found, directory=self.places.base)

    def _start(self, descriptor: int) -> None:
        binaries = self._find_binaries()
        if not self.places.cluster.exists():
            self._initialise(binaries, descriptor)
        self._remove_stale()
        if self.places.log.exists():
            self.places.log.replace(self.places.log.with_suffix(".log.before"))
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.places.get_socket_dir()),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            **self.settings,
        }
        options = " ".join(shlex.quote(f"--{key}={value}") for key, value in settings.items())
        command = [str(binaries.bin_dir / "pg_ctl"), "start", "-W", "-s", "-D", "cluster/data"]
        self._run([*command, "-l", self.places.log.name, "-o", options], inherited=descriptor)

    def _remove_stale(self) -> None:
        """Remove what a killed server left; PostgreSQL keeps it where the pid in it lives again."""
        (self.places.cluster / "data" / "postmaster.pid").unlink(missing_ok=True)
        for suffix in ("", ".lock"):
            socket = self.places.get_socket_dir() / f".s.PGSQL.{PORT}{suffix}"
            socket.unlink(missing_ok=True)

    def _initialise(self, binaries: Binaries, descriptor: int) -> None:
        """Make the cluster aside and move it into place whole."""
        server_dir = self.places.server_dir
        script = ["/bin/sh", "-c", _WRITE_PASSWORD]
        self._run(script, text=secrets.token_urlsafe(32), inherited=descriptor)
        locale = ["--locale=C"]
        if binaries.major >= BUILTIN_LOCALES_SINCE:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run(
            [
                binaries.bin_dir / "initdb",
                "--pgdata=new/data",
                f"--username={ROLE}",
                "--pwfile=new/password",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--data-checksums",
                *locale,
                *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
            ],
            inherited=descriptor,
        )
        (server_dir / "new").rename(self.places.cluster)
        directory = os.open(server_dir, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _run(
        self, arguments: Sequence[str | Path], *, text: str = "", inherited: int | None = None
    ) -> None:
        done = self.places.account.run(
            arguments,
            directory=self.places.server_dir,
            text=text,
            inherited=() if inherited is None else (inherited,),
        )
        if done.returncode != 0:
            program = Path(arguments[0]).name
            raise self._make_error(f"failed in {program}: {' '.join(done.stdout.split())}")

    def _answers(self) -> bool:
        """Whether a real connection comes about; the database is made where it is missing."""
        try:
            self._connect(DATABASE).close()
        except psycopg.OperationalError as error:
            # By its text: libpq does not pass on the code of what failed before the session began.
            if _MISSING_DATABASE in str(error):
                self._create_database()
                return True
            if _WRONG_PASSWORD in str(error):
                raise self._make_error("does not take the password that lies beside it") from error
            return False  # it starts, recovers or stops; or nothing listens
        return True

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            connection.autocommit = True
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.places.get_socket_dir()),
            port=PORT,
            user=ROLE,
            password=self.places.get_password(),
            dbname=database,
            connect_timeout=10,
        )

    def _make_url(self) -> str:
        host = quote(str(self.places.get_socket_dir()), safe="")
        password = quote(self.places.get_password(), safe="")
        return f"postgresql+psycopg://{ROLE}:{password}@/{DATABASE}?host={host}&port={PORT}"

    def _make_error(self, what: str) -> DatabaseError:
        lines = []
        if self.places.log.exists():
            lines = self.places.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = f" It last said: {' / '.join(lines[-_LOG_LINES:])}" if lines else ""
        return DatabaseError(
            f"The embedded PostgreSQL in {self.places.server_dir} {what.rstrip('.')}.{said}",
            remedy="Put right what it names, or name a server in OPTIINFRA_DATABASE_URL.",
        )
