"""The wiring of the stores: start, stop and reach the embedded ones, see that all work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from optiinfra.domain.errors import OptiInfraError, StoreAwayError, StoreError
from optiinfra.domain.metric_tables import MetricTable
from optiinfra.domain.store_health import StoreHealth

if TYPE_CHECKING:
    from optiinfra.adapters.clickhouse import ClickHouseStore
    from optiinfra.adapters.ingestion import BufferedWriter
    from optiinfra.embedded.owner_state import OwnerState
    from optiinfra.settings import Settings

FLUSH_S = 15.0  # at the end of a command, before what waits is left on disk
AWAY_S = 3.0  # the same, where the store does not answer


def start_stores(settings: Settings) -> OwnerState:
    """Start the owner of the embedded stores, and bring every schema to this release.

    Raises ConflictError with the pid where an owner lives. Where a schema cannot be brought there
    the owner is stopped again.
    """
    from optiinfra.embedded.owner.starting import start_owner, stop_owner

    state = start_owner(
        settings.data_dir,
        postgres_bin_dir=settings.postgres_bin_dir,
        has_postgres=settings.database_url is None,
    )
    try:
        prepare_schemas(settings)
    except BaseException:
        stop_owner(settings.data_dir)
        raise
    return state


def stop_stores(settings: Settings) -> int | None:
    """Stop the owner and what a killed one left; the owner's pid, None where there was none."""
    from optiinfra.embedded.owner.starting import stop_left_postgres, stop_owner

    pid = stop_owner(settings.data_dir)
    if settings.database_url is None:
        stop_left_postgres(settings.data_dir, bin_dir=settings.postgres_bin_dir)
    return pid


def prepare_schemas(settings: Settings) -> None:
    """Bring the schemas to this release; that of ClickHouse only where there is one."""
    from optiinfra.bootstrap import open_server
    from optiinfra.database.migrate import require_schema

    with open_server(settings) as url:
        require_schema(url)
    address = _find_address(settings, "clickhouse_url")
    if address is not None:
        from optiinfra.adapters.clickhouse import open_store

        with open_store(address, is_migrated=False) as store:
            store.migrate()


def open_metric_store(settings: Settings) -> ClickHouseStore:
    """The configured ClickHouse, or that of the living owner. Raises StoreError."""
    from optiinfra.adapters.clickhouse import open_store

    return open_store(_get_address(settings, "clickhouse_url"))


@contextmanager
def open_metric_writer(
    settings: Settings, *, name: str, close_s: float = 10.0
) -> Iterator[BufferedWriter]:
    """A buffered writer to the metric store; one process a name may have it open.

    The store may be away, at first too: what is appended waits on disk until it is there. In the
    end what waits is sent for at most `close_s`, and left on disk otherwise.
    """
    from optiinfra.adapters.ingestion import BufferedWriter

    sink = _ReopenedSink(settings)
    try:
        writer = BufferedWriter(sink, settings.data_dir / "ingestion" / name)
        try:
            yield writer
        finally:
            writer.close(timeout_s=close_s)
    finally:
        sink.close()


def flush_in_time(writer: BufferedWriter) -> bool:
    """Send what waits; False where the store is away, or takes too long: it stays on disk."""
    started = time.monotonic()
    while not writer.flush(timeout_s=0.5):
        elapsed_s = time.monotonic() - started
        is_away = writer.get_state().last_error is not None and elapsed_s > AWAY_S
        if is_away or elapsed_s > FLUSH_S:
            return False
    return True


class _ReopenedSink:
    """The metric store, opened when something is sent, and anew when it was away.

    Its address may be another then. A store that cannot be opened, for whatever reason, is away:
    what it would have taken is kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: ClickHouseStore | None = None

    def insert_table(self, table: MetricTable, rows: Any, *, token: str) -> None:
        """Send rows. Raises StoreAwayError where there is no store, StoreError where it refuses."""
        if self._store is None:
            try:
                self._store = open_metric_store(self._settings)
            except StoreError as error:
                raise StoreAwayError(error.problem, remedy=error.remedy) from error
        try:
            self._store.insert_table(table, rows, token=token)
        except StoreAwayError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None


def verify_stores(settings: Settings) -> list[StoreHealth]:
    """Every store, after a real write and a real read of it."""
    return [
        _verify_postgres(settings),
        _verify_clickhouse(settings),
        _verify_qdrant(settings),
        _verify_redis(settings),
    ]


def _verify_postgres(settings: Settings) -> StoreHealth:
    from optiinfra.bootstrap import open_server
    from optiinfra.database.probe import probe

    try:
        with open_server(settings) as url:
            is_embedded = settings.database_url is None
            where = str(settings.data_dir / "postgres") if is_embedded else _describe(url)
            return _measure("PostgreSQL", where, lambda: probe(url))
    except OptiInfraError as error:
        return StoreHealth("PostgreSQL", str(settings.data_dir / "postgres"), reason=str(error))


def _verify_clickhouse(settings: Settings) -> StoreHealth:
    from optiinfra.adapters.clickhouse.probe import probe

    return _verify(settings, "ClickHouse", "clickhouse_url", probe)


def _verify_qdrant(settings: Settings) -> StoreHealth:
    from optiinfra.adapters.qdrant_probe import probe

    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    if settings.qdrant_url is None:
        key = _find_address(settings, "qdrant_api_key")
    return _verify(settings, "Qdrant", "qdrant_url", lambda url: probe(url, api_key=key))


def _verify_redis(settings: Settings) -> StoreHealth:
    from optiinfra.adapters.redis_probe import probe

    return _verify(settings, "Valkey", "redis_url", probe)


def _verify(settings: Settings, name: str, field: str, probe: Callable[[str], str]) -> StoreHealth:
    try:
        url = _get_address(settings, field)
    except OptiInfraError as error:
        return StoreHealth(name, str(settings.data_dir), reason=str(error))
    return _measure(name, _describe(url), lambda: probe(url))


def _measure(name: str, where: str, probe: Callable[[], str]) -> StoreHealth:
    """The second of two runs: the first pays for connecting, imports and a table that is made."""
    try:
        probe()
        started = time.perf_counter()
        version = probe()
    except OptiInfraError as error:
        return StoreHealth(name, where, reason=str(error))
    return StoreHealth(name, where, version=version, latency_s=time.perf_counter() - started)


def _find_address(settings: Settings, field: str) -> str | None:
    from optiinfra.embedded.owner_state import find_owner_state

    configured = getattr(settings, field)
    if configured is not None:
        return str(configured.get_secret_value())
    state = find_owner_state(settings.data_dir)
    return None if state is None else getattr(state, field)


def _get_address(settings: Settings, field: str) -> str:
    from optiinfra.embedded.owner_state import read_owner_state

    found = _find_address(settings, field)
    if found is not None:
        return found
    state = read_owner_state(settings.data_dir)  # says how to start one
    names = {"clickhouse_url": "ClickHouse", "qdrant_url": "Qdrant", "redis_url": "Valkey"}
    reason = state.reasons.get(names[field], "it was started without it")
    raise StoreAwayError(
        f"The owner of the embedded stores has no {names[field]}: {reason}.",
        remedy=f"Install it and start the stores again, or set OPTIINFRA_{field.upper()}.",
    )


def _describe(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme.partition('+')[0]}://{host}{parts.path}"
