"""Beside the specification's tables: what was changed, by whom, and what upgrades found."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from optiinfra.database.models.base import Base, IdMixin, JsonObject


class WorkflowStateTransition(IdMixin, Base):
    """One change of status of an execution or step; triggers write it, nobody changes it."""

    __tablename__ = "workflow_state_transitions"
    __table_args__ = (
        UniqueConstraint("execution_id", "seq"),
        ForeignKeyConstraint(
            ["execution_id", "customer_id"],
            ["workflow_executions.id", "workflow_executions.customer_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(
            "length(prev_hash) = 32 AND length(hash) = 32 AND seq > 0",
            name="check_transition_hashes",
        ),
    )

    customer_id: Mapped[UUID]
    execution_id: Mapped[UUID]
    step_id: Mapped[UUID | None] = mapped_column(doc="NULL: the execution itself")
    seq: Mapped[int] = mapped_column(BigInteger, doc="from 1, without a gap, in each execution")
    old_status: Mapped[str | None] = mapped_column(String(20), doc="NULL: it was made")
    new_status: Mapped[str] = mapped_column(String(20))
    fence: Mapped[int] = mapped_column(BigInteger)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    changed_by: Mapped[str] = mapped_column(String(63), doc="who was connected")
    occurred_at: Mapped[datetime]
    prev_hash: Mapped[bytes] = mapped_column(doc="of the row before it; zeros for the first")
    hash: Mapped[bytes]


class AuditEntry(Base):
    """One status that was set; triggers write it, nobody changes it, nothing removes it."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_row_id", "row_id"),
        Index("ix_audit_log_customer_id_occurred_at", "customer_id", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    customer_id: Mapped[UUID | None] = mapped_column(doc="NULL: shared by all")
    table_name: Mapped[str] = mapped_column(String(63))
    row_id: Mapped[UUID]
    old_status: Mapped[str | None] = mapped_column(String(20), doc="NULL: it was made")
    new_status: Mapped[str] = mapped_column(String(20))
    changed_by: Mapped[str] = mapped_column(String(63))
    occurred_at: Mapped[datetime]


class CapabilitySplit(Base):
    """What a version of a capability had of its traffic from then on; triggers write it."""

    __tablename__ = "capability_splits"
    __table_args__ = (
        Index("ix_capability_splits_agent_name_time", "agent_id", "capability_name", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    agent_id: Mapped[UUID]
    capability_name: Mapped[str] = mapped_column(String(255))
    capability_version: Mapped[str] = mapped_column(String(50))
    is_enabled: Mapped[bool]
    traffic_ratio: Mapped[float]
    changed_by: Mapped[str] = mapped_column(String(63))
    occurred_at: Mapped[datetime]


class MigrationFinding(Base):
    """A row that an upgrade mended or set aside, as it was before."""

    __tablename__ = "migration_findings"
    __table_args__ = (
        CheckConstraint("action = 'mended' OR action = 'quarantined'", name="check_finding_action"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    revision: Mapped[str] = mapped_column(String(50))
    table_name: Mapped[str] = mapped_column(String(63))
    row_id: Mapped[UUID]
    rule: Mapped[str] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(20))
    row_before: Mapped[JsonObject]
    found_at: Mapped[datetime] = mapped_column(server_default=func.now())
    customer_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"),
        index=True,
        doc="whose row it was; NULL: shared by all, or not known",
    )
