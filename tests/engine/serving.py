"""A server of an engine as a process of its own: on a free port, for a bounded time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.engine.places import HOME, OUT

MAX_LIFE_S = 1_800  # even if the test is killed: the server runs under `timeout`
_STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers. `url` has no path; `ready_s` is how long it took to answer."""

    url: str
    ready_s: float
    log: Path


def find_free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def run_server(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, ready_s: float
) -> Iterator[Server]:
    """Run `command`, whose `{port}` becomes a free one, until the block ends.

    It sees no variables of ours but PATH, and writes its caches into `.engine`. The test fails if
    it ends early or does not answer `/health` within `ready_s`.
    """
    port = find_free_port()
    OUT.mkdir(parents=True, exist_ok=True)
    (HOME / "home").mkdir(exist_ok=True)
    log = OUT / f"{name}.log"
    started_s = time.monotonic()
    with log.open("wb") as written:
        process = subprocess.Popen(
            ["timeout", "--kill-after=10", str(MAX_LIFE_S)]
            + [part.format(port=port) for part in command],
            env={"PATH": os.environ["PATH"], "HOME": str(HOME / "home"), **environment},
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, log, ready_s)
        yield Server(url, time.monotonic() - started_s, log)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, ready_s: float) -> None:
    until_s = time.monotonic() + ready_s
    while time.monotonic() < until_s:
        if process.poll() is not None:
            _fail(f"ended with code {process.returncode} before it answered", log)
        try:
            if httpx.get(f"{url}/health", timeout=5.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    _fail(f"did not answer within {ready_s:.0f} s", log)


def _fail(what: str, log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()[-20:]
    pytest.fail("\n".join([f"The engine {what}. The end of {log}:", *lines]), pytrace=False)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started: they are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait(_STOP_S)
