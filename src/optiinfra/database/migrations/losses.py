"""What a downgrade would lose, asked of all its steps before the first one runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from optiinfra.database.migrations.operations import Loss, find_losses
from optiinfra.domain.errors import DatabaseError

# By revision, what it made; the ways back of these five are fixed and drop it unasked.
FIRST_TABLES: Final = {
    "001_core_schema": ("customers", "agents"),  # the others cannot be without a row of these
    "002_agent_state_tables": (
        "agent_configs", "agent_states", "agent_capabilities", "agent_metrics",
    ),
    "003_workflow_history": ("workflow_executions",),
    "004_resource_schema": ("resource_metrics", "scaling_events"),
    "005_application_schema": ("quality_metrics", "quality_baselines"),
}  # fmt: skip


def refuse_losing(
    connection: Connection, script: ScriptDirectory, *, current: str, target: str, is_accepted: bool
) -> None:
    """Raise DatabaseError, naming all of it, when going back from `current` to `target` loses rows.

    Accepted or not, raise too where one of the steps is not possible at all.
    """
    obstacles = list(_list_asked(script, "OBSTACLES", current=current, target=target))
    found = find_losses(connection, obstacles)
    if found:
        raise DatabaseError(
            f"Going back to {target} is not possible with {'; '.join(found)}.",
            remedy="Nothing was changed. Remove them first, or go back less far.",
        )
    if is_accepted:
        return
    losses = list(_list_asked(script, "LOSSES", current=current, target=target))
    found = find_losses(connection, losses)
    if found:
        raise DatabaseError(
            f"Going back to {target} would lose {'; '.join(found)}.",
            remedy="Nothing was changed. Make a backup, then accept the loss: `--accept-loss`.",
        )


def _list_asked(script: ScriptDirectory, name: str, *, current: str, target: str) -> Iterator[Loss]:
    for step in script.iterate_revisions(current, target):
        yield from getattr(step.module, name, ())
        if name == "LOSSES":
            for table in FIRST_TABLES.get(step.revision, ()):
                yield Loss(f"SELECT FROM {table}", f"{table} with its rows")
