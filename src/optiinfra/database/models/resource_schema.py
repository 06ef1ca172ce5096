"""Revision 004: how busy resources are, and how they were scaled."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    String,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_OBJECT,
    ONE_ID,
    Base,
    CreatedMixin,
    IdMixin,
    JsonObject,
    TimestampMixin,
    finite,
    make_enum_type,
)
from optiinfra.domain.enums import ResourceType, ScalingEventType

if TYPE_CHECKING:
    from optiinfra.database.models.core import Agent, Customer
    from optiinfra.database.models.workflow_history import WorkflowExecution


class ResourceMetric(IdMixin, CreatedMixin, Base):
    """One sample of a resource of one instance; partitioned by `timestamp`."""

    __tablename__ = "resource_metrics"
    __table_args__ = (
        PrimaryKeyConstraint("id", "timestamp"),
        CheckConstraint(finite("metric_value"), name="check_metric_value"),
        Index("ix_resource_metrics_customer_time", "customer_id", "timestamp", "id"),
        Index("ix_resource_metrics_name_time", "agent_id", "metric_name", "timestamp"),
        Index(
            "ix_resource_metrics_series_time",
            "series_id",
            "timestamp",
            postgresql_where=text("series_id IS NOT NULL"),
        ),
        Index(
            "ix_resource_metrics_no_series",
            "timestamp",
            "id",
            postgresql_where=text("series_id IS NULL"),
        ),
    )

    __mapper_args__ = ONE_ID

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    instance_id: Mapped[str] = mapped_column(String(255), doc="as the cloud names it")
    resource_type: Mapped[ResourceType] = mapped_column(
        make_enum_type(ResourceType, "resource_type")
    )
    metric_name: Mapped[str] = mapped_column(String(100))
    metric_value: Mapped[float]
    unit: Mapped[str] = mapped_column(String(50), doc="of `metric_value`, such as percent")
    timestamp: Mapped[datetime] = mapped_column(primary_key=True, doc="when it was collected")
    resource_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    series_id: Mapped[int | None] = mapped_column(
        BigInteger, doc="of resource_series; NULL until it is adopted"
    )

    agent: Mapped[Agent] = relationship(back_populates="resource_metrics")
    customer: Mapped[Customer] = relationship(back_populates="resource_metrics")


class ScalingEvent(IdMixin, TimestampMixin, Base):
    """One change of a deployment's size: why, from what to what, and whether it worked."""

    __tablename__ = "scaling_events"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workflow_execution_id", "customer_id"],
            ["workflow_executions.id", "workflow_executions.customer_id"],
            ondelete="SET NULL (workflow_execution_id)",
        ),
        CheckConstraint("completed_at >= executed_at", name="check_completed_at_order"),
        Index("ix_scaling_events_workflow_execution_id", "workflow_execution_id"),
        Index("ix_scaling_events_event_type", "event_type"),
        Index("ix_scaling_events_success", "success"),
        Index("ix_scaling_events_executed_at", "executed_at"),
        Index("ix_scaling_events_agent_type", "agent_id", "event_type"),
        Index("ix_scaling_events_customer_success", "customer_id", "success"),
        Index("ix_scaling_events_customer_time", "customer_id", "executed_at", "id"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    workflow_execution_id: Mapped[UUID | None]
    event_type: Mapped[ScalingEventType] = mapped_column(
        make_enum_type(ScalingEventType, "scaling_event_type")
    )
    trigger_reason: Mapped[str] = mapped_column(String(500))
    before_state: Mapped[JsonObject]
    after_state: Mapped[JsonObject]
    success: Mapped[bool] = mapped_column(default=False, server_default=false())
    error_details: Mapped[JsonObject | None]
    executed_at: Mapped[datetime] = mapped_column(doc="when it began")
    completed_at: Mapped[datetime | None] = mapped_column(doc="when it ended, well or not")
    scaling_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    agent: Mapped[Agent] = relationship(back_populates="scaling_events")
    customer: Mapped[Customer] = relationship(back_populates="scaling_events")
    workflow: Mapped[WorkflowExecution | None] = relationship(
        back_populates="scaling_events", foreign_keys="ScalingEvent.workflow_execution_id"
    )

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from begin to end; None while it lasts."""
        if self.completed_at is None:
            return None
        return (self.completed_at - self.executed_at).total_seconds()
