"""What an administrator has to give our roles, where the owner of the tables is none.

An owner with CREATEROLE alone makes the roles of revision 020 but for what passes row-level
security. Until that is given, COPY as `optiinfra_ingest` and a backup are refused.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from optiinfra.database.address import get_name
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated

_SET_OPTION_SINCE: Final = 160_000
_MISSING: Final = """
    SELECT format('ALTER ROLE %%I BYPASSRLS;', rolname) FROM pg_roles
    WHERE rolname IN ('optiinfra_ingest', 'optiinfra_backup') AND NOT rolbypassrls
    UNION ALL
    SELECT 'GRANT pg_read_all_data TO optiinfra_backup;' FROM pg_roles
    WHERE rolname = 'optiinfra_backup' AND NOT pg_has_role(oid, 'pg_read_all_data', 'MEMBER')
    UNION ALL
    SELECT format('GRANT %%I TO %%I;', rolname, current_user) FROM pg_roles
    WHERE rolname IN ('optiinfra_app', 'optiinfra_worker', 'optiinfra_ingest', 'optiinfra_backup',
                      'optiinfra_purge')
      AND NOT pg_has_role(oid, '{kind}')
    ORDER BY 1"""


def list_missing_of(url: str) -> list[str]:
    """The same, of the database at this URL."""
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)), engine.connect() as connection:
        return list_missing(connection)


def list_missing(connection: Connection) -> list[str]:
    """Statements for an administrator, asked as the tables' owner; none where all is given."""
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    kind = "SET" if version >= _SET_OPTION_SINCE else "MEMBER"
    return list(connection.exec_driver_sql(_MISSING.format(kind=kind)).scalars())
