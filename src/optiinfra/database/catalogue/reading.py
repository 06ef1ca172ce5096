"""A live schema read whole: one item an object.

Names and definitions are PostgreSQL's, deparsed with an empty search path so that they are always
qualified; `public.` is cut off again for the reader. Objects of extensions are the extensions'
affair. Whoever owns `alembic_version` is `the owner`: the same schema made by another role is the
same.

Partitions are kept apart from tables. Which ones there are depends on the day, so they cannot be
compared with a schema made now; their parent says how each must look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from optiinfra.database.catalogue.objects import OBJECT_QUERIES
from optiinfra.database.catalogue.partitions import FACETS, PARTITIONS
from optiinfra.database.catalogue.server import list_roles, list_server_rights, list_settings
from optiinfra.database.catalogue.tables import TABLE_QUERIES

DEFAULT_BOUNDS = "DEFAULT"
QUERIES = {**OBJECT_QUERIES, **TABLE_QUERIES}
_RANGE = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)")
_HAS_REVISIONS = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
_REVISIONS = "SELECT version_num FROM public.alembic_version ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Item:
    """One object; `part_of` names what it goes with, '' for none; `facets` are what can differ."""

    kind: str
    name: str
    part_of: str
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
    own: Mapping[str, tuple[str, str]]  # expected and found, where it is not as its parent says


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of a database but its rows, and when the server was asked."""

    items: Mapping[tuple[str, str], Item]
    partitions: tuple[Partition, ...]
    revisions: tuple[str, ...]
    roles: Mapping[str, Mapping[str, str]]
    settings: Mapping[tuple[str, str], tuple[str, str]]
    server_rights: Mapping[str, str]
    read_at: datetime


def read_catalogue(connection: Connection) -> Catalogue:
    """The schema as one transaction sees it; that transaction's search path is left empty.

    Reads PostgreSQL's catalogue, which any role that may connect can do, and the revision.
    """
    items = read_items(connection, *QUERIES)
    has_revisions = connection.execute(text(_HAS_REVISIONS)).scalar_one()
    return Catalogue(
        items=items,
        partitions=_read_partitions(connection),
        revisions=tuple(connection.execute(text(_REVISIONS)).scalars()) if has_revisions else (),
        roles=list_roles(connection),
        settings=list_settings(connection),
        server_rights=list_server_rights(connection),
        read_at=connection.execute(text("SELECT now()")).scalar_one(),
    )


def read_items(connection: Connection, *kinds: str) -> dict[tuple[str, str], Item]:
    """The objects of these kinds, by kind and name."""
    connection.execute(text("SET LOCAL search_path = pg_catalog"))
    connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
    return {(item.kind, item.name): item for kind in kinds for item in _ask(connection, kind)}


def _ask(connection: Connection, kind: str) -> Iterator[Item]:
    for row in connection.execute(text(QUERIES[kind])).mappings():
        facets = {
            key: _shorten(str(value))
            for key, value in row.items()
            if key not in {"name", "part_of"} and value is not None
        }
        yield Item(kind, _shorten(row["name"]), _shorten(row["part_of"]), facets)


def _read_partitions(connection: Connection) -> tuple[Partition, ...]:
    own: dict[str, dict[str, tuple[str, str]]] = {}
    for query in FACETS.values():
        for row in connection.execute(text(query)):
            facets = own.setdefault(row.name, {})
            facets[row.facet] = (_shorten(row.expected), _shorten(row.found))
    found = []
    for row in connection.execute(text(PARTITIONS)):
        is_by_time = row.is_by_time and row.bounds != DEFAULT_BOUNDS
        lower = upper = None
        if is_by_time and (bounds := _RANGE.fullmatch(row.bounds)):
            lower, upper = (_read_bound(bound) for bound in bounds.groups())
        partition = Partition(
            name=_shorten(row.name),
            parent=_shorten(row.parent),
            bounds=row.bounds,
            is_by_time=is_by_time,
            lower=lower,
            upper=upper,
            own=own.get(row.name, {}),
        )
        found.append(partition)
    return tuple(found)


def _read_bound(bound: str) -> datetime | None:
    return datetime.fromisoformat(bound.strip("'")) if bound.startswith("'") else None


def _shorten(definition: str) -> str:
    return definition.replace("public.", "")
