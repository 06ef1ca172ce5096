"""Histories begin: executions and steps from before revision 014 get the first row of theirs.

From here on each has one, so that a history that is gone altogether is found like one that was cut
(database/histories.py). In batches, each under the locks of its executions, beside whoever changes
others. There is no way back: what was appended stays.
"""

from alembic import op
from sqlalchemy import text

from optiinfra.database.migrations.operations import autocommit

revision = "032_histories_begin"
down_revision = "031_capability_isolation"
branch_labels = None
depends_on = None

BATCH = 1_000
# The execution first, then its steps in order; the lock is that of a change of status.
APPEND = text("""
    WITH batch AS MATERIALIZED (
        SELECT e FROM workflow_executions e
        WHERE e.id > :after AND (
            NOT EXISTS (SELECT FROM workflow_state_transitions t
                        WHERE t.execution_id = e.id AND t.step_id IS NULL)
            OR EXISTS (SELECT FROM workflow_steps s
                       WHERE s.workflow_execution_id = e.id AND NOT EXISTS (
                           SELECT FROM workflow_state_transitions t
                           WHERE t.execution_id = e.id AND t.step_id = s.id)))
        ORDER BY e.id LIMIT :limit FOR NO KEY UPDATE OF e
    ), missing AS MATERIALIZED (
        SELECT e, (e).id AS execution_id, NULL::uuid AS step_id, (e).status::text AS status,
               -1 AS place
        FROM batch WHERE NOT EXISTS (
            SELECT FROM workflow_state_transitions t
            WHERE t.execution_id = (e).id AND t.step_id IS NULL)
        UNION ALL
        SELECT e, (e).id, s.id, s.status::text, s.step_order
        FROM batch JOIN workflow_steps s ON s.workflow_execution_id = (e).id
        WHERE NOT EXISTS (
            SELECT FROM workflow_state_transitions t
            WHERE t.execution_id = (e).id AND t.step_id = s.id)
    ), appended AS (
        SELECT append_workflow_transition(m.e, m.step_id, NULL, m.status)
        FROM (SELECT * FROM missing ORDER BY execution_id, place) m
    )
    SELECT max((e).id::text) FROM batch, (SELECT count(*) FROM appended) n""")


def upgrade() -> None:
    after: str | None = "00000000-0000-0000-0000-000000000000"
    with autocommit():
        while after is not None:
            values = {"after": after, "limit": BATCH}
            after = op.get_bind().execute(APPEND, values).scalar_one()


def downgrade() -> None:
    pass
