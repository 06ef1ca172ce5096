"""The one transaction by which a backup becomes a database."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from psycopg import sql

from optiinfra.database.archive import CHUNK_BYTES, Archive, RoleNeeded, TableContent
from optiinfra.database.contents import COPIES, SETTINGS, hash_rows
from optiinfra.database.programs import Program
from optiinfra.domain.errors import DatabaseError, InputError

_PSQL: Final = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
_PREAMBLE_LINES: Final = 60
# Newer programs than the server set what it does not know; nothing of ours depends on it.
_SINCE_17: Final = b"SET transaction_timeout = 0;\n"
_TRANSACTION_TIMEOUT_SINCE: Final = 17
# Everything goes, and `public` comes back as PostgreSQL makes it in a new database.
_CLEAR: Final = """
DO $clear$ DECLARE schema name; BEGIN
    FOR schema IN SELECT nspname FROM pg_namespace
        WHERE left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', schema); END LOOP;
    CREATE SCHEMA public;
    ALTER SCHEMA public OWNER TO pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    COMMENT ON SCHEMA public IS 'standard public schema';
END $clear$;
"""


class Restoration:
    """psql in one transaction; gone without a trace unless `commit` was called."""

    def __init__(self, psql: Program) -> None:
        self._psql = psql
        self._mark = f"end of {secrets.token_hex(16)}"

    def send(self, script: bytes) -> None:
        """Hand over a part of the script."""
        try:
            self._psql.input.write(script)
        except BrokenPipeError:
            self._psql.process.wait()
            raise self._psql.make_error() from None

    def ask(self, copy: str) -> Iterator[bytes]:
        """The rows of a COPY, once all that was sent before has been done."""
        self.send(f"{copy};\n{self._make_mark()}".encode())
        yield from self._read_to_mark()

    def settle(self) -> None:
        """Wait until all that was sent has been done."""
        self.send(self._make_mark().encode())
        for _ in self._read_to_mark():
            pass  # what functions in the script returned

    def commit(self) -> None:
        """Make it last."""
        self.send(b"COMMIT;\n")
        with suppress(BrokenPipeError):
            self._psql.input.close()
        self._psql.finish()

    def _make_mark(self) -> str:
        return f"COPY (SELECT '{self._mark}') TO STDOUT;\n"

    def _read_to_mark(self) -> Iterator[bytes]:
        with suppress(BrokenPipeError):
            self._psql.input.flush()
        for line in self._psql.output:
            if line == f"{self._mark}\n".encode():
                return
            yield line
        self._psql.process.wait()
        raise self._psql.make_error()


def restore_into(
    url: str,
    archive: Archive,
    *,
    bin_dir: Path,
    missing_roles: Mapping[str, RoleNeeded],
    is_keeping_owners: bool,
    is_replacing: bool,
    major: int,
) -> None:
    """Restore, check and commit; nothing of it happened when an error is raised."""
    with (
        tempfile.TemporaryFile() as errors,
        Program(bin_dir, _PSQL, errors=errors, url=url, has_input=True) as psql,
    ):
        restoration = Restoration(psql)
        restoration.send(b"BEGIN;\n" + (_CLEAR.encode() if is_replacing else b""))
        for name, role in missing_roles.items():
            bypass = " BYPASSRLS" if role.is_bypassing_row_security else ""
            quoted = sql.Identifier(name).as_string(None)
            restoration.send(f"CREATE ROLE {quoted} NOLOGIN{bypass};\n".encode())
        _send_dump(restoration, archive, bin_dir, major, is_keeping_owners=is_keeping_owners)
        restoration.settle()
        _check(restoration, archive.manifest.tables)
        restoration.commit()


def _send_dump(
    restoration: Restoration,
    archive: Archive,
    bin_dir: Path,
    major: int,
    *,
    is_keeping_owners: bool,
) -> None:
    arguments = ["pg_restore", "--format=custom", "--exit-on-error", "--file=-"]
    if not is_keeping_owners:
        arguments.append("--no-owner")
    with (
        tempfile.TemporaryFile() as errors,
        Program(bin_dir, arguments, errors=errors, has_input=True) as program,
    ):
        failures: list[InputError | OSError] = []
        feeder = threading.Thread(target=_feed, args=(program, archive, failures))
        feeder.start()
        try:
            for number, line in enumerate(program.output):
                is_unknown = major < _TRANSACTION_TIMEOUT_SINCE and line == _SINCE_17
                restoration.send(b"" if is_unknown else line)
                if number == _PREAMBLE_LINES:
                    break
            while chunk := program.output.read(CHUNK_BYTES):
                restoration.send(chunk)
        except BaseException:
            program.process.kill()  # or the feeder would wait for it
            raise
        finally:
            feeder.join()
        program.finish()
        for failure in failures:
            raise failure


def _feed(program: Program, archive: Archive, failures: list[InputError | OSError]) -> None:
    try:
        for chunk in archive.read_dump():
            program.input.write(chunk)
    except BrokenPipeError:
        pass  # it ended early; its own words say why
    except (InputError, OSError) as error:
        failures.append(error)
    with suppress(BrokenPipeError):
        program.input.close()


def _check(restoration: Restoration, expected: Mapping[str, TableContent]) -> None:
    """Count and hash the restored rows. Raises DatabaseError where they are not the dump's."""
    for name, value in SETTINGS.items():
        restoration.send(f"SET LOCAL {name} = '{value}';\n".encode())
    copies = dict(
        line.decode().rstrip("\n").split("\t", 1) for line in restoration.ask(_list_statement())
    )
    found = {name: hash_rows(restoration.ask(copy)) for name, copy in copies.items()}
    wrong = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if wrong:
        raise DatabaseError(
            f"What was restored is not what was backed up: {', '.join(wrong)} differ.",
            remedy="Nothing was changed. Use another backup, and report this one.",
        )


def _list_statement() -> str:
    return f"COPY ({COPIES}) TO STDOUT"
