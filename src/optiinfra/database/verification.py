"""Where a live schema differs from what the migrations make and from what the models expect.

What the models cannot hold (policies, grants, triggers, functions, partitioning, settings of
tables) is compared with a schema made by the same migrations in a database of its own on the same
server, dropped again afterwards. A list kept in code would have to be written anew with every
revision and for every version of PostgreSQL, since versions print definitions differently; a
schema made just now cannot be out of date and is printed by the same server. Where the role may not
create a database, any empty one will do (`scratch_url`).

Roles belong to the server and not to a database, so their attributes are compared with `ROLES`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from optiinfra.database import migrate
from optiinfra.database.address import get_name
from optiinfra.database.catalogue import DEFAULT_BOUNDS, Catalogue, Partition, read_catalogue
from optiinfra.database.engine import make_engine
from optiinfra.database.failures import translated
from optiinfra.database.models import Base
from optiinfra.domain.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy.schema import SchemaItem

MISSING: Final = "missing"
PRESENT: Final = "present"
SCRATCH_PREFIX: Final = "optiinfra_verify_"
# Whether row-level security must pass a role by (True) or must not (False); nobody is a superuser.
ROLES: Final = {
    "optiinfra_app": False,
    "optiinfra_worker": False,
    "optiinfra_ingest": True,
    "optiinfra_backup": True,
    "optiinfra_purge": False,
}


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One way in which the live schema is not what it should be."""

    kind: str  # of the object: table, column, index, policy ...
    name: str
    facet: str  # what differs about it; "existence" for an object too many or too few
    expected: str
    found: str

    def __str__(self) -> str:
        if self.facet == "existence":
            what = "is missing" if self.found == MISSING else "should not be there"
            return f"{self.kind} {self.name} {what}"
        return f"{self.kind} {self.name}: {self.facet} is {self.found}, should be {self.expected}"


def verify(url: str, *, scratch_url: str | None = None) -> list[Difference]:
    """Every difference, in order; an empty list means that the schema is this program's.

    Changes nothing in the database. A database of an older revision is compared with that revision
    and the revision is one difference; one without a revision of ours is only that.
    """
    engine = make_engine(url, is_pooled=False)
    newest = migrate.list_revisions()[-1]
    revision = migrate.current(url)
    differences: list[Difference] = []
    if revision != newest:
        differences.append(
            Difference("schema", "revision", "number", expected=newest, found=revision or "none")
        )
        if revision not in migrate.list_revisions():
            return differences
    with (
        _migrated(url, scratch_url, revision or newest) as scratch,
        scratch.connect() as connection,
    ):
        expected = read_catalogue(connection)
    with translated(get_name(engine.url)), engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        differences += compare_catalogue(connection, expected)
    if revision == newest:
        known = {part for difference in differences for part in difference.name.split(".")}
        with translated(get_name(engine.url)), engine.connect() as connection:
            differences += [
                d for d in _compare_models(connection) if known.isdisjoint(d.name.split("."))
            ]
    return sorted(set(differences))


def compare_catalogue(connection: Connection, expected: Catalogue) -> list[Difference]:
    """Every difference of the schema that the connection sees from another one."""
    live = read_catalogue(connection)
    return [
        *_compare_items(expected, live),
        *_check_partitions(expected, live),
        *_check_roles(connection, live),
    ]


