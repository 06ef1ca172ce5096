"""Value checks: money that is a number, secrets that are sealed, versions that can be ordered.

What breaks one is in migration_findings as it was. A version that is no semantic version is written
as the one that it means ("v2" is 2.0.0), or as a pre-release of 0.0.0 that sorts before all others.
"""

import hashlib
import re
from typing import NamedTuple

from alembic import op
from sqlalchemy import text

from optiinfra.database.migrations.operations import (
    add_validated,
    autocommit,
    drop_constraint,
    record_findings,
)

revision = "027_value_checks"
down_revision = "026_trusted_schema"
branch_labels = None
depends_on = None


class Check(NamedTuple):
    """A condition on the rows of a table, and a SET clause for those that break it, if any can."""

    table: str
    name: str
    condition: str
    mend: str | None = None
    rule: str = "what cannot be becomes unknown"


SEMVER = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
    r"(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$"
)
MONEY = {
    "recommendations": ("estimated_savings", "estimated_improvement"),
    "optimizations": ("actual_savings", "actual_improvement"),
}
CHECKS = (
    *(
        Check(table, f"check_{column}", f"{column} <> 'NaN'", f"{column} = NULL")
        for table, columns in MONEY.items()
        for column in columns
    ),
    Check("agent_configs", "check_sealed", "is_sensitive = (key_id IS NOT NULL)"),
    Check(
        "workflow_executions",
        "check_lease",
        "fence >= 0 AND (lease_owner IS NULL) = (lease_expires_at IS NULL)",
    ),
    Check("agent_capabilities", "check_capability_version", f"capability_version ~ '{SEMVER}'"),
)
NO_VERSION = f"NOT (t.capability_version ~ '{SEMVER}')"
# "v2", "2" and "2.1" mean a version.
MEANT = re.compile(r"[vV]?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?")


def find_version(written: str, taken: set[str]) -> str:
    """The semantic version that was meant, where it is not taken; else a pre-release of 0.0.0."""
    meant = MEANT.fullmatch(written.strip())
    if meant is not None:
        version = ".".join(str(int(part or 0)) for part in meant.groups())
        if version not in taken:
            return version
    return f"0.0.0-{hashlib.sha256(written.encode()).hexdigest()[:16]}"


def mend_versions() -> None:
    record_findings(
        revision, "agent_capabilities", NO_VERSION, rule="a version in order", action="mended"
    )
    connection = op.get_bind()
    query = text(f"""
        SELECT t.id, t.capability_version, ARRAY(
            SELECT o.capability_version FROM agent_capabilities o
            WHERE o.agent_id = t.agent_id AND o.capability_name = t.capability_name)
        FROM agent_capabilities t WHERE {NO_VERSION} ORDER BY t.created_at, t.id""")
    change = text("UPDATE agent_capabilities SET capability_version = :version WHERE id = :id")
    made: dict[frozenset[str], set[str]] = {}  # by the versions of one capability, what was given
    for id_, written, others in connection.execute(query).all():
        given = made.setdefault(frozenset(others), set())
        version = find_version(written, {*others, *given})
        given.add(version)
        connection.execute(change, {"id": id_, "version": version})


def upgrade() -> None:
    mend_versions()
    for check in CHECKS:
        if check.mend is not None:
            breaking = f"NOT ({check.condition})"
            record_findings(revision, check.table, breaking, rule=check.rule, action="mended")
            op.execute(f"UPDATE {check.table} t SET {check.mend} WHERE {breaking}")
    # Eight characters are most of a short key, or all of it.
    op.execute("UPDATE customers SET api_key_prefix = NULL WHERE is_api_key_weak")
    with autocommit():
        for check in CHECKS:
            add_validated(check.table, check.name, f"CHECK ({check.condition})")


def downgrade() -> None:
    for check in CHECKS:
        drop_constraint(check.table, check.name)
