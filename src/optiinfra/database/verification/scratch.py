"""A schema made by the migrations now, in a database that is dropped again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from optiinfra.database import migrate
from optiinfra.database.address import get_name
from optiinfra.database.catalogue import OUR_ROLES, list_roles, read_items
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated
from optiinfra.domain.errors import DatabaseError

PREFIX: Final = "optiinfra_verify_"
_MEMBERSHIPS: Final = text("""
    SELECT roleid::regrole::text FROM pg_auth_members
    WHERE member = current_user::regrole AND roleid::regrole::text = ANY (:roles)""")


@contextmanager
def making_schema(url: str, scratch_url: str | None, revision: str) -> Iterator[Engine]:
    """An engine on the schema of `revision`, beside the database of `url` or in an empty one.

    Raises DatabaseError where no database may be created, and where the named one is not empty.
    """
    if scratch_url is not None:
        _require_empty(scratch_url)
        yield _make_schema(scratch_url, revision)
        return
    admin = make_engine(url, is_pooled=False).execution_options(isolation_level="AUTOCOMMIT")
    name = PREFIX + secrets.token_hex(8)
    scratch = make_url(url).set(database=name).render_as_string(hide_password=False)
    with translated(get_name(admin.url)), admin.connect() as connection:
        may_create = connection.exec_driver_sql(
            "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ).scalar_one()
        if not may_create:
            raise DatabaseError(
                "Verifying makes the schema a second time to compare with, and this role may not"
                " create a database.",
                remedy="Grant it CREATEDB, or name an empty database with --scratch.",
            )
        with keeping_roles(connection):
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
            try:
                yield _make_schema(scratch, revision)
            finally:
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _make_schema(url: str, revision: str) -> Engine:
    if revision == migrate.list_revisions()[-1]:
        migrate.require_schema(url)  # with the months ahead
    else:
        migrate.upgrade(url, revision)
    return make_engine(url, is_pooled=False)


@contextmanager
def keeping_roles(connection: Connection) -> Iterator[None]:
    """Roles are the server's: one that was missing, and that the migrations made, goes again."""
    roles = set(list_roles(connection))
    memberships = set(connection.execute(_MEMBERSHIPS, {"roles": list(OUR_ROLES)}).scalars())
    try:
        yield
    finally:
        after = connection.execute(_MEMBERSHIPS, {"roles": list(OUR_ROLES)}).scalars()
        statements = [f"REVOKE {role} FROM CURRENT_USER" for role in set(after) - memberships]
        statements += [f"DROP ROLE {role}" for role in set(list_roles(connection)) - roles]
        for statement in statements:
            with suppress(DBAPIError):  # another upgrade on this server has begun to use it
                connection.exec_driver_sql(statement)


def _require_empty(url: str) -> None:
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)), engine.connect() as connection:
        tables = sorted(name for _, name in read_items(connection, "table"))
    if tables:
        raise DatabaseError(
            f"The scratch database {get_name(engine.url)} holds {', '.join(tables[:3])}.",
            remedy="Name an empty one.",
        )
