"""A psycopg connection of its own, for what SQLAlchemy has no words: COPY and snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from optiinfra.database.address import THRESHOLD, get_connect_arguments, get_name, parse_url
from optiinfra.database.failures import make_database_error


@contextmanager
def connecting(url: str) -> Iterator[psycopg.Connection]:
    """A connection in one transaction: committed when the block ends, undone when it raises.

    Raises DatabaseError for whatever the driver raises in the block.
    """
    address = parse_url(url)
    try:
        with psycopg.connect(
            make_plain_url(address),
            password=address.password,
            **get_connect_arguments(address),
        ) as connection:
            yield connection
    except psycopg.Error as error:
        wrapped = DBAPIError(None, None, error)
        raise make_database_error(wrapped, name=get_name(address)) from error


def make_plain_url(url: URL) -> str:
    """The URL as libpq reads it, without its password."""
    plain = url.set(drivername="postgresql", password=None).difference_update_query([THRESHOLD])
    return plain.render_as_string(hide_password=False)
