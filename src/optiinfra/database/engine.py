"""A database to work with: one transaction a use case, or a reading that cannot write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Engine, create_engine, event, func, select, text, true
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from optiinfra.database.address import get_connect_arguments, get_name, parse_url
from optiinfra.database.checked_rows import check_flush
from optiinfra.database.failures import make_refusal_of, translated
from optiinfra.domain.errors import ConstraintError

# NaN is no JSON; refused here it names the statement, refused by PostgreSQL it does not.
to_json = partial(json.dumps, allow_nan=False)


class WriteInReadingError(RuntimeError):
    """A programmer's error: something was to be written within `reading()`."""


def make_engine(url: str, *, is_pooled: bool = True) -> Engine:
    """An engine on psycopg; it connects when first used."""
    address = parse_url(url)
    options: dict[str, Any] = (
        {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 10, "pool_timeout": 30}
        if is_pooled
        else {"poolclass": NullPool}
    )
    return create_engine(
        address,
        connect_args=get_connect_arguments(address),
        json_serializer=to_json,
        hide_parameters=True,  # addresses and digests do not belong into tracebacks and logs
        **options,
    )


class WritingSession(Session):
    """A session that checks what it is about to write before anything is sent."""


event.listen(WritingSession, "before_flush", check_flush)


def _refuse_flush(session: Session, *_: object) -> None:
    if session.new or session.dirty or session.deleted:
        message = f"reading() was asked to write {[*session.new, *session.dirty, *session.deleted]}"
        raise WriteInReadingError(message)


def _refuse_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        message = "reading() was asked to run a statement that writes"
        raise WriteInReadingError(message)


class ReadingSession(Session):
    """A session that refuses to write before anything is sent."""


event.listen(ReadingSession, "before_flush", _refuse_flush)
event.listen(ReadingSession, "do_orm_execute", _refuse_statement)


def _refuse_value(context: ExceptionContext, *, name: str) -> ConstraintError | None:
    """Within a transaction too, a value that is refused is one error of ours."""
    return make_refusal_of(context, name=name)


class Role(StrEnum):
    """Roles of revision 020; what each may do is said there."""

    APP = "optiinfra_app"
    WORKER = "optiinfra_worker"
    INGEST = "optiinfra_ingest"
    BACKUP = "optiinfra_backup"
    PURGE = "optiinfra_purge"


def set_role(session: Session, *, role: Role | None, customer_id: UUID | None) -> None:
    """For the transaction alone, so that a pooler may hand the connection on after it."""
    if role is not None:
        session.execute(text(f"SET LOCAL ROLE {role.value}"))
    if customer_id is not None:
        session.execute(select(func.set_config("optiinfra.customer_id", str(customer_id), true())))


class Database:
    """A PostgreSQL database. Close it, or use it as a context, when done; threads may share it."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        self._is_closed = False
        event.listen(self._engine, "checkin", self._close_late)
        self.name = get_name(self._engine.url)
        event.listen(self._engine, "handle_error", partial(_refuse_value, name=self.name))
        self._writing = sessionmaker(self._engine, class_=WritingSession, expire_on_commit=False)
        # PostgreSQL itself refuses what gets past the session's own checks.
        self._reading = sessionmaker(
            self._engine.execution_options(postgresql_readonly=True),
            class_=ReadingSession,
            expire_on_commit=False,
        )

    @contextmanager
    def transaction(
        self, *, role: Role | None = None, customer_id: UUID | None = None
    ) -> Iterator[Session]:
        """One use case: committed when the block ends, rolled back when it raises.

        `role` limits it to what that role may do, and `customer_id` says for whom: as Role.APP
        nothing of another customer is seen or written. Without a role it acts as who connected.
        """
        with translated(self.name), self._writing.begin() as session:
            set_role(session, role=role, customer_id=customer_id)
            yield session

    @contextmanager
    def reading(
        self, *, role: Role | None = None, customer_id: UUID | None = None
    ) -> Iterator[Session]:
        """A session that refuses to write; rolled back when the block ends."""
        with translated(self.name), self._reading() as session:
            set_role(session, role=role, customer_id=customer_id)
            yield session

    def close(self) -> None:
        """Give back all connections; one that a thread still holds is closed when it comes back."""
        self._is_closed = True
        self._engine.dispose()

    def _close_late(self, _connection: object, record: ConnectionPoolEntry) -> None:
        """A pool that was disposed of would keep it open for as long as the process lives."""
        if self._is_closed:
            record.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
