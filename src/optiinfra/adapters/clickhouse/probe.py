"""A row written to ClickHouse and read back; it is removed with its day."""

from __future__ import annotations

from uuid import uuid4

from optiinfra.adapters.clickhouse.connection import connect, describe, translated
from optiinfra.domain.errors import StoreError

_TABLE = """
CREATE TABLE IF NOT EXISTS health_checks (id UUID, checked_at DateTime('UTC') DEFAULT now('UTC'))
ENGINE = MergeTree ORDER BY checked_at TTL checked_at + INTERVAL 1 DAY
"""


def probe(url: str) -> str:
    """The server's version, after it wrote and read back. Raises StoreError."""
    client = connect(url)
    try:
        with translated(url):
            client.command(_TABLE)
            word = uuid4()
            client.insert("health_checks", [[word]], column_names=["id"])
            found = client.query(
                "SELECT count() FROM health_checks WHERE id = {word:UUID}",
                parameters={"word": str(word)},
            ).result_rows
            version = str(client.command("SELECT version()"))
    finally:
        client.close()
    if found != [(1,)]:
        raise StoreError(
            f"ClickHouse at {describe(url)} did not give back what was written.",
            remedy="Look at its log and its disk.",
        )
    return version
