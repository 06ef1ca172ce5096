"""Revision 001: who pays, who proposes, what was proposed, decided and done."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    ONE_ID,
    SENSITIVE,
    Base,
    IdMixin,
    JsonList,
    JsonObject,
    TimestampMixin,
    make_enum_type,
)
from optiinfra.database.models.keys import KEY_PREFIX_LENGTH, compute_key_digest, is_key_weak
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
    """An account. `api_key` is written and never read: its digest and its beginning are kept."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("idx_customer_status", "status"),
        Index("ix_customers_email_lower", text("lower(email)")),
    )

    name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(255), unique=True)
    api_key_digest: Mapped[str] = mapped_column(
        "api_key", String(64), unique=True, doc="hex SHA-256 of the key", info={SENSITIVE: True}
    )
    api_key_prefix: Mapped[str | None] = mapped_column(String(8), doc="by which people know it")
    is_api_key_weak: Mapped[bool] = mapped_column(
        default=False, server_default=false(), doc="under 122 bits: to be renewed"
    )
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

    @property
    def api_key(self) -> str:
        """Nobody can read it; whoever made the key showed it once."""
        raise AttributeError("api_key is written and never read; its digest and prefix are kept")

    @api_key.setter
    def api_key(self, key: str) -> None:
        self.api_key_digest = compute_key_digest(key)
        self.is_api_key_weak = is_key_weak(key)
        # The beginning of a short key is most of it.
        self.api_key_prefix = None if self.is_api_key_weak else key[:KEY_PREFIX_LENGTH]


class Agent(IdMixin, TimestampMixin, Base):
    """A registered agent; shared by all customers."""

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("type", "name", name="uq_agent_type_name"),
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


class Event(IdMixin, Base):
    """Something that happened, for the record; never changed. Partitioned by `created_at`."""

    __tablename__ = "events"
    __table_args__ = (
        PrimaryKeyConstraint("id", "created_at"),
        Index("ix_events_customer_time", "customer_id", "created_at", "id"),
        Index("idx_event_agent", "agent_id"),
        Index("idx_event_type", "event_type"),
        Index("idx_event_severity", "severity"),
        Index("idx_event_created", "created_at"),
    )
    __mapper_args__ = ONE_ID

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    event_type: Mapped[str] = mapped_column(String(100))
    severity: Mapped[EventSeverity] = mapped_column(
        make_enum_type(EventSeverity, "eventseverity"),
        default=EventSeverity.INFO,
        server_default=EventSeverity.INFO.value,
    )
    data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.now())

    customer: Mapped[Customer] = relationship(back_populates="events")
    agent: Mapped[Agent | None] = relationship(back_populates="events")


class Recommendation(IdMixin, TimestampMixin, Base):
    """An agent's proposal, with its evidence in `data`."""

    __tablename__ = "recommendations"
    __table_args__ = (
        UniqueConstraint("id", "customer_id"),
        CheckConstraint(
            "confidence_score >= 0.0 AND confidence_score <= 1.0", name="check_confidence_range"
        ),
        Index("idx_rec_agent", "agent_id"),
        Index("idx_rec_type", "type"),
        Index("idx_rec_status", "status"),
        Index("idx_rec_priority", "priority"),
        Index("idx_rec_created", "created_at"),
        Index("idx_rec_customer_status", "customer_id", "status"),
        Index("ix_recommendations_customer_time", "customer_id", "created_at", "id"),
        CheckConstraint("estimated_savings <> 'NaN'", name="check_estimated_savings"),
        CheckConstraint("estimated_improvement <> 'NaN'", name="check_estimated_improvement"),
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
    evidence_digest: Mapped[str | None] = mapped_column(
        String(64), doc="of the change and the evidence for it"
    )
    version: Mapped[int] = mapped_column(default=0, server_default="0")

    customer: Mapped[Customer] = relationship(back_populates="recommendations")
    agent: Mapped[Agent] = relationship(back_populates="recommendations")
    approvals: Mapped[list[Approval]] = relationship(
        back_populates="recommendation", cascade=OWNED, passive_deletes=True
    )
    optimizations: Mapped[list[Optimization]] = relationship(
        back_populates="recommendation",
        cascade=OWNED,
        passive_deletes=True,
        foreign_keys="Optimization.recommendation_id",
    )


class Approval(IdMixin, TimestampMixin, Base):
    """One person's decision on a recommendation, for or against it."""

    __tablename__ = "approvals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["recommendation_id", "customer_id"],
            ["recommendations.id", "recommendations.customer_id"],
            ondelete="CASCADE",
        ),
        Index(
            "uq_approval_decided",
            "customer_id",
            "recommendation_id",
            "approved_by",
            unique=True,
            postgresql_where=text("status <> 'pending'"),
        ),
        Index("idx_approval_rec", "recommendation_id"),
        Index("idx_approval_status", "status"),
    )

    customer_id: Mapped[UUID] = mapped_column(
        server_default=FetchedValue(), doc="that of its recommendation; the database fills it in"
    )
    recommendation_id: Mapped[UUID]
    approved_by: Mapped[str] = mapped_column(String(255), doc="who decided, either way")
    status: Mapped[ApprovalStatus] = mapped_column(
        make_enum_type(ApprovalStatus, "approvalstatus"),
        default=ApprovalStatus.PENDING,
        server_default=ApprovalStatus.PENDING.value,
    )
    comment: Mapped[str | None] = mapped_column(Text)
    evidence_digest: Mapped[str | None] = mapped_column(
        String(64), doc="what was decided on, as it was then"
    )

    recommendation: Mapped[Recommendation] = relationship(back_populates="approvals")


class Optimization(IdMixin, TimestampMixin, Base):
    """The execution of an approved recommendation, and what came of it."""

    __tablename__ = "optimizations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["recommendation_id", "customer_id"],
            ["recommendations.id", "recommendations.customer_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("completed_at >= started_at", name="check_completed_at_order"),
        CheckConstraint("rolled_back_at >= started_at", name="check_rolled_back_at_order"),
        CheckConstraint(
            "status NOT IN ('completed', 'failed', 'rolled_back') OR completed_at IS NOT NULL",
            name="check_completed",
        ),
        Index(
            "uq_optimization_live",
            "customer_id",
            "recommendation_id",
            unique=True,
            postgresql_where=text("status IN ('queued', 'executing')"),
        ),
        CheckConstraint("progress >= 0 AND progress <= 100", name="check_progress_range"),
        Index("idx_opt_rec", "recommendation_id"),
        Index("idx_opt_agent", "agent_id"),
        Index("idx_opt_status", "status"),
        Index("idx_opt_customer_status", "customer_id", "status"),
        Index("ix_optimizations_customer_time", "customer_id", "created_at", "id"),
        CheckConstraint("actual_savings <> 'NaN'", name="check_actual_savings"),
        CheckConstraint("actual_improvement <> 'NaN'", name="check_actual_improvement"),
    )

    recommendation_id: Mapped[UUID]
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
    evidence_digest: Mapped[str | None] = mapped_column(String(64), doc="what was approved")
    version: Mapped[int] = mapped_column(default=0, server_default="0")

    recommendation: Mapped[Recommendation] = relationship(
        back_populates="optimizations", foreign_keys="Optimization.recommendation_id"
    )
    customer: Mapped[Customer] = relationship(back_populates="optimizations")
    agent: Mapped[Agent] = relationship(back_populates="optimizations")
