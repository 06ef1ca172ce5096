"""The whole database in one file, and back from it.

Dump, counts and hashes come from one exported snapshot, so that they agree while others write. A
restore is one transaction of psql: what pg_restore prints, then the same counts and hashes read
again, and the COMMIT only when they agree. Whatever fails before leaves the target as it was.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import psycopg

from optiinfra.database import migrate
from optiinfra.database.address import get_name, parse_url
from optiinfra.database.archive import (
    CHUNK_BYTES,
    DumpFile,
    Manifest,
    RoleNeeded,
    read_archive,
    writing_archive,
)
from optiinfra.database.contents import fix_settings, hash_copy, list_copies, refuse_filtered
from optiinfra.database.driver import connecting
from optiinfra.database.programs import Program
from optiinfra.database.restoration import restore_into
from optiinfra.domain.errors import ConflictError, DatabaseError, InputError

BACKUP_ROLE: Final = "optiinfra_backup"
VERSIONS_A_MAJOR: Final = 10_000  # server_version_num is 180004 for 18.4
# Roles that own or are named by anything in this database; those of the system are not listed.
_ROLES: Final = """
    SELECT r.rolname, bool_or(d.deptype = 'o'), r.rolbypassrls
    FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
    JOIN pg_database b ON b.oid = d.dbid AND b.datname = current_database()
    WHERE d.refclassid = 'pg_authid'::regclass GROUP BY r.oid, r.rolname, r.rolbypassrls ORDER BY 1
"""
_OBJECTS: Final = """
    WITH ours AS (
        SELECT oid, nspname FROM pg_namespace
        WHERE left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema')
    SELECT relname FROM pg_class JOIN ours ON ours.oid = relnamespace
    UNION SELECT typname FROM pg_type JOIN ours ON ours.oid = typnamespace
          WHERE typtype IN ('e', 'd')
    UNION SELECT proname FROM pg_proc JOIN ours ON ours.oid = pronamespace
    UNION SELECT nspname FROM ours WHERE nspname <> 'public'
    ORDER BY 1 LIMIT 3
"""
_MAY_OWN: Final = """
    SELECT count(*) = cardinality(%s::text[])
    FROM pg_roles r WHERE r.rolname = ANY (%s) AND pg_has_role(r.oid, 'MEMBER')
"""


def backup(url: str, path: Path, *, bin_dir: Path) -> Manifest:
    """Write the database to `path`, whole or not at all; what the file holds.

    `bin_dir` has PostgreSQL's client programs, no older than the server. The file is not encrypted
    and only its owner may read it; the key of sensitive values is not in it. Raises DatabaseError
    for a role that would not see every row, InputError for a file that cannot be written.
    """
    revision = migrate.current(url)
    if revision is None:
        raise DatabaseError(
            f"The database {get_name(parse_url(url))} holds no schema of OptiInfra.",
            remedy="Check OPTIINFRA_DATABASE_URL.",
        )
    with writing_archive(path) as archive, connecting(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        fix_settings(connection)
        role = _find_role(connection)
        if role is not None:
            connection.execute(f"SET LOCAL ROLE {role}".encode())
        refuse_filtered(connection)
        snapshot, taken_at = _fetch_row(connection, "SELECT pg_export_snapshot(), now()")
        # Reading a table locks it against changes of its shape until the dump has been taken.
        tables = {
            name: hash_copy(connection, copy) for name, copy in list_copies(connection).items()
        }
        _dump(url, archive.dump, bin_dir=bin_dir, snapshot=snapshot, role=role)
        roles = {
            name: RoleNeeded(is_owner=is_owner, is_bypassing_row_security=is_bypassing)
            for name, is_owner, is_bypassing in connection.execute(_ROLES)
        }
        (stated,) = _fetch_row(connection, "SELECT version_num FROM public.alembic_version")
        archive.manifest = Manifest(
            taken_at=taken_at,
            revision=stated,
            server_version_num=connection.info.server_version,
            dump_bytes=archive.dump.num_bytes,
            dump_sha256=archive.dump.sha256,
            tables=tables,
            roles=roles,
        )
    return archive.manifest


def restore(path: Path, url: str, *, bin_dir: Path, is_replacing: bool = False) -> Manifest:
    """Put what `path` holds into the database and check it there; what the file holds.

    The file is read to its end and checked before the target is touched. A target that holds
    anything is refused unless `is_replacing`: then what it holds is dropped in the same
    transaction. Roles that the backup names and the server lacks are made, without login. Where the
    user may not act as the former owners, it owns everything itself.
    """
    archive = read_archive(path)
    manifest = archive.manifest
    if manifest.revision not in migrate.list_revisions():
        raise InputError(
            f"the backup has schema revision {manifest.revision!r}, which this version of OptiInfra"
            f" does not know; its newest is {migrate.list_revisions()[-1]!r}.",
            remedy="Restore it with the newer OptiInfra that made it. Nothing was changed.",
            file=str(path),
        )
    with connecting(url) as connection:
        _check_version(connection, manifest, url)
        held = [row[0] for row in connection.execute(_OBJECTS)]
        if held and not is_replacing:
            raise ConflictError(
                f"The database {get_name(parse_url(url))} is not empty: it holds"
                f" {', '.join(held)} and perhaps more.",
                remedy="Restore into an empty database, or ask for what it holds to be replaced.",
            )
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        owners = [name for name, role in manifest.roles.items() if role.is_owner]
        (may_own,) = _fetch_row(connection, _MAY_OWN, (owners, owners))
        major = connection.info.server_version // VERSIONS_A_MAJOR
    missing = {
        name: role
        for name, role in manifest.roles.items()
        if name not in known and not role.is_owner
    }
    restore_into(
        url,
        archive,
        bin_dir=bin_dir,
        missing_roles=missing,
        is_keeping_owners=may_own,
        is_replacing=bool(held),
        major=major,
    )
    return manifest


def _check_version(connection: psycopg.Connection, manifest: Manifest, url: str) -> None:
    target = connection.info.server_version // VERSIONS_A_MAJOR
    source = manifest.server_version_num // VERSIONS_A_MAJOR
    if target < source:
        raise DatabaseError(
            f"The backup is from PostgreSQL {source}; {get_name(parse_url(url))} is {target}.",
            remedy=f"Restore into PostgreSQL {source} or newer. Nothing was changed.",
        )


def _find_role(connection: psycopg.Connection) -> str | None:
    """The role to act as where row-level security would filter who connected.

    BYPASSRLS is no right that members of a role have by themselves: they must set it.
    """
    (is_needed,) = _fetch_row(
        connection,
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s AND pg_has_role(oid, 'MEMBER'))"
        " AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)"
        " AND EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND row_security_active(oid))",
        (BACKUP_ROLE,),
    )
    return BACKUP_ROLE if is_needed else None


def _dump(url: str, dump: DumpFile, *, bin_dir: Path, snapshot: str, role: str | None) -> None:
    arguments = ["pg_dump", "--format=custom", "--no-password", f"--snapshot={snapshot}"]
    arguments += [f"--role={role}"] if role is not None else []
    with (
        tempfile.TemporaryFile() as errors,
        Program(bin_dir, arguments, errors=errors, url=url) as program,
    ):
        while chunk := program.output.read(CHUNK_BYTES):
            dump.write(chunk)
        program.finish()


def _fetch_row(
    connection: psycopg.Connection, query: str, values: tuple[object, ...] | None = None
) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query.encode(), values).fetchone()
    assert row is not None, "a query that always answers"  # noqa: S101
    return row
