"""The schema of the metric store, moved forward file by file.

ClickHouse has no transactions over definitions, so every statement of a file may be repeated, and
a file counts as applied when its row in `schema_migrations` is there. An applied file is never
edited: its digest is kept and compared.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from optiinfra.domain.errors import StoreError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_NAME = re.compile(r"(\d{3})_\w+\.sql")
_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt16,
    name String,
    digest String,
    applied_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of statements."""

    version: int
    name: str
    statements: tuple[str, ...]
    digest: str


def list_migrations() -> list[Migration]:
    """All that this release knows, in order."""
    found = []
    for file in (files("optiinfra.adapters.clickhouse") / "migrations").iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if not line.startswith("--")]
            statements = [part.strip() for part in "\n".join(lines).split(";\n")]
            found.append(
                Migration(
                    version=int(match[1]),
                    name=file.name.removesuffix(".sql"),
                    statements=tuple(part.rstrip(";") for part in statements if part.strip(";")),
                    digest=hashlib.sha256(text.encode()).hexdigest(),
                )
            )
    return sorted(found, key=lambda migration: migration.version)


def migrate(client: Client) -> list[str]:
    """Apply what is missing; the names of what was applied now. Raises StoreError.

    Two that migrate at once do the same statements, each of which may be repeated.
    """
    applied = _read_applied(client)
    known = list_migrations()
    newer = sorted(set(applied) - {migration.version for migration in known})
    if newer:
        raise StoreError(
            f"The metric store has migration {newer[-1]}, which this release does not know.",
            remedy="Install the release that made it.",
        )
    done = []
    for migration in known:
        if migration.version in applied:
            if applied[migration.version] != migration.digest:
                raise StoreError(
                    f"Migration {migration.name} was applied to the metric store in another form.",
                    remedy="Install the release that applied it, or start with an empty database.",
                )
            continue
        for statement in migration.statements:
            client.command(statement)
        client.insert(
            "schema_migrations",
            [[migration.version, migration.name, migration.digest]],
            column_names=["version", "name", "digest"],
        )
        done.append(migration.name)
    return done


def find_version(client: Client) -> int:
    """The newest applied migration; 0 where there is none."""
    return max(_read_applied(client), default=0)


def _read_applied(client: Client) -> dict[int, str]:
    client.command(_HISTORY)
    rows = client.query("SELECT version, digest FROM schema_migrations FINAL").result_rows
    return {int(version): str(digest) for version, digest in rows}
