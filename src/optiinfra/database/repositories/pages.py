"""Lists in pages of bounded size, by key: the last page costs what the first one does.

A page begins after the last row of the page before it. Tables that are partitioned by time get the
bare limit of time beside the comparison of (time, id), which alone would leave no partition out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from optiinfra.database.checked_rows import require_utc

MAX_PAGE: Final = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: the next page begins after it."""

    at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list, in its order; no cursor: the last page."""

    items: tuple[T, ...]
    next_cursor: Cursor | None


def fetch_page(
    session: Session,
    query: Select[T],
    *,
    at: InstrumentedAttribute[datetime],
    id: InstrumentedAttribute[UUID],  # noqa: A002 - the column's name
    after: Cursor | None,
    limit: int,
    is_earliest_first: bool = False,
) -> Page[T]:
    """Rows of the query in order of (at, id), latest first unless asked otherwise."""
    size = max(1, min(limit, MAX_PAGE))
    position = tuple_(at, id)
    if after is not None:
        last_at = require_utc(at, after.at)
        last = tuple_(last_at, after.id)
        if is_earliest_first:
            query = query.where(at >= last_at, position > last)
        else:
            query = query.where(at <= last_at, position < last)
    order = (at, id) if is_earliest_first else (at.desc(), id.desc())
    found = session.scalars(query.order_by(*order).limit(size + 1)).all()
    items = tuple(found[:size])
    cursor = None
    if len(found) > size:
        row: Any = items[-1]
        cursor = Cursor(at=getattr(row, at.key), id=getattr(row, id.key))
    return Page(items=items, next_cursor=cursor)
