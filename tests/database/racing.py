"""Two sessions that want the same: the second begins while the first has not committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from optiinfra.database.engine import Database

PATIENCE_S = 30.0
WAITING = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'""")
Call = Callable[[Session], Any]


def race(database: Database, first: Call, second: Call) -> tuple[Any, Any]:
    """What each call returned or raised.

    The first has written and not committed when the second begins, and commits once the second
    waits for it or is done without waiting: the worst moment, every time.
    """
    outcomes: list[Any] = [None, None]
    has_written, may_commit, is_done = threading.Event(), threading.Event(), threading.Event()

    def run_first() -> None:
        try:
            with database.transaction() as session:
                outcomes[0] = first(session)
                has_written.set()
                may_commit.wait(PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            outcomes[0] = error
        finally:
            has_written.set()

    def run_second() -> None:
        try:
            has_written.wait(PATIENCE_S)
            with database.transaction() as session:
                outcomes[1] = second(session)
        except Exception as error:  # noqa: BLE001
            outcomes[1] = error
        finally:
            is_done.set()

    threads = [threading.Thread(target=run) for run in (run_first, run_second)]
    for thread in threads:
        thread.start()
    has_written.wait(PATIENCE_S)
    while not is_done.wait(0.002) and not _is_waiting(database):
        pass
    may_commit.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    return outcomes[0], outcomes[1]


def _is_waiting(database: Database) -> bool:
    with database.reading() as session:
        return bool(session.scalar(WAITING))
