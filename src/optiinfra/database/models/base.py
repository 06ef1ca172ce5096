"""What all models share: names of constraints, types of columns, ids and times."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, DateTime, Dialect, Enum, MetaData, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

# PostgreSQL's own default names, so that tables made by revisions 001-003 elsewhere have them too.
NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "%(constraint_name)s",
}
SHOWN = ("id", "type", "name", "workflow_type", "step_name", "metric_name", "config_key", "status")
JsonObject = dict[str, Any]
JsonList = list[Any]
EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")

# Marks of a column, for whoever reads the models (its `info`).
SENSITIVE = "is_sensitive"  # nobody may see what it holds
IN_TRANSIT = "is_in_transit"  # of a table: on its way, not the record; moves with no customer
FORM = "form"  # a condition on its text, and what a text that fails it is not

# Instants that are stored: what others have, some language has no value for.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
CHECK_INSTANTS = "check_instants"
BY_SERVER_CLOCK = frozenset({
    "audit_log", "capability_splits", "migration_findings", "resource_series",
    "workflow_state_transitions",
})  # fmt: skip

# Partitioned tables have (id, time) as their key; a row is known by its id all the same.
ONE_ID = {"primary_key": ["id"]}


def finite(column: str) -> str:
    """A condition that NaN and infinity fail."""
    return f"{column} > '-Infinity'::float8 AND {column} < 'Infinity'::float8"


def share(column: str) -> str:
    """A condition that only 0 to 1 meets; NaN fails it too."""
    return f"{column} >= 0 AND {column} <= 1"


def add_instant_checks(metadata: MetaData) -> None:
    """Every instant can be read by every program: see revision 035."""
    for table in metadata.tables.values():
        timed = sorted(c.name for c in table.columns if isinstance(c.type, UtcDateTime))
        if timed and table.name not in BY_SERVER_CLOCK:
            first, end = (f"'{instant}'::timestamptz" for instant in (EARLIEST, END_OF_TIME))
            terms = [f'"{name}" >= {first} AND "{name}" < {end}' for name in timed]
            table.append_constraint(CheckConstraint(" AND ".join(terms), name=CHECK_INSTANTS))


class UtcDateTime(TypeDecorator[datetime]):
    """`timestamptz`, always read back in UTC; at bind a naive value is read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Make a naive value aware, since drivers differ in what they take it for."""
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Undo the session's time zone."""
        del dialect
        return None if value is None else value.astimezone(UTC)


def make_enum_type(members: type[StrEnum], name: str) -> Enum:
    """The PostgreSQL enum type `name`, which stores the members' values."""
    return Enum(members, name=name, values_callable=lambda kind: [member.value for member in kind])


class Base(DeclarativeBase):
    """Root of all models; `Base.metadata` is what migrations are compared with."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - read once by SQLAlchemy's metaclass
        datetime: UtcDateTime(),
        JsonObject: JSONB(none_as_null=True),
        JsonList: JSONB(none_as_null=True),
    }

    def __repr__(self) -> str:
        """Its key and what tells it from others at a glance; never a value that may be secret."""
        loaded = self.__dict__  # asking for an attribute could ask the database
        names = [name for name in SHOWN if name in loaded]
        return f"<{type(self).__name__}({', '.join(f'{n}={loaded[n]!s}' for n in names)})>"


class IdMixin:
    """A random UUID as primary key, made on whichever side writes the row."""

    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid4, server_default=text("gen_random_uuid()")
    )


class CreatedMixin:
    """When the row was written."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TimestampMixin(CreatedMixin):
    """When the row was written and last changed."""

    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
