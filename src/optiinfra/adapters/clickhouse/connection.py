"""A client of ClickHouse by URL: `chdb:///directory`, `http://user:password@host:port/database`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from optiinfra.adapters.clickhouse.torn_inserts import forget_torn_inserts
from optiinfra.domain.errors import InputError, PackageMissingError, StoreAwayError, StoreError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DATABASE = "optiinfra"
MAX_EXECUTION_S = 30
MAX_INSERT_S = 300  # on a busy machine a block with its rollups takes long
CONNECT_TIMEOUT_S = 5
SEND_RECEIVE_TIMEOUT_S = MAX_INSERT_S + 30
# ClickHouse's codes of what may be otherwise in a while: a table that is not there yet (60, 81),
# time (159, 209, 210, 394), queries at once (202), memory (241), read-only (242), space (243), too
# many parts (252), login (516).
TRANSIENT_CODES = frozenset({60, 81, 159, 202, 209, 210, 241, 242, 243, 252, 394, 516})
_OPENED: set[str] = set()  # directories of chDB, which is one engine a process
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def connect(url: str) -> Client:
    """A client whose database exists. Raises StoreError, and InputError for what is no such URL.

    A `chdb:` directory may be open in one process only; that process must not fork while it is.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"chdb", "http", "https"}:
        raise InputError(
            f"{parts.scheme}: is not how ClickHouse is reached.",
            remedy="Give http://user:password@host:port/database, or chdb:///directory.",
            field="OPTIINFRA_CLICKHOUSE_URL",
        )
    database = DATABASE
    if parts.scheme != "chdb" and parts.path.strip("/"):
        database = parts.path.strip("/")
    if not _NAME.fullmatch(database):
        raise InputError(
            f"{database!r} is no name of a database.",
            remedy="Use letters, digits and underscores.",
            field="OPTIINFRA_CLICKHOUSE_URL",
        )
    try:
        from clickhouse_connect.driver import create_client
    except ImportError as error:
        raise PackageMissingError("clickhouse-connect", purpose="The metric store") from error
    settings = {"max_execution_time": MAX_EXECUTION_S}
    with translated(url):
        if parts.scheme == "chdb":
            if parts.path not in _OPENED:  # or an insert of this process may be under way
                forget_torn_inserts(Path(parts.path))
                _OPENED.add(parts.path)
            try:
                client = create_client(dsn=f"chdb://{parts.path}")
            except ImportError as error:
                purpose = "The metric store in this process"
                raise PackageMissingError("chdb-core", purpose=purpose) from error
        else:
            base = parts._replace(path="").geturl()
            client = create_client(
                dsn=base,
                connect_timeout=CONNECT_TIMEOUT_S,
                send_receive_timeout=SEND_RECEIVE_TIMEOUT_S,
                autogenerate_session_id=False,  # or two threads could not share the client
            )
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
        client.database = database
        for name, value in settings.items():
            client.set_client_setting(name, value)
    return client


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise our errors for the client's; the password of the URL is not shown.

    What may be otherwise in a while is StoreAwayError: it is worth another try.
    """
    from clickhouse_connect.driver import exceptions as raised

    where = describe(url)
    try:
        yield
    except raised.OperationalError as error:
        raise StoreAwayError(
            f"ClickHouse at {where} does not answer: {_shorten(error)}.",
            remedy="See whether it runs with `optiinfra verify`; `optiinfra up` starts it.",
        ) from error
    except raised.ClickHouseError as error:
        if getattr(error, "code", None) in TRANSIENT_CODES:
            raise StoreAwayError(
                f"ClickHouse at {where} cannot do it now: {_shorten(error)}.",
                remedy="Try again; see whether it has time, memory and space, with `optiinfra"
                " verify` and its log.",
            ) from error
        raise StoreError(
            f"ClickHouse at {where} refused: {_shorten(error)}.",
            remedy="Look at its log, or at the URL in OPTIINFRA_CLICKHOUSE_URL.",
        ) from error


def describe(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:500].rstrip(".")
