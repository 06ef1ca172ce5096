"""The schema that the models alone would make, against that of the migrations.

Both are made in one scratch database and printed by one server, so that a CHECK, a default or a
condition that is written differently and means the same is the same. Partitioning, policies,
triggers, rights and settings have no place in the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, text

from optiinfra.database.catalogue import Item, read_items
from optiinfra.database.models import Base
from optiinfra.database.verification.difference import MISSING, NONE, PRESENT, Difference

SCHEMA: Final = "modelled"
NOT_MODELLED: Final = frozenset({"alembic_version"})
FACETS: Final[dict[str, tuple[str, ...]]] = {
    "enum": ("labels",),
    "table": (),
    "column": ("type", "nullability", "default", "generation", "identity", "collation"),
    "constraint": ("definition",),
    "index": ("definition",),
}
KINDS: Final = tuple(FACETS)
Items = Mapping[tuple[str, str], Item]


def compare_models(connection: Connection) -> list[Difference]:
    """What the models expect otherwise than the schema that the connection sees.

    Makes the models' tables in a schema of their own, in the transaction of the connection.
    """
    migrated = {
        key: item
        for key, item in read_items(connection, *KINDS).items()
        if item.part_of not in NOT_MODELLED
    }
    connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    connection.execute(text(f"SET LOCAL search_path = {SCHEMA}"))
    Base.metadata.create_all(connection, checkfirst=False)
    modelled = {
        (kind, _cut(name)): item
        for (kind, name), item in read_items(connection, *KINDS).items()
        if f"{SCHEMA}." in name
    }
    return sorted(_compare(modelled, migrated))


def _compare(modelled: Items, migrated: Items) -> Iterator[Difference]:
    for key in modelled.keys() | migrated.keys():
        (kind, name), expected, found = key, modelled.get(key), migrated.get(key)
        if expected is not None and found is not None:
            for facet in FACETS[kind]:
                values = _cut(expected.facets.get(facet, NONE)), found.facets.get(facet, NONE)
                # An index of a partitioned table is, for PostgreSQL, one of that table only.
                if values[0] != values[1].replace(" ON ONLY ", " ON "):
                    yield Difference("model", name, f"{kind}_{facet}", *values)
            continue
        present = expected or found
        assert present is not None, "a key comes from one of the two"  # noqa: S101
        table = "table", _cut(present.part_of)
        if kind in {"table", "enum"} or (table in modelled) == (table in migrated):
            words = (PRESENT, MISSING) if found is None else (MISSING, PRESENT)
            yield Difference("model", name, kind, *words)


def _cut(text_: str) -> str:
    return text_.replace(f"{SCHEMA}.", "")
