"""Sessions that take turns: a lock on a name, held until the transaction ends."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def take_turn(session: Session, *names: object) -> None:
    """Wait until no other transaction holds the turn of these names; PostgreSQL ends the wait.

    Two names may share a turn by accident of their hash; that costs a wait and nothing else.
    """
    key = "\x1f".join(str(name) for name in names)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
