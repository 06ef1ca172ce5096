"""Bring a database to the schema of this program, or say why that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from optiinfra.database import partitions
from optiinfra.database.address import get_name
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import get_sqlstate, translated
from optiinfra.domain.errors import DatabaseError

if TYPE_CHECKING:  # takes a tenth of a second to import, and is not needed where nothing is to do
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "head"
_UNDEFINED_TABLE = "42P01"
IS_OWNER = """
    SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
    WHERE oid = 'public.events'::regclass"""


@cache
def list_revisions() -> tuple[str, ...]:
    """Ids of all revisions, oldest first: they are the names of their files, and sort by number."""
    return tuple(sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py")))


def current(url: str) -> str | None:
    """The revision of the database; None where no revision was ever applied."""
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)):
        return _fetch_revision(engine)


def upgrade(url: str, revision: str = HEAD) -> None:
    """Apply the revisions up to `revision`; several processes may call it at once.

    Raises DatabaseError when the database cannot be reached, is locked, or holds tables in our way.
    The revision that failed is not applied: it has left nothing behind, or, where it builds indexes
    beside writers, goes on from there when it is run again.
    """
    from alembic import command

    _run_alembic(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str, *, accept_loss: bool = False) -> None:
    """Undo the revisions after `revision`, newest first; `base` undoes all.

    Raises DatabaseError where one of them would lose rows or values, unless the loss is accepted:
    all are asked before the first is undone, so that a refusal leaves everything as it was.
    """
    from alembic import command

    _run_alembic(
        url,
        lambda config: command.downgrade(config, revision),
        downgrade_to=revision,
        accept_loss=accept_loss,
    )


def require_schema(url: str) -> None:
    """Make sure that the database has this program's schema: an older or empty one is upgraded.

    Raises DatabaseError for a revision that this program does not know, and touches nothing then.
    """
    engine = make_engine(url, is_pooled=False)
    name = get_name(engine.url)
    with translated(name):
        revision = _fetch_revision(engine)
    known = list_revisions()
    if revision == known[-1]:
        with translated(name):
            _create_partitions(engine)
        return
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"The database {name} has schema revision {revision!r}, which this version of OptiInfra"
            f" does not know; its newest is {known[-1]!r}.",
            remedy="Install the newer OptiInfra that made it, or name another database in"
            " OPTIINFRA_DATABASE_URL. Nothing was changed.",
        )
    upgrade(url)
    with translated(name):
        _create_partitions(engine)


def find_partition_alarm(url: str) -> datetime | None:
    """Until when there are partitions, where that is nearer than partitions.ALARM."""
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)), engine.connect() as connection:
        now: datetime = connection.exec_driver_sql("SELECT now()").scalar_one()
        return partitions.find_alarm(connection, now=now)


def _create_partitions(engine: Engine) -> None:
    """Months ahead by the server's clock; who may not create tables leaves it to who may."""
    with engine.connect() as connection:
        now: datetime = connection.exec_driver_sql("SELECT now()").scalar_one()
        is_owner = connection.exec_driver_sql(IS_OWNER).scalar_one()
    if is_owner:
        partitions.create_ahead(engine, until=now + partitions.AHEAD)


def _fetch_revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except ProgrammingError as error:
        if get_sqlstate(error.orig or error) == _UNDEFINED_TABLE:
            return None
        raise


def _run_alembic(
    url: str,
    command: Callable[[Config], None],
    *,
    downgrade_to: str | None = None,
    accept_loss: bool = False,
) -> None:
    from alembic.config import Config

    engine = make_engine(url, is_pooled=False)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["engine"] = engine
    config.attributes["downgrade_to"] = downgrade_to
    config.attributes["accept_loss"] = accept_loss
    with translated(get_name(engine.url)):
        command(config)
