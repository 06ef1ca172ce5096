"""Revision 005: quality of answers, what it is measured against, and where it fell behind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_OBJECT,
    Base,
    CreatedMixin,
    IdMixin,
    JsonObject,
    TimestampMixin,
    finite,
    make_enum_type,
    share,
)
from optiinfra.database.models.core import OWNED
from optiinfra.domain.enums import (
    BaselineType,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
)

if TYPE_CHECKING:
    from optiinfra.database.models.core import Agent, Customer
    from optiinfra.database.models.workflow_history import WorkflowExecution

SECONDS_PER_MINUTE = 60


class QualityMetric(IdMixin, CreatedMixin, Base):
    """Scores of one answer; all scores are 0 to 1, NULL when not measured."""

    __tablename__ = "quality_metrics"
    __table_args__ = (
        CheckConstraint(f"latency_ms >= 0 AND {finite('latency_ms')}", name="check_latency_ms"),
        CheckConstraint("prompt_tokens >= 0", name="check_prompt_tokens"),
        CheckConstraint("completion_tokens >= 0", name="check_completion_tokens"),
        CheckConstraint(share("relevance_score"), name="check_relevance_score"),
        CheckConstraint(share("coherence_score"), name="check_coherence_score"),
        CheckConstraint(share("factuality_score"), name="check_factuality_score"),
        CheckConstraint(share("toxicity_score"), name="check_toxicity_score"),
        CheckConstraint(share("overall_quality_score"), name="check_overall_quality_score"),
        Index("uq_quality_metric_request", "customer_id", "request_id", unique=True),
        Index("ix_quality_metrics_customer_time", "customer_id", "timestamp", "id"),
        Index("ix_quality_metrics_hallucination_detected", "hallucination_detected"),
        Index("ix_quality_metrics_overall_quality_score", "overall_quality_score"),
        Index("ix_quality_metrics_timestamp", "timestamp"),
        Index("ix_quality_metrics_agent_model", "agent_id", "model_name"),
        Index("ix_quality_metrics_customer_model", "customer_id", "model_name"),
        Index("ix_quality_metrics_model_timestamp", "model_name", "timestamp"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    request_id: Mapped[str] = mapped_column(String(255))
    model_name: Mapped[str] = mapped_column(String(100))
    model_version: Mapped[str] = mapped_column(String(50))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    latency_ms: Mapped[float | None]
    relevance_score: Mapped[float | None]
    coherence_score: Mapped[float | None]
    factuality_score: Mapped[float | None]
    hallucination_detected: Mapped[bool] = mapped_column(default=False, server_default=false())
    toxicity_score: Mapped[float | None]
    overall_quality_score: Mapped[float]
    timestamp: Mapped[datetime] = mapped_column(doc="when the answer was given")
    quality_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    agent: Mapped[Agent] = relationship(back_populates="quality_metrics")
    customer: Mapped[Customer] = relationship(back_populates="quality_metrics")


class QualityBaseline(IdMixin, CreatedMixin, Base):
    """What quality of a model was when it was known to be good."""

    __tablename__ = "quality_baselines"
    __table_args__ = (
        UniqueConstraint("id", "customer_id"),
        CheckConstraint(share("avg_relevance_score"), name="check_avg_relevance_score"),
        CheckConstraint(share("avg_coherence_score"), name="check_avg_coherence_score"),
        CheckConstraint(share("avg_factuality_score"), name="check_avg_factuality_score"),
        CheckConstraint(share("avg_overall_score"), name="check_avg_overall_score"),
        CheckConstraint(
            f"p95_latency_ms >= 0 AND {finite('p95_latency_ms')}", name="check_p95_latency_ms"
        ),
        CheckConstraint("sample_size >= 0", name="check_sample_size"),
        CheckConstraint("valid_until >= established_at", name="check_valid_until_order"),
        Index("ix_quality_baselines_model_name", "model_name"),
        Index("ix_quality_baselines_baseline_type", "baseline_type"),
        Index("ix_quality_baselines_established_at", "established_at"),
        Index("ix_quality_baselines_agent_model", "agent_id", "model_name"),
        Index("ix_quality_baselines_customer_model", "customer_id", "model_name"),
        Index("ix_quality_baselines_customer_time", "customer_id", "established_at", "id"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    model_name: Mapped[str] = mapped_column(String(100))
    model_version: Mapped[str] = mapped_column(String(50))
    baseline_type: Mapped[BaselineType] = mapped_column(
        make_enum_type(BaselineType, "baseline_type")
    )
    sample_size: Mapped[int]
    avg_relevance_score: Mapped[float | None]
    avg_coherence_score: Mapped[float | None]
    avg_factuality_score: Mapped[float | None]
    avg_overall_score: Mapped[float]
    p95_latency_ms: Mapped[float | None]
    established_at: Mapped[datetime]
    valid_until: Mapped[datetime | None] = mapped_column(doc="NULL: until another replaces it")
    baseline_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    agent: Mapped[Agent] = relationship(back_populates="quality_baselines")
    customer: Mapped[Customer] = relationship(back_populates="quality_baselines")
    regressions: Mapped[list[QualityRegression]] = relationship(
        back_populates="baseline",
        cascade=OWNED,
        passive_deletes=True,
        foreign_keys="QualityRegression.baseline_id",
    )


class QualityRegression(IdMixin, TimestampMixin, Base):
    """Quality that fell behind its baseline, and what was done about it."""

    __tablename__ = "quality_regressions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["baseline_id", "customer_id"],
            ["quality_baselines.id", "quality_baselines.customer_id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["workflow_execution_id", "customer_id"],
            ["workflow_executions.id", "workflow_executions.customer_id"],
            ondelete="SET NULL (workflow_execution_id)",
        ),
        CheckConstraint(finite("baseline_value"), name="check_baseline_value"),
        CheckConstraint(finite("current_value"), name="check_current_value"),
        CheckConstraint(finite("delta_percent"), name="check_delta_percent"),
        CheckConstraint("sample_size >= 0", name="check_sample_size"),
        CheckConstraint("resolved_at >= detected_at", name="check_resolved_at_order"),
        Index("ix_quality_regressions_baseline_id", "baseline_id"),
        Index("ix_quality_regressions_workflow_execution_id", "workflow_execution_id"),
        Index("ix_quality_regressions_regression_type", "regression_type"),
        Index("ix_quality_regressions_severity", "severity"),
        Index("ix_quality_regressions_detected_at", "detected_at"),
        Index("ix_quality_regressions_action_taken", "action_taken"),
        Index("ix_quality_regressions_agent_severity", "agent_id", "severity"),
        Index("ix_quality_regressions_customer_type", "customer_id", "regression_type"),
        Index("ix_quality_regressions_customer_time", "customer_id", "detected_at", "id"),
        Index("ix_quality_regressions_unresolved", "resolved_at"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    baseline_id: Mapped[UUID]
    workflow_execution_id: Mapped[UUID | None]
    regression_type: Mapped[RegressionType] = mapped_column(
        make_enum_type(RegressionType, "regression_type")
    )
    severity: Mapped[RegressionSeverity] = mapped_column(
        make_enum_type(RegressionSeverity, "regression_severity")
    )
    detected_at: Mapped[datetime]
    metric_name: Mapped[str] = mapped_column(String(100))
    baseline_value: Mapped[float]
    current_value: Mapped[float]
    delta_percent: Mapped[float] = mapped_column(doc="of the baseline's value, signed")
    sample_size: Mapped[int]
    action_taken: Mapped[RegressionAction] = mapped_column(
        make_enum_type(RegressionAction, "regression_action")
    )
    resolved_at: Mapped[datetime | None]
    resolution_notes: Mapped[str | None] = mapped_column(Text)
    regression_metadata: Mapped[JsonObject] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )

    agent: Mapped[Agent] = relationship(back_populates="quality_regressions")
    customer: Mapped[Customer] = relationship(back_populates="quality_regressions")
    baseline: Mapped[QualityBaseline] = relationship(
        back_populates="regressions", foreign_keys="QualityRegression.baseline_id"
    )
    workflow: Mapped[WorkflowExecution | None] = relationship(
        foreign_keys="QualityRegression.workflow_execution_id"
    )

    @property
    def is_resolved(self) -> bool:
        """Whether somebody or something put it right."""
        return self.resolved_at is not None

    @property
    def time_to_resolve_minutes(self) -> float | None:
        """Minutes from detection to resolution; None while it is open."""
        if self.resolved_at is None:
            return None
        return (self.resolved_at - self.detected_at).total_seconds() / SECONDS_PER_MINUTE
