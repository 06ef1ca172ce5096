"""Revision 002 (and `current_workflow_id` of 003): settings, doings and metrics of agents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, func, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    Base,
    IdMixin,
    JsonList,
    JsonObject,
    TimestampMixin,
    make_enum_type,
)
from optiinfra.domain.enums import AgentStatusDetail, ConfigType, MetricType

if TYPE_CHECKING:
    from optiinfra.database.models.core import Agent
    from optiinfra.database.models.workflow_history import WorkflowExecution


class AgentConfig(IdMixin, TimestampMixin, Base):
    """One setting of an agent, as text; `config_type` says how to read it."""

    __tablename__ = "agent_configs"
    __table_args__ = (
        UniqueConstraint("agent_id", "config_key", name="uq_agent_config"),
        Index("idx_agent_config_agent", "agent_id"),
        Index("idx_agent_config_key", "config_key"),
        Index("idx_agent_config_agent_key", "agent_id", "config_key"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    config_key: Mapped[str] = mapped_column(String(255))
    config_value: Mapped[str] = mapped_column(Text)
    config_type: Mapped[ConfigType] = mapped_column(
        make_enum_type(ConfigType, "configtype"),
        default=ConfigType.STRING,
        server_default=ConfigType.STRING.value,
    )
    description: Mapped[str | None] = mapped_column(Text)

    agent: Mapped[Agent] = relationship(back_populates="configs")


class AgentState(IdMixin, TimestampMixin, Base):
    """What an agent is doing now; one row an agent."""

    __tablename__ = "agent_states"
    __table_args__ = (
        Index("idx_agent_state_agent", "agent_id"),
        Index("idx_agent_state_status", "current_status"),
        Index("idx_agent_state_activity", "last_activity"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), unique=True)
    current_status: Mapped[AgentStatusDetail] = mapped_column(
        make_enum_type(AgentStatusDetail, "agentstatusdetail"),
        default=AgentStatusDetail.IDLE,
        server_default=AgentStatusDetail.IDLE.value,
    )
    active_workflows: Mapped[JsonList] = mapped_column(default=list, server_default=EMPTY_LIST)
    locks: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    last_activity: Mapped[datetime] = mapped_column(server_default=func.now())
    resource_usage: Mapped[JsonObject | None] = mapped_column(
        default=dict, server_default=EMPTY_OBJECT
    )
    state_metadata: Mapped[JsonObject | None] = mapped_column(
        "metadata", default=dict, server_default=EMPTY_OBJECT
    )
    current_workflow_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("workflow_executions.id", ondelete="SET NULL"), index=True
    )

    agent: Mapped[Agent] = relationship(back_populates="state")
    current_workflow: Mapped[WorkflowExecution | None] = relationship()


class AgentCapability(IdMixin, TimestampMixin, Base):
    """One thing an agent can do."""

    __tablename__ = "agent_capabilities"
    __table_args__ = (
        UniqueConstraint("agent_id", "capability_name", name="uq_agent_capability"),
        Index("idx_agent_cap_agent", "agent_id"),
        Index("idx_agent_cap_name", "capability_name"),
        Index("idx_agent_cap_enabled", "enabled"),
        Index("idx_agent_cap_agent_name", "agent_id", "capability_name"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    capability_name: Mapped[str] = mapped_column(String(255))
    capability_version: Mapped[str] = mapped_column(
        String(50), default="1.0.0", server_default="1.0.0"
    )
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    config: Mapped[JsonObject | None] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    description: Mapped[str | None] = mapped_column(Text)

    agent: Mapped[Agent] = relationship(back_populates="capability_details")


class AgentMetric(IdMixin, Base):
    """One sample of an agent's own performance."""

    __tablename__ = "agent_metrics"
    __table_args__ = (
        Index("idx_agent_metric_agent", "agent_id"),
        Index("idx_agent_metric_name", "metric_name"),
        Index("idx_agent_metric_recorded", "recorded_at"),
        Index("idx_agent_metric_agent_name", "agent_id", "metric_name"),
        Index("idx_agent_metric_agent_recorded", "agent_id", "recorded_at"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    metric_name: Mapped[str] = mapped_column(String(255))
    metric_value: Mapped[float]
    metric_type: Mapped[MetricType] = mapped_column(
        make_enum_type(MetricType, "metrictype"),
        default=MetricType.GAUGE,
        server_default=MetricType.GAUGE.value,
    )
    tags: Mapped[JsonObject | None] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())

    agent: Mapped[Agent] = relationship(back_populates="metrics")
