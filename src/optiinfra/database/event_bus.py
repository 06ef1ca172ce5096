"""The event bus in PostgreSQL: an outbox, a log in order, claims of groups, NOTIFY to wake."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from optiinfra.database import event_statements as statements
from optiinfra.database.engine import Database, Role
from optiinfra.database.listening import Listener
from optiinfra.database.repositories.event_outbox import CHANNEL, EventOutbox, notify, pack
from optiinfra.domain.errors import NotFoundError
from optiinfra.kit.time import require_utc
from optiinfra.ports.event_bus import (
    ALONE_AFTER,
    END,
    MAX_ATTEMPTS,
    START,
    Delivery,
    Envelope,
    GroupState,
    check_batch,
    check_claim,
    check_limit,
    check_name,
    decode,
    make_position_error,
)

_PRUNED_AT_ONCE: Final = 10_000
_MAX_POSITION: Final = (1 << 63) - 1


class PostgresEventBus:
    """See EventBus. Positions are whole numbers; threads may share it."""

    def __init__(self, url: str, *, role: Role | None = Role.WORKER) -> None:
        self._database = Database(url)
        self._listener = Listener(url, CHANNEL)
        self._role = role

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """See EventBus; within a transaction of one's own, use EventOutbox instead."""
        check_batch(len(envelopes), what="events")
        if envelopes:
            with self._database.transaction(role=self._role) as session:
                if self._role is Role.APP or not _append_at_once(session, envelopes):
                    EventOutbox(session).append(envelopes)

    def create_group(self, name: str, *, after: str = END) -> bool:
        """See EventBus."""
        check_name(name, what="group")
        with self._database.transaction(role=self._role) as session:
            position = _find_position(session, after)
            values = {"name": name, "position": position}
            return _execute(session, statements.CREATE_GROUP, values) == 1

    def remove_group(self, name: str) -> bool:
        """See EventBus."""
        with self._database.transaction(role=self._role) as session:
            row = session.execute(statements.LOCK_GROUP, {"name": name}).one_or_none()
            if row is None:
                return False
            session.execute(statements.REMOVE_CLAIMS, {"group": row.id})
            return _execute(session, statements.REMOVE_GROUP, {"group": row.id}) == 1

    def claim(
        self,
        group: str,
        consumer: str,
        *,
        limit: int = 100,
        redeliver_after_s: float = 60.0,
        wait_s: float = 0.0,
    ) -> list[Delivery]:
        """See EventBus."""
        check_claim(group, consumer, limit=limit, wait_s=wait_s)
        end = time.monotonic() + wait_s
        if wait_s:
            self._listener.open()  # before looking, so that nothing is missed in between
        while True:
            with self._database.transaction(role=self._role) as session:
                found = _claim(session, group, consumer, limit, redeliver_after_s)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            self._listener.wait(left)

    def acknowledge(self, group: str, positions: Sequence[str]) -> int:
        """See EventBus."""
        return self._delete(statements.ACKNOWLEDGE, group, positions)

    def read(self, *, after: str = START, limit: int = 100) -> list[Delivery]:
        """See EventBus."""
        check_limit(limit)
        with self._database.transaction(role=self._role) as session:
            position = _find_position(session, after)
            _number(session)
            values = {"after": position, "limit": limit}
            rows = _read_events(session, statements.READ, values)
        return [_make_delivery(row) for row in rows]

    def rewind(self, group: str, *, after: str) -> None:
        """See EventBus."""
        with self._database.transaction(role=self._role) as session:
            id_, _ = _get_group(session, group, is_locked=True)
            position = _find_position(session, after)
            values = {"group": id_, "position": position}
            session.execute(statements.FORGET_BEHIND, values)
            session.execute(statements.MOVE_GROUP, values)

    def list_dead(self, group: str, *, limit: int = 100) -> list[Delivery]:
        """See EventBus."""
        check_limit(limit)
        with self._database.reading(role=self._role) as session:
            id_, _ = _get_group(session, group)
            rows = _read_events(session, statements.DEAD, {"group": id_, "limit": limit})
        return [_make_delivery(row) for row in rows]

    def drop_dead(self, group: str, positions: Sequence[str]) -> int:
        """See EventBus."""
        return self._delete(statements.DROP_DEAD, group, positions)

    def describe_group(self, group: str) -> GroupState:
        """See EventBus."""
        with self._database.reading(role=self._role) as session:
            id_, position = _get_group(session, group)
            counts = session.execute(statements.COUNT, {"group": id_, "position": position}).one()
        return GroupState(group, *counts)

    def prune(self, *, before: datetime) -> int:
        """See EventBus; in portions, each a transaction of its own."""
        values = {"before": require_utc(before), "limit": _PRUNED_AT_ONCE}
        total = 0
        while True:
            with self._database.transaction(role=self._role) as session:
                _number_all(session)
                num = _execute(session, statements.PRUNE, values)
            total += num
            if num < _PRUNED_AT_ONCE:
                return total

    def close(self) -> None:
        """See EventBus."""
        self._listener.close()
        self._database.close()

    def _delete(self, statement: Any, group: str, positions: Sequence[str]) -> int:
        check_batch(len(positions), what="positions")
        numbers = sorted({_read_position(position) for position in positions})
        with self._database.transaction(role=self._role) as session:
            session.execute(statements.NEED_NOT_WAIT)
            return _execute(session, statement, {"name": group, "positions": numbers})


