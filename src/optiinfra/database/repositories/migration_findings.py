"""What upgrades mended or set aside: counted, and listed in pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, raiseload

from optiinfra.database.models import MigrationFinding

MAX_PAGE: Final = 1000
_EXISTS: Final = text("SELECT to_regclass('public.migration_findings') IS NOT NULL")


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many rows a revision treated by one rule; `action` is mended or quarantined."""

    revision: str
    action: str
    rule: str
    num_rows: int


class MigrationFindings:
    """Every query on migration findings."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_last_id(self) -> int | None:
        """Of the latest finding; None where there is none, or no table for them yet."""
        if not self._session.scalar(_EXISTS):
            return None
        return self._session.scalar(select(func.max(MigrationFinding.id)))

    def count_after(self, last_id: int | None) -> list[FindingCount]:
        """What was found after a finding, in the order of revisions; works at every revision."""
        if not self._session.scalar(_EXISTS):
            return []
        kind = (MigrationFinding.revision, MigrationFinding.action, MigrationFinding.rule)
        query = (
            select(*kind, func.count())
            .where(MigrationFinding.id > (last_id or 0))
            .group_by(*kind)
            .order_by(*kind)
        )
        return [FindingCount(*row) for row in self._session.execute(query)]

    def list_page(self, *, after: int = 0, limit: int = 50) -> list[MigrationFinding]:
        """Findings in the order in which they were made, behind the one of id `after`."""
        query = (
            select(MigrationFinding)
            .where(MigrationFinding.id > after)
            .order_by(MigrationFinding.id)
            .limit(max(1, min(limit, MAX_PAGE)))
            .options(raiseload("*"))
        )
        return list(self._session.scalars(query))
