"""What a live schema consists of, as PostgreSQL's own catalogue states it: one item an object.

Names and definitions are PostgreSQL's, deparsed with an empty search path so that they are always
qualified; `public.` is cut off again for the reader. Objects of extensions are the extensions'
affair. Rights are counted per grantee, and whoever owns `alembic_version` is `the owner`: the same
schema made by another role is the same.

Partitions are kept apart from tables. Which ones there are depends on the day, so they cannot be
compared with a schema made now; their parent says how each must look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from optiinfra.database.catalogue_queries import PARTITIONS, QUERIES

DEFAULT_BOUNDS = "DEFAULT"
_RANGE = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)")


@dataclass(frozen=True, slots=True)
class Item:
    """One object; `table` is what it belongs to, '' for none, and `facets` what can differ."""

    kind: str
    name: str
    table: str
    facets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; `lower` and `upper` are None unless it is a range of time, or unbounded."""

    name: str
    parent: str
    bounds: str
    is_by_time: bool
    lower: datetime | None
    upper: datetime | None
    own: Mapping[str, str]  # what it should have only through its parent, by kind


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All items by kind and name, the partitions, and when the server was asked."""

    items: Mapping[tuple[str, str], Item]
    partitions: tuple[Partition, ...]
    read_at: datetime


def read_catalogue(connection: Connection) -> Catalogue:
    """The schema as one transaction sees it; that transaction's search path is left empty.

    Reads only PostgreSQL's catalogue: any role that may connect may do it.
    """
    connection.execute(text("SET LOCAL search_path = pg_catalog"))
    connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
    items = {(item.kind, item.name): item for item in _list_items(connection)}
    partitions = tuple(_make_partition(row) for row in connection.execute(text(PARTITIONS)))
    read_at = connection.execute(text("SELECT now()")).scalar_one()
    return Catalogue(items=items, partitions=partitions, read_at=read_at)


def _list_items(connection: Connection) -> Iterator[Item]:
    for kind, query in QUERIES.items():
        for row in connection.execute(text(query)).mappings():
            facets = {
                key: _shorten(str(value))
                for key, value in row.items()
                if key not in {"name", "belongs_to"} and value is not None
            }
            yield Item(
                kind=kind,
                name=_shorten(row["name"]),
                table=_shorten(row["belongs_to"]),
                facets=facets,
            )


def _make_partition(row: Row[Any]) -> Partition:
    is_by_time = row.is_by_time and row.bounds != DEFAULT_BOUNDS
    lower = upper = None
    if is_by_time and (found := _RANGE.fullmatch(row.bounds)):
        lower, upper = (_read_bound(bound) for bound in found.groups())
    own = {kind: getattr(row, kind) for kind in ("grantees", "policies", "triggers", "columns")}
    return Partition(
        name=_shorten(row.name),
        parent=_shorten(row.parent),
        bounds=row.bounds,
        is_by_time=is_by_time,
        lower=lower,
        upper=upper,
        own={kind: value for kind, value in own.items() if value},
    )


def _read_bound(bound: str) -> datetime | None:
    return datetime.fromisoformat(bound.strip("'")) if bound.startswith("'") else None


def _shorten(definition: str) -> str:
    return definition.replace("public.", "")