def _claim(
    session: Session, group: str, consumer: str, limit: int, redeliver_after_s: float
) -> list[Delivery]:
    id_, position = _get_group(session, group, is_locked=True)
    values: dict[str, Any] = {"group": id_, "position": position}
    look = session.execute(statements.LOOK, {**values, "redeliver_after_s": redeliver_after_s})
    is_anything_new, is_anything_overdue, is_any_claimed = look.one()
    if is_anything_overdue:
        found = _claim_overdue(session, id_, consumer, limit, redeliver_after_s)
        if found:
            return found
    if is_anything_new:
        _take_turn_and_move(session)
    statement = statements.CLAIM_NEXT_AGAIN if is_any_claimed else statements.CLAIM_NEXT
    rows = _read_events(session, statement, {**values, "consumer": consumer, "limit": limit})
    return [_make_delivery(row) for row in rows]


def _claim_overdue(
    session: Session, group: int, consumer: str, limit: int, redeliver_after_s: float
) -> list[Delivery]:
    """What others did not acknowledge in time; those that were tried too often are buried."""
    values: dict[str, Any] = {"group": group, "redeliver_after_s": redeliver_after_s}
    overdue = session.execute(statements.OVERDUE, values | {"limit": limit}).all()
    dead = [row.position for row in overdue if row.attempts >= MAX_ATTEMPTS]
    if dead:
        session.execute(statements.BURY, {"group": group, "positions": dead})
    alive = [row for row in overdue if row.attempts < MAX_ATTEMPTS]
    chosen = [row.position for row in alive if row.attempts < ALONE_AFTER]
    if not chosen:
        chosen = [row.position for row in alive[:1]]
    if not chosen:
        return []
    rows = _read_events(
        session,
        statements.CLAIM_AGAIN,
        {"group": group, "consumer": consumer, "positions": chosen},
    )
    gone = [row[0] for row in rows if row[1] is None]  # with their customer
    if gone:
        session.execute(statements.FORGET, {"group": group, "positions": gone})
    return [_make_delivery(row) for row in rows if row[1] is not None]


def _number(session: Session) -> bool:
    """Move what has committed from the outbox to the log, for all groups; whether there was any."""
    if not session.execute(statements.IS_ANYTHING_NEW).scalar_one():
        return False
    _take_turn_and_move(session)
    return True


def _take_turn_and_move(session: Session) -> None:
    session.execute(statements.TAKE_TURN, {"turn": statements.NUMBERING})
    _move(session)


def _move(session: Session) -> None:
    session.execute(statements.MOVE, {"limit": statements.MAX_MOVED})


def _append_at_once(session: Session, envelopes: Sequence[Envelope]) -> bool:
    """Write to the log itself, unless others have the turn or too much waits in the outbox."""
    turn = session.execute(statements.TRY_TURN, {"turn": statements.NUMBERING}).one()
    if not turn.is_mine:
        return False
    if turn.is_anything_new:  # of this publisher, maybe, and earlier
        _move(session)
        if session.execute(statements.IS_ANYTHING_NEW).scalar_one():
            return False
    session.execute(statements.APPEND, {"batch": pack(envelopes)})
    notify(session)
    return True


def _number_all(session: Session) -> None:
    while _number(session):
        pass


def _get_group(session: Session, name: str, *, is_locked: bool = False) -> tuple[int, int]:
    statement = statements.LOCK_GROUP if is_locked else statements.FIND_GROUP
    row = session.execute(statement, {"name": name}).one_or_none()
    if row is None:
        raise NotFoundError(
            f"The event bus has no group {name!r}.", remedy="Create the group first."
        )
    return row.id, row.position


def _find_position(session: Session, text: str) -> int:
    if text == START:
        return 0
    if text == END:
        _number_all(session)
        return int(session.execute(statements.LAST).scalar_one())
    return _read_position(text)


def _read_position(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _MAX_POSITION:
        raise make_position_error(text)
    return int(text)


def _read_events(session: Session, statement: Any, values: dict[str, Any]) -> list[list[Any]]:
    """Position, id, customer, type, document, time and attempts of each event."""
    found: list[list[Any]] = json.loads(session.execute(statement, values).scalar_one())
    return found


def _make_delivery(row: list[Any]) -> Delivery:
    position, event_id, customer_id, name, data, occurred_at, attempts = row
    envelope = decode(
        event_id=UUID(event_id),
        customer_id=None if customer_id is None else UUID(customer_id),
        occurred_at=datetime.fromisoformat(occurred_at),
        name=name,
        data=data,
    )
    return Delivery(position=str(position), envelope=envelope, attempt=attempts)


def _execute(session: Session, statement: Any, values: dict[str, Any]) -> int:
    """How many rows the statement changed."""
    return int(session.execute(statement, values).rowcount)  # type: ignore[attr-defined]
