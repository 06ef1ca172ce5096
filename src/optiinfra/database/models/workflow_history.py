"""Revision 003: what ran, step by step, and what it left behind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_OBJECT,
    Base,
    IdMixin,
    JsonObject,
    TimestampMixin,
    make_enum_type,
)
from optiinfra.database.models.core import OWNED
from optiinfra.domain.enums import ArtifactType, StepStatus, WorkflowStatus, WorkflowType

if TYPE_CHECKING:
    from optiinfra.database.models.core import Agent, Customer
    from optiinfra.database.models.resource_schema import ScalingEvent


class WorkflowExecution(IdMixin, TimestampMixin, Base):
    """One run of a workflow for a customer."""

    __tablename__ = "workflow_executions"
    __table_args__ = (
        UniqueConstraint("id", "customer_id"),
        CheckConstraint("completed_at >= started_at", name="check_completed_at_order"),
        CheckConstraint(
            "status IN ('pending', 'running') OR completed_at IS NOT NULL", name="check_completed"
        ),
        Index("ix_workflow_executions_workflow_type", "workflow_type"),
        Index("ix_workflow_executions_status", "status"),
        Index("ix_workflow_executions_started_at", "started_at"),
        Index("ix_workflow_executions_agent_status", "agent_id", "status"),
        Index("ix_workflow_executions_customer_type", "customer_id", "workflow_type"),
        Index("ix_workflow_executions_customer_time", "customer_id", "created_at", "id"),
        Index(
            "ix_workflow_executions_pending",
            "created_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_workflow_executions_leased",
            "lease_expires_at",
            "id",
            postgresql_where=text("status = 'running'"),
        ),
        CheckConstraint(
            "fence >= 0 AND (lease_owner IS NULL) = (lease_expires_at IS NULL)", name="check_lease"
        ),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    workflow_type: Mapped[WorkflowType] = mapped_column(
        make_enum_type(WorkflowType, "workflow_type")
    )
    status: Mapped[WorkflowStatus] = mapped_column(
        make_enum_type(WorkflowStatus, "workflow_status"), default=WorkflowStatus.PENDING
    )
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    input_data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    output_data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    error_details: Mapped[JsonObject | None]
    workflow_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    lease_owner: Mapped[str | None] = mapped_column(String(255), doc="the worker that runs it")
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default=text("0"), doc="grows with each lease"
    )
    version: Mapped[int] = mapped_column(
        default=0, server_default="0", doc="grows with each change of status"
    )

    agent: Mapped[Agent] = relationship(back_populates="workflow_executions")
    customer: Mapped[Customer] = relationship(back_populates="workflow_executions")
    steps: Mapped[list[WorkflowStep]] = relationship(
        back_populates="execution",
        cascade=OWNED,
        passive_deletes=True,
        order_by="WorkflowStep.step_order",
    )
    artifacts: Mapped[list[WorkflowArtifact]] = relationship(
        back_populates="execution", cascade=OWNED, passive_deletes=True
    )
    # A scaling outlives its workflow: the key is set to NULL.
    scaling_events: Mapped[list[ScalingEvent]] = relationship(
        back_populates="workflow",
        passive_deletes=True,
        foreign_keys="ScalingEvent.workflow_execution_id",
    )


class WorkflowStep(IdMixin, TimestampMixin, Base):
    """One step of an execution; `step_order` counts from 1."""

    __tablename__ = "workflow_steps"
    __table_args__ = (
        UniqueConstraint("id", "workflow_execution_id"),
        ForeignKeyConstraint(
            ["workflow_execution_id", "customer_id"],
            ["workflow_executions.id", "workflow_executions.customer_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("completed_at >= started_at", name="check_completed_at_order"),
        CheckConstraint(
            "status IN ('pending', 'running', 'retrying') OR completed_at IS NOT NULL",
            name="check_completed",
        ),
        CheckConstraint("retry_count >= 0 AND max_retries >= 0", name="check_retries"),
        Index(
            "uq_workflow_step_order",
            "customer_id",
            "workflow_execution_id",
            "step_order",
            unique=True,
        ),
        Index("uq_workflow_step_idempotency", "customer_id", "idempotency_key", unique=True),
        Index("ix_workflow_steps_status", "status"),
        Index("ix_workflow_steps_execution_status", "workflow_execution_id", "status"),
        Index("ix_workflow_steps_name_status", "step_name", "status"),
    )

    customer_id: Mapped[UUID] = mapped_column(
        server_default=FetchedValue(), doc="that of its execution; the database fills it in"
    )
    workflow_execution_id: Mapped[UUID]
    step_name: Mapped[str] = mapped_column(String(255))
    step_order: Mapped[int]
    status: Mapped[StepStatus] = mapped_column(
        make_enum_type(StepStatus, "step_status"), default=StepStatus.PENDING
    )
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    input_data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    output_data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    error_details: Mapped[JsonObject | None]
    retry_count: Mapped[int] = mapped_column(default=0, server_default="0")
    max_retries: Mapped[int] = mapped_column(default=3, server_default="3")
    step_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    idempotency_key: Mapped[str | None] = mapped_column(String(255))

    execution: Mapped[WorkflowExecution] = relationship(back_populates="steps")
    artifacts: Mapped[list[WorkflowArtifact]] = relationship(
        back_populates="step",
        cascade=OWNED,
        passive_deletes=True,
        foreign_keys="WorkflowArtifact.workflow_step_id",
    )


class WorkflowArtifact(IdMixin, TimestampMixin, Base):
    """A file that an execution left behind."""

    __tablename__ = "workflow_artifacts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workflow_execution_id", "customer_id"],
            ["workflow_executions.id", "workflow_executions.customer_id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["workflow_step_id", "workflow_execution_id"],
            ["workflow_steps.id", "workflow_steps.workflow_execution_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("artifact_size_bytes >= 0", name="check_artifact_size_bytes"),
        Index("ix_workflow_artifacts_artifact_type", "artifact_type"),
        Index("ix_workflow_artifacts_execution_type", "workflow_execution_id", "artifact_type"),
        Index("ix_workflow_artifacts_step_type", "workflow_step_id", "artifact_type"),
    )

    customer_id: Mapped[UUID] = mapped_column(
        server_default=FetchedValue(), doc="that of its execution; the database fills it in"
    )
    workflow_execution_id: Mapped[UUID]
    workflow_step_id: Mapped[UUID | None]
    artifact_type: Mapped[ArtifactType] = mapped_column(
        make_enum_type(ArtifactType, "artifact_type")
    )
    artifact_name: Mapped[str] = mapped_column(String(255))
    artifact_path: Mapped[str] = mapped_column(Text)
    artifact_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    content_type: Mapped[str | None] = mapped_column(String(100), doc="a media type")
    artifact_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    execution: Mapped[WorkflowExecution] = relationship(back_populates="artifacts")
    step: Mapped[WorkflowStep | None] = relationship(
        back_populates="artifacts", foreign_keys="WorkflowArtifact.workflow_step_id"
    )
