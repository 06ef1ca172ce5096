"""Beside the specification's tables: events on their way, and how far each group has come."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from optiinfra.database.models.base import IN_TRANSIT, Base, CreatedMixin, JsonObject


class OutboxEvent(Base):
    """An event as its transaction published it; it moves to event_log once that has committed."""

    __tablename__ = "event_outbox"
    __table_args__ = ({"info": {IN_TRANSIT: True}},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[UUID]
    customer_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), index=True, doc="NULL: nobody's alone"
    )
    event_type: Mapped[str] = mapped_column(String(100))
    data: Mapped[JsonObject]
    occurred_at: Mapped[datetime]
    published_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class LoggedEvent(Base):
    """An event in the order of the bus: whoever sees a position sees every one before it."""

    __tablename__ = "event_log"
    __table_args__ = (
        Index("ix_event_log_customer_id_position", "customer_id", "position"),
        {"info": {IN_TRANSIT: True}},
    )

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(unique=True, doc="published twice, it is here once")
    customer_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), doc="NULL: nobody's alone"
    )
    event_type: Mapped[str] = mapped_column(String(100))
    data: Mapped[JsonObject]
    occurred_at: Mapped[datetime]
    published_at: Mapped[datetime]


class EventGroup(CreatedMixin, Base):
    """Consumers that share the work: each event is handed out to one of them."""

    __tablename__ = "event_groups"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    position: Mapped[int] = mapped_column(BigInteger, doc="what was handed out last")


class EventClaim(Base):
    """An event that was handed out and not acknowledged; a dead one stays until it is dropped.

    `group_id` is no foreign key, whose check would take a third of a claim: claims are made under
    the lock of their group's row, and removed with it under the same lock.
    """

    __tablename__ = "event_claims"
    __table_args__ = (
        CheckConstraint("attempts > 0", name="check_claim_attempts"),
        Index(
            "ix_event_claims_group_id_claimed_at",
            "group_id",
            "claimed_at",
            postgresql_where=text("dead_at IS NULL"),
        ),
    )

    group_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    consumer: Mapped[str] = mapped_column(String(100))
    attempts: Mapped[int]
    claimed_at: Mapped[datetime]
    dead_at: Mapped[datetime | None] = mapped_column(doc="handed out too often in vain")
