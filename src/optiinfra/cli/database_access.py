"""What every command of `optiinfra db` begins with: the database, a revision, a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_database(*, is_current: bool = False) -> Iterator[str]:
    """The URL of the database; with `is_current`, of one that has this program's schema."""
    from optiinfra import bootstrap
    from optiinfra.cli.settings import load_settings
    from optiinfra.database import migrate
    from optiinfra.domain.errors import DatabaseError

    with bootstrap.open_server(load_settings()) as url:
        if is_current and (revision := migrate.current(url)) != migrate.list_revisions()[-1]:
            raise DatabaseError(
                f"The database {name_database(url)} has schema revision {revision or 'none'}.",
                remedy="Run `optiinfra db upgrade` first. Nothing was changed.",
            )
        yield url


def name_database(url: str) -> str:
    """What messages call it: never with its password."""
    from optiinfra.database.address import get_name, parse_url

    return get_name(parse_url(url))


def find_revision(text: str, words: set[str]) -> str:
    """The revision that begins like this; its number is enough."""
    from optiinfra.database import migrate
    from optiinfra.domain.errors import InputError

    found = [revision for revision in migrate.list_revisions() if revision.startswith(text)]
    if text in words:
        return text
    if len(found) != 1 or not text:
        raise InputError(
            f"{text!r} names {len(found)} revisions.",
            remedy=f"Give one of {', '.join((*sorted(words), *migrate.list_revisions()))}.",
            field="REVISION",
        )
    return found[0]


def read_key(path: Path) -> bytes:
    """The key of `anonymize`; InputError where it cannot be read or is too short."""
    from optiinfra.database.anonymization import MIN_KEY_BYTES
    from optiinfra.domain.errors import InputError

    try:
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the key cannot be read: {error.strerror}.", remedy="Check it.", file=str(path)
        ) from error
    if len(key) < MIN_KEY_BYTES:
        raise InputError(
            f"the key has {len(key)} bytes.", remedy=f"Use {MIN_KEY_BYTES} or more.", file=str(path)
        )
    return key
