"""Revision 001: who pays, who proposes, what was proposed, decided and done."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    Base,
    CreatedMixin,
    IdMixin,
    JsonList,
    JsonObject,
    TimestampMixin,
    make_enum_type,
)
from optiinfra.domain.enums import (
    AgentStatus,
    AgentType,
    ApprovalStatus,
    CustomerPlan,
    CustomerStatus,
    EventSeverity,
    OptimizationStatus,
    RecommendationPriority,
    RecommendationStatus,
)

if TYPE_CHECKING:
    from optiinfra.database.models.agent_state import (
        AgentCapability,
        AgentConfig,
        AgentMetric,
        AgentState,
    )
    from optiinfra.database.models.application_schema import (
        QualityBaseline,
        QualityMetric,
        QualityRegression,
    )
    from optiinfra.database.models.resource_schema import ResourceMetric, ScalingEvent
    from optiinfra.database.models.workflow_history import WorkflowExecution

OWNED = "all"  # with passive_deletes: what is loaded goes with its parent, PostgreSQL does the rest


class Customer(IdMixin, TimestampMixin, Base):
    """An account. `api_key` holds the hex SHA-256 of the key, never the key."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("idx_customer_email", "email"),
        Index("idx_customer_api_key", "api_key"),
        Index("idx_customer_status", "status"),
    )

    name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(255), unique=True)
    api_key: Mapped[str] = mapped_column(String(64), unique=True)
    plan: Mapped[CustomerPlan] = mapped_column(
        make_enum_type(CustomerPlan, "customerplan"),
        default=CustomerPlan.FREE,
        server_default=CustomerPlan.FREE.value,
    )
    status: Mapped[CustomerStatus] = mapped_column(
        make_enum_type(CustomerStatus, "customerstatus"),
        default=CustomerStatus.ACTIVE,
        server_default=CustomerStatus.ACTIVE.value,
    )
    customer_metadata: Mapped[JsonObject | None] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    events: Mapped[list[Event]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    recommendations: Mapped[list[Recommendation]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    optimizations: Mapped[list[Optimization]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    workflow_executions: Mapped[list[WorkflowExecution]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    resource_metrics: Mapped[list[ResourceMetric]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    scaling_events: Mapped[list[ScalingEvent]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    quality_metrics: Mapped[list[QualityMetric]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    quality_baselines: Mapped[list[QualityBaseline]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )
    quality_regressions: Mapped[list[QualityRegression]] = relationship(
        back_populates="customer", cascade=OWNED, passive_deletes=True
    )


class Agent(IdMixin, TimestampMixin, Base):
    """A registered agent; shared by all customers."""

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("type", "name", name="uq_agent_type_name"),
        Index("idx_agent_type", "type"),
        Index("idx_agent_status", "status"),
        Index("idx_agent_heartbeat", "last_heartbeat"),
    )

    type: Mapped[AgentType] = mapped_column(make_enum_type(AgentType, "agenttype"))
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[AgentStatus] = mapped_column(
        make_enum_type(AgentStatus, "agentstatus"),
        default=AgentStatus.STARTING,
        server_default=AgentStatus.STARTING.value,
    )
    endpoint: Mapped[str | None] = mapped_column(String(255), doc="HTTP endpoint, a URL")
    capabilities: Mapped[JsonList] = mapped_column(default=list, server_default=EMPTY_LIST)
    agent_metadata: Mapped[JsonObject | None] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )
    last_heartbeat: Mapped[datetime | None]

    # Events outlive their agent: the key is set to NULL, nothing is deleted.
    events: Mapped[list[Event]] = relationship(back_populates="agent", passive_deletes=True)
    recommendations: Mapped[list[Recommendation]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    optimizations: Mapped[list[Optimization]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    configs: Mapped[list[AgentConfig]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    state: Mapped[AgentState | None] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    capability_details: Mapped[list[AgentCapability]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    metrics: Mapped[list[AgentMetric]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    workflow_executions: Mapped[list[WorkflowExecution]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    resource_metrics: Mapped[list[ResourceMetric]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    scaling_events: Mapped[list[ScalingEvent]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    quality_metrics: Mapped[list[QualityMetric]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    quality_baselines: Mapped[list[QualityBaseline]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )
    quality_regressions: Mapped[list[QualityRegression]] = relationship(
        back_populates="agent", cascade=OWNED, passive_deletes=True
    )


class Event(IdMixin, CreatedMixin, Base):
    """Something that happened, for the record; never changed."""

    __tablename__ = "events"
    __table_args__ = (
        Index("idx_event_customer", "customer_id"),
        Index("idx_event_agent", "agent_id"),
        Index("idx_event_type", "event_type"),
        Index("idx_event_severity", "severity"),
        Index("idx_event_created", "created_at"),
        Index("idx_event_customer_created", "customer_id", "created_at"),
    )

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    event_type: Mapped[str] = mapped_column(String(100))
    severity: Mapped[EventSeverity] = mapped_column(
        make_enum_type(EventSeverity, "eventseverity"),
        default=EventSeverity.INFO,
        server_default=EventSeverity.INFO.value,
    )
    data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)

    customer: Mapped[Customer] = relationship(back_populates="events")
    agent: Mapped[Agent | None] = relationship(back_populates="events")


class Recommendation(IdMixin, TimestampMixin, Base):
    """An agent's proposal, with its evidence in `data`."""

    __tablename__ = "recommendations"
    __table_args__ = (
        CheckConstraint(
            "confidence_score >= 0.0 AND confidence_score <= 1.0", name="check_confidence_range"
        ),
        Index("idx_rec_customer", "customer_id"),
        Index("idx_rec_agent", "agent_id"),
        Index("idx_rec_type", "type"),
        Index("idx_rec_status", "status"),
        Index("idx_rec_priority", "priority"),
        Index("idx_rec_created", "created_at"),
        Index("idx_rec_customer_status", "customer_id", "status"),
    )

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(100))
    title: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    estimated_savings: Mapped[Decimal | None] = mapped_column(
        Numeric(10, 2), doc="USD per month; NULL when unknown"
    )
    estimated_improvement: Mapped[Decimal | None] = mapped_column(
        Numeric(10, 2), doc="performance after over before; NULL when unknown"
    )
    confidence_score: Mapped[float] = mapped_column(default=0.0, server_default="0", doc="0 to 1")
    priority: Mapped[RecommendationPriority] = mapped_column(
        make_enum_type(RecommendationPriority, "recommendationpriority"),
        default=RecommendationPriority.MEDIUM,
        server_default=RecommendationPriority.MEDIUM.value,
    )
    status: Mapped[RecommendationStatus] = mapped_column(
        make_enum_type(RecommendationStatus, "recommendationstatus"),
        default=RecommendationStatus.PENDING,
        server_default=RecommendationStatus.PENDING.value,
    )
    data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    approved_at: Mapped[datetime | None]
    executed_at: Mapped[datetime | None] = mapped_column(doc="when its execution began")

    customer: Mapped[Customer] = relationship(back_populates="recommendations")
    agent: Mapped[Agent] = relationship(back_populates="recommendations")
    approvals: Mapped[list[Approval]] = relationship(
        back_populates="recommendation", cascade=OWNED, passive_deletes=True
    )
    optimizations: Mapped[list[Optimization]] = relationship(
        back_populates="recommendation", cascade=OWNED, passive_deletes=True
    )


class Approval(IdMixin, TimestampMixin, Base):
    """One person's decision on a recommendation, for or against it."""

    __tablename__ = "approvals"
    __table_args__ = (
        Index("idx_approval_rec", "recommendation_id"),
        Index("idx_approval_status", "status"),
    )

    recommendation_id: Mapped[UUID] = mapped_column(
        ForeignKey("recommendations.id", ondelete="CASCADE")
    )
    approved_by: Mapped[str] = mapped_column(String(255), doc="who decided, either way")
    status: Mapped[ApprovalStatus] = mapped_column(
        make_enum_type(ApprovalStatus, "approvalstatus"),
        default=ApprovalStatus.PENDING,
        server_default=ApprovalStatus.PENDING.value,
    )
    comment: Mapped[str | None] = mapped_column(Text)

    recommendation: Mapped[Recommendation] = relationship(back_populates="approvals")


class Optimization(IdMixin, CreatedMixin, Base):
    """The execution of an approved recommendation, and what came of it."""

    __tablename__ = "optimizations"
    __table_args__ = (
        CheckConstraint("progress >= 0 AND progress <= 100", name="check_progress_range"),
        Index("idx_opt_rec", "recommendation_id"),
        Index("idx_opt_customer", "customer_id"),
        Index("idx_opt_agent", "agent_id"),
        Index("idx_opt_status", "status"),
        Index("idx_opt_customer_status", "customer_id", "status"),
    )

    recommendation_id: Mapped[UUID] = mapped_column(
        ForeignKey("recommendations.id", ondelete="CASCADE")
    )
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    status: Mapped[OptimizationStatus] = mapped_column(
        make_enum_type(OptimizationStatus, "optimizationstatus"),
        default=OptimizationStatus.QUEUED,
        server_default=OptimizationStatus.QUEUED.value,
    )
    progress: Mapped[int] = mapped_column(default=0, server_default="0", doc="percent")
    result: Mapped[JsonObject | None] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    error: Mapped[str | None] = mapped_column(Text)
    actual_savings: Mapped[Decimal | None] = mapped_column(
        Numeric(10, 2), doc="USD per month; NULL when unknown"
    )
    actual_improvement: Mapped[Decimal | None] = mapped_column(
        Numeric(10, 2), doc="performance after over before; NULL when unknown"
    )
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    rolled_back_at: Mapped[datetime | None]

    recommendation: Mapped[Recommendation] = relationship(back_populates="optimizations")
    customer: Mapped[Customer] = relationship(back_populates="optimizations")
    agent: Mapped[Agent] = relationship(back_populates="optimizations")
