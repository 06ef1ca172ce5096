"""A history that was altered, thinned out, cut off or removed is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tests.factories.core import NOW, make_agent, make_customer
from tests.factories.workflow_history import make_execution, make_step

from optiinfra.database import migrate
from optiinfra.database.engine import make_engine
from optiinfra.database.histories import find_broken_histories
from optiinfra.database.seeds import seed


def make_history(session: Session) -> None:
    """An execution and a step, each of which went on twice."""
    execution = make_execution(session, make_customer(session), make_agent(session))
    step = make_step(session, execution)
    for row in (execution, step):
        row.status = "running"  # type: ignore[assignment]
        session.flush()
        row.status, row.completed_at = "completed", NOW  # type: ignore[assignment]
        session.flush()


def test_histories_that_triggers_wrote_are_whole(session: Session) -> None:
    seed(session)
    make_history(session)
    assert find_broken_histories(session.connection()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE {t} SET new_status = 'failed' WHERE seq = 2", "transition 2 is missing or"),
        ("UPDATE {t} SET occurred_at = now() + interval '1 s' WHERE seq = 3", "transition 3 is"),
        ("DELETE FROM {t} WHERE seq = 2", "transition 2 is missing or was altered"),
        ("DELETE FROM {t} WHERE seq > 4", "step 1 is completed, its history ends as running"),
        ("DELETE FROM {t} WHERE seq > 2", "it is completed, its history ends as running"),
        ("DELETE FROM {t}", "it is completed, its history ends as nothing"),
    ],
)
def test_what_was_done_to_a_history_is_found(session: Session, change: str, words: str) -> None:
    make_history(session)
    assert find_broken_histories(session.connection()) == []
    session.execute(text("ALTER TABLE workflow_state_transitions DISABLE TRIGGER USER"))
    session.execute(text(change.format(t="workflow_state_transitions")))
    found = find_broken_histories(session.connection())
    assert any(words in str(broken) for broken in found), found


def test_rows_from_before_the_histories_get_the_first_row_of_theirs(
    make_database: Callable[..., str],
) -> None:
    url = make_database()
    migrate.upgrade(url, "013_checks")
    engine = make_engine(url, is_pooled=False)
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO agents (type, name) VALUES ('cost', 'a')",
            "INSERT INTO customers (name, email, api_key) VALUES ('n', 'e', 'k')",
            """INSERT INTO workflow_executions (agent_id, customer_id, workflow_type, status)
            SELECT a.id, c.id, 'cost_analysis', 'pending'
            FROM agents a, customers c, generate_series(1, 2500)""",
            """INSERT INTO workflow_steps (workflow_execution_id, step_name, step_order, status)
            SELECT id, 's', n, 'pending' FROM workflow_executions, generate_series(2, 1, -1) n""",
        ):
            connection.execute(text(statement))
    migrate.upgrade(url)
    with engine.begin() as connection:
        assert find_broken_histories(connection) == []
        count = text("""
            SELECT count(*), count(DISTINCT execution_id) FROM workflow_state_transitions""")
        assert tuple(connection.execute(count).one()) == (7500, 2500)
        order = text("""
            SELECT DISTINCT t.seq, s.step_order FROM workflow_state_transitions t
            LEFT JOIN workflow_steps s ON s.id = t.step_id ORDER BY 1""")
        assert connection.execute(order).all() == [(1, None), (2, 1), (3, 2)]