@contextmanager
def _migrated(url: str, scratch_url: str | None, revision: str) -> Iterator[Engine]:
    """An engine on a schema made by the migrations now."""
    if scratch_url is not None:
        _require_empty(scratch_url)
        migrate.upgrade(scratch_url, revision)
        yield make_engine(scratch_url, is_pooled=False)
        return
    admin = make_engine(url, is_pooled=False).execution_options(isolation_level="AUTOCOMMIT")
    name = SCRATCH_PREFIX + secrets.token_hex(8)
    scratch = make_url(url).set(database=name).render_as_string(hide_password=False)
    with translated(get_name(admin.url)), admin.connect() as connection:
        may_create = connection.exec_driver_sql(
            "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ).scalar_one()
        if not may_create:
            raise DatabaseError(
                "Verifying makes the schema a second time to compare with, and this role may not"
                " create a database.",
                remedy="Grant it CREATEDB, or name an empty database with --scratch.",
            )
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            migrate.upgrade(scratch, revision)
            yield make_engine(scratch, is_pooled=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _require_empty(url: str) -> None:
    engine = make_engine(url, is_pooled=False)
    with translated(get_name(engine.url)), engine.connect() as connection:
        tables = sorted(n for kind, n in read_catalogue(connection).items if kind == "table")
    if tables:
        raise DatabaseError(
            f"The scratch database {get_name(engine.url)} holds {', '.join(tables[:3])}.",
            remedy="Name an empty one.",
        )


def _compare_items(expected: Catalogue, live: Catalogue) -> Iterator[Difference]:
    for key in sorted(expected.items.keys() | live.items.keys()):
        kind, name = key
        wanted, found = expected.items.get(key), live.items.get(key)
        if wanted is not None and found is not None:
            for facet in sorted(wanted.facets.keys() | found.facets.keys()):
                values = wanted.facets.get(facet, "none"), found.facets.get(facet, "none")
                if values[0] != values[1]:
                    yield Difference(kind, name, facet, expected=values[0], found=values[1])
            continue
        present = wanted or found
        assert present is not None, "a key comes from one of the two"  # noqa: S101
        # A table too many or too few says it all; what belongs to it says nothing more.
        other = live if found is None else expected
        is_part = kind not in {"table", "view"} and present.table
        if is_part and not any((kind, present.table) in other.items for kind in ("table", "view")):
            continue
        yield Difference(
            kind,
            name,
            "existence",
            expected=MISSING if wanted is None else PRESENT,
            found=MISSING if found is None else PRESENT,
        )


def _check_partitions(expected: Catalogue, live: Catalogue) -> Iterator[Difference]:
    """Which partitions there are depends on the day; how they must be does not."""
    parents = sorted({p.parent for p in (*expected.partitions, *live.partitions)})
    allowed_defaults = {p.parent for p in expected.partitions if p.bounds == DEFAULT_BOUNDS}
    for partition in live.partitions:
        for kind, value in partition.own.items():
            yield Difference("partition", partition.name, f"own {kind}", "none", value)
        if partition.bounds == DEFAULT_BOUNDS and partition.parent not in allowed_defaults:
            yield Difference("partition", partition.name, "bounds", "a range", DEFAULT_BOUNDS)
    for parent in parents:
        if ("table", parent) not in live.items or ("table", parent) not in expected.items:
            continue
        ranges = [p for p in live.partitions if p.parent == parent and p.is_by_time]
        if not ranges and any(p.parent == parent and p.is_by_time for p in expected.partitions):
            yield Difference("partition", parent, "now", "covered", "not covered")
        yield from _check_ranges(parent, ranges, live)


def _check_ranges(parent: str, ranges: list[Partition], live: Catalogue) -> Iterator[Difference]:
    if not ranges:
        return
    is_current = any(
        (p.lower is None or p.lower <= live.read_at) and (p.upper is None or live.read_at < p.upper)
        for p in ranges
    )
    if not is_current:
        yield Difference("partition", parent, "now", "covered", "not covered")
    bounded = [p for p in ranges if p.lower is not None]
    in_order = [p for p in ranges if p.lower is None]
    in_order += sorted(bounded, key=lambda p: p.lower or live.read_at)
    for earlier, later in pairwise(in_order):
        if earlier.upper != later.lower:
            yield Difference(
                "partition",
                parent,
                "ranges",
                expected="without a gap",
                found=f"a gap from {earlier.upper} to {later.lower}",
            )


def _check_roles(connection: Connection, live: Catalogue) -> Iterator[Difference]:
    used = " ".join(value for item in live.items.values() for value in item.facets.values())
    for role, is_bypassing in ROLES.items():
        if role not in used:
            continue
        row = connection.execute(
            text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = :role"),
            {"role": role},
        ).one_or_none()
        if row is None:
            yield Difference("role", role, "existence", expected=PRESENT, found=MISSING)
            continue
        if row.rolsuper:
            yield Difference("role", role, "superuser", expected="no", found="yes")
        if row.rolbypassrls != is_bypassing:
            words = {True: "passes it by", False: "obeys it"}
            yield Difference(
                "role", role, "row security", words[is_bypassing], words[row.rolbypassrls]
            )


def _compare_models(connection: Connection) -> Iterator[Difference]:
    """What Alembic finds between the models and the live tables; what they do not name is apart."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def is_modelled(
        item: SchemaItem,
        name: str | None,
        kind: str,
        is_reflected: bool,  # noqa: FBT001 - Alembic's own signature
        other: Any,
    ) -> bool:
        del item, other
        return not (kind == "table" and is_reflected and name not in Base.metadata.tables)

    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_object": is_modelled,
        },
    )
    for entry in compare_metadata(context, Base.metadata):
        for change in entry if isinstance(entry, list) else [entry]:
            yield _describe_change(change)


def _describe_change(change: tuple[Any, ...]) -> Difference:
    """Alembic's proposal to make the tables like the models, as what is wrong with the tables."""
    operation = str(change[0])
    if operation.startswith("modify_"):
        _, _, table, column, _, found, expected = change
        facet = operation.removeprefix("modify_").replace("_", " ")
        return Difference("model", f"{table}.{column}", facet, str(expected), str(found))
    is_missing = operation.startswith("add_")
    subject = change[-1]
    table = getattr(subject, "table", None)
    owner = table.name if table is not None else ""
    name = str(getattr(subject, "name", subject))
    return Difference(
        "model",
        f"{owner}.{name}" if owner and owner != name else name,
        operation.partition("_")[2].replace("_", " "),
        expected=PRESENT if is_missing else MISSING,
        found=MISSING if is_missing else PRESENT,
    )
