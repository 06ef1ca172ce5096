"""Whether the histories of workflow states are whole: no row altered, none missing, none cut off.

A hash covers the one before it, so that a row that was changed or taken out breaks the chain; a
chain whose end was cut off no longer says what the execution or its step says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from optiinfra.database.address import get_name
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated

MAX_FOUND: Final = 1_000
_BROKEN: Final = text("""
    WITH chain AS (
        SELECT t, t.execution_id, t.seq, t.prev_hash, t.hash,
               row_number() OVER own AS number, lag(t.hash) OVER own AS hash_before
        FROM workflow_state_transitions t
        WINDOW own AS (PARTITION BY t.execution_id ORDER BY t.seq)
    ), found AS (
        SELECT execution_id, 'transition ' || min(number) || ' is missing or was altered' AS what
        FROM chain
        WHERE seq <> number OR hash <> hash_workflow_transition(t)
           OR prev_hash <> coalesce(hash_before, decode(repeat('00', 32), 'hex'))
        GROUP BY 1
        UNION ALL
        SELECT e.id, 'it is ' || e.status::text || ', its history ends as '
                     || coalesce(last.new_status, 'nothing')
        FROM workflow_executions e LEFT JOIN LATERAL (
            SELECT t.new_status FROM workflow_state_transitions t
            WHERE t.execution_id = e.id AND t.step_id IS NULL ORDER BY t.seq DESC LIMIT 1
        ) last ON true
        WHERE last.new_status IS DISTINCT FROM e.status::text
        UNION ALL
        SELECT s.workflow_execution_id, 'step ' || s.step_order || ' is ' || s.status::text
                     || ', its history ends as ' || coalesce(last.new_status, 'nothing')
        FROM workflow_steps s LEFT JOIN LATERAL (
            SELECT t.new_status FROM workflow_state_transitions t
            WHERE t.execution_id = s.workflow_execution_id AND t.step_id = s.id
            ORDER BY t.seq DESC LIMIT 1
        ) last ON true
        WHERE last.new_status IS DISTINCT FROM s.status::text
    )
    SELECT execution_id, what FROM found ORDER BY 1, 2 LIMIT :limit""")


@dataclass(frozen=True, slots=True)
class BrokenHistory:
    """An execution whose history is not what was written, and how that shows."""

    execution_id: UUID
    what: str

    def __str__(self) -> str:
        return f"workflow execution {self.execution_id}: {self.what}"


def find_broken_histories(connection: Connection, *, limit: int = MAX_FOUND) -> list[BrokenHistory]:
    """Executions whose history is broken, at most 1,000; empty when all are whole."""
    rows = connection.execute(_BROKEN, {"limit": min(limit, MAX_FOUND)})
    return [BrokenHistory(execution_id, what) for execution_id, what in rows]


def find_all(url: str) -> list[BrokenHistory]:
    """The same for the database of that URL, on a connection of its own."""
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)), engine.connect() as connection:
        return find_broken_histories(connection)
