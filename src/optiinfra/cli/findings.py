"""What upgrades mended or set aside, for the terminal and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiinfra.database.models import MigrationFinding

WORDS = {"mended": "mended", "quarantined": "set aside"}


@contextmanager
def reporting(url: str) -> Iterator[list[str]]:
    """Lines on what an upgrade within the block did to rows; filled although the block raises."""
    from optiinfra.database.engine import Database
    from optiinfra.database.repositories.migration_findings import MigrationFindings
    from optiinfra.domain.errors import DatabaseError

    lines: list[str] = []
    with Database(url) as database:
        with database.reading() as session:
            last_id = MigrationFindings(session).find_last_id()
        try:
            yield lines
        finally:
            with suppress(DatabaseError), database.reading() as session:
                for count in MigrationFindings(session).count_after(last_id):
                    rows = "1 row" if count.num_rows == 1 else f"{count.num_rows:,} rows"
                    lines.append(f"{count.revision}: {rows} {WORDS[count.action]}: {count.rule}")
            if lines:
                lines.append("`optiinfra db findings` lists them as they were.")


def describe(finding: MigrationFinding) -> str:
    """One line, without what the row held."""
    return (
        f"{finding.id}  {finding.revision}  {finding.table_name} {finding.row_id}"
        f"  {WORDS[finding.action]}: {finding.rule}"
    )


def to_json(findings: list[MigrationFinding], *, next_after: int | None) -> str:
    """A page with all that each row held, and where the next one begins."""
    items = [
        {
            "id": finding.id,
            "revision": finding.revision,
            "table": finding.table_name,
            "row_id": str(finding.row_id),
            "customer_id": None if finding.customer_id is None else str(finding.customer_id),
            "action": finding.action,
            "rule": finding.rule,
            "found_at": finding.found_at.isoformat(),
            "row_before": finding.row_before,
        }
        for finding in findings
    ]
    return json.dumps({"findings": items, "next_after": next_after}, indent=2)
