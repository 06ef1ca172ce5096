"""PgBouncer in transaction mode in front of the tests' server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url
from tests.fixtures_database import make_open_dir

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NUM_SERVER_CONNECTIONS = 2  # fewer than clients: each transaction takes what it is given
START_S = 30.0
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
ignore_startup_parameters = extra_float_digits
"""


def find_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
    return port


@contextmanager
def pooling(server_url: str) -> Iterator[str]:
    """The URL of the server by way of a pooler, which knows every database of it."""
    assert PROGRAM is not None
    url = make_url(server_url)
    host, listen = str(url.query["host"]), find_port()
    with make_open_dir() as folder:
        (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
        (folder / "ini").write_text(
            CONFIGURATION.format(
                host=host,
                port=url.query["port"],
                listen=listen,
                folder=folder,
                size=NUM_SERVER_CONNECTIONS,
            )
        )
        command = [PROGRAM, "-q", str(folder / "ini")]
        if os.geteuid() == 0:  # it refuses to be root; only the server's user may use its socket
            owner = (Path(host) / f".s.PGSQL.{url.query['port']}").stat().st_uid
            command[1:1] = ["-u", pwd.getpwuid(owner).pw_name]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            pooled = url.set(host="127.0.0.1", port=listen, query={})
            wait_for(pooled.set(drivername="postgresql").render_as_string(hide_password=False))
            yield pooled.render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(timeout=START_S)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
