"""The whole comparison of a live database.

What the models cannot hold (policies, grants, triggers, functions, partitioning, settings of
tables) is compared with a schema made by the same migrations in a database of its own on the same
server, dropped again afterwards. A list kept in code would have to be written anew with every
revision and for every version of PostgreSQL, since versions print definitions differently; a
schema made just now cannot be out of date and is printed by the same server. Where the role may not
create a database, any empty one will do (`scratch_url`).
"""

from __future__ import annotations

from sqlalchemy import Connection

from optiinfra.database import migrate
from optiinfra.database.address import get_name
from optiinfra.database.catalogue import Catalogue, read_catalogue
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated
from optiinfra.database.verification.comparison import compare_catalogues
from optiinfra.database.verification.difference import NONE, Difference
from optiinfra.database.verification.modelled import compare_models
from optiinfra.database.verification.scratch import making_schema


def verify(url: str, *, scratch_url: str | None = None) -> list[Difference]:
    """Every difference, in order; an empty list means that the schema is this program's.

    Changes nothing in the database. A database of an older revision is compared with that revision
    and the revision is one difference; one without a revision of ours is only that.
    """
    engine = make_engine(url, is_pooled=False)
    newest = migrate.list_revisions()[-1]
    with translated(get_name(engine.url)), engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        live = read_catalogue(connection)
    known = [revision for revision in live.revisions if revision in migrate.list_revisions()]
    differences: list[Difference] = []
    if newest not in live.revisions:
        found = " and ".join(live.revisions) or NONE
        differences.append(Difference("schema", "revision", "number", newest, found))
    if not known:
        return differences
    with making_schema(url, scratch_url, known[-1]) as scratch, scratch.connect() as connection:
        differences += compare_catalogues(read_catalogue(connection), live)
        if known[-1] == newest:
            differences += compare_models(connection)
        connection.rollback()
    return sorted(set(differences))


def compare_catalogue(connection: Connection, expected: Catalogue) -> list[Difference]:
    """Every difference of the schema that the connection sees from another one."""
    return compare_catalogues(expected, read_catalogue(connection))
