"""A write that reaches PostgreSQL's log on disk, and a read of a row; nothing stays."""

from __future__ import annotations

import secrets

from sqlalchemy import text

from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated
from optiinfra.domain.errors import DatabaseError


def probe(url: str) -> str:
    """The server's version, after it wrote and read back. Raises DatabaseError."""
    word = secrets.token_hex(8)
    engine = make_engine(url, is_pooled=False)
    with translated("PostgreSQL"), engine.connect() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = on"))  # whatever the server has
        connection.execute(text("CREATE TEMPORARY TABLE probe (word text) ON COMMIT DROP"))
        connection.execute(text("INSERT INTO probe VALUES (:word)"), {"word": word})
        found = connection.scalar(text("SELECT word FROM probe"))
        written_at = connection.scalar(
            text("SELECT pg_logical_emit_message(true, 'optiinfra', :word)"), {"word": word}
        )
        version = str(connection.scalar(text("SHOW server_version")))
        connection.commit()
        is_written = connection.scalar(
            text("SELECT pg_current_wal_flush_lsn() >= CAST(:at AS pg_lsn)"), {"at": written_at}
        )
    if found != word or not is_written:
        raise DatabaseError(
            "PostgreSQL did not give back what was written.",
            remedy="Look at its log and its disk.",
        )
    return version.split(maxsplit=1)[0]
