"""Where a database is: a URL to connect with, and a name for it without its password."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from optiinfra.domain.errors import DatabaseError

DRIVER = "postgresql+psycopg"
THRESHOLD = "prepare_threshold"  # psycopg's own, which libpq does not know
_SAME_THING = ("postgresql", "postgres", DRIVER)
_EXAMPLE = "postgresql://user:password@host:5432/optiinfra"


def parse_url(text: str) -> URL:
    """The URL with our driver; `postgresql://` and `postgres://` are taken as well."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is not a number
        # Neither text nor cause is shown: a password may stand anywhere in what cannot be read.
        raise DatabaseError(
            "The database URL cannot be read.", remedy=f"Write it like {_EXAMPLE}."
        ) from None
    if url.drivername not in _SAME_THING:
        raise DatabaseError(
            f"The database URL names {url.drivername!r}; the records are kept in PostgreSQL.",
            remedy=f"Write it like {_EXAMPLE}.",
        )
    return url.set(drivername=DRIVER)


def get_name(url: URL) -> str:
    """`host:port/database`, as messages show it; for a unix socket its directory is the host."""
    host = url.host or url.query.get("host") or "localhost"
    if not isinstance(host, str):
        host = ",".join(host)
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or url.username or ''}"


def get_connect_arguments(url: URL) -> dict[str, Any]:
    """What the driver is told besides the URL; the URL's own query wins.

    Nothing is prepared unless the URL says `prepare_threshold=5`: behind a pooler the next
    transaction may ask another connection, which does not know what this one has prepared.
    """
    defaults = {"connect_timeout": 10, "application_name": "optiinfra"}
    arguments: dict[str, Any] = {k: v for k, v in defaults.items() if k not in url.query}
    threshold = url.query.get(THRESHOLD)
    arguments[THRESHOLD] = None if threshold is None else _read_threshold(threshold)
    return arguments


def _read_threshold(written: object) -> int:
    if not isinstance(written, str) or not written.isdecimal():
        raise DatabaseError(
            f"The database URL says {THRESHOLD}={written}.",
            remedy="Give the number of times that a statement is sent before it is prepared.",
        )
    return int(written)
