"""Revision 002 (and `current_workflow_id` of 003): settings, doings and metrics of agents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from optiinfra.database.models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    FORM,
    ONE_ID,
    SENSITIVE,
    Base,
    IdMixin,
    JsonList,
    JsonObject,
    TimestampMixin,
    finite,
    make_enum_type,
    share,
)
from optiinfra.domain.enums import AgentStatusDetail, ConfigType, MetricType
from optiinfra.kit.versions import is_version

if TYPE_CHECKING:
    from optiinfra.database.models.core import Agent
    from optiinfra.database.models.workflow_history import WorkflowExecution

# https://semver.org, without build metadata, which has no order.
SEMVER = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
    r"(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$"
)


class AgentConfig(IdMixin, TimestampMixin, Base):
    """One setting of an agent, as text; `config_type` says how to read it."""

    __tablename__ = "agent_configs"
    __table_args__ = (
        UniqueConstraint("agent_id", "config_key", name="uq_agent_config"),
        Index("idx_agent_config_key", "config_key"),
        CheckConstraint("is_sensitive = (key_id IS NOT NULL)", name="check_sealed"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    config_key: Mapped[str] = mapped_column(String(255))
    config_value: Mapped[str] = mapped_column(Text, info={SENSITIVE: True})
    config_type: Mapped[ConfigType] = mapped_column(
        make_enum_type(ConfigType, "configtype"),
        default=ConfigType.STRING,
        server_default=ConfigType.STRING.value,
    )
    description: Mapped[str | None] = mapped_column(Text)
    is_sensitive: Mapped[bool] = mapped_column(
        default=False, server_default=false(), doc="the value is encrypted, and shown to nobody"
    )
    key_id: Mapped[str | None] = mapped_column(String(50), doc="of the key that encrypted it")
    version: Mapped[int] = mapped_column(default=0, server_default="0")

    agent: Mapped[Agent] = relationship(back_populates="configs")


class AgentState(IdMixin, TimestampMixin, Base):
    """What an agent is doing now; one row an agent."""

    __tablename__ = "agent_states"
    __table_args__ = (
        CheckConstraint("error_count >= 0", name="check_error_count"),
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
    workflow_data: Mapped[JsonObject] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    error_count: Mapped[int] = mapped_column(default=0, server_default="0")
    last_error: Mapped[JsonObject | None]
    last_heartbeat: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(
        default=0, server_default="0", doc="grows with each change by compare-and-set"
    )

    agent: Mapped[Agent] = relationship(back_populates="state")
    current_workflow: Mapped[WorkflowExecution | None] = relationship()


class AgentCapability(IdMixin, TimestampMixin, Base):
    """One version of one thing an agent can do, and its share of the traffic."""

    __tablename__ = "agent_capabilities"
    __table_args__ = (
        UniqueConstraint(
            "agent_id", "capability_name", "capability_version", name="uq_agent_capability_version"
        ),
        CheckConstraint(share("traffic_ratio"), name="check_traffic_ratio"),
        CheckConstraint(f"capability_version ~ '{SEMVER}'", name="check_capability_version"),
        Index("idx_agent_cap_name", "capability_name"),
        Index("idx_agent_cap_enabled", "enabled"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    capability_name: Mapped[str] = mapped_column(String(255))
    capability_version: Mapped[str] = mapped_column(
        String(50),
        default="1.0.0",
        server_default="1.0.0",
        info={FORM: (is_version, "a semantic version like 1.2.0")},
    )
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    config: Mapped[JsonObject | None] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    description: Mapped[str | None] = mapped_column(Text)
    traffic_ratio: Mapped[float] = mapped_column(
        default=1.0,
        server_default=text("1"),
        doc="of the enabled versions of this capability, sum 1",
    )

    agent: Mapped[Agent] = relationship(back_populates="capability_details")


class AgentMetric(IdMixin, Base):
    """One sample of an agent's own performance; partitioned by `recorded_at`."""

    __tablename__ = "agent_metrics"
    __table_args__ = (
        PrimaryKeyConstraint("id", "recorded_at"),
        CheckConstraint(finite("metric_value"), name="check_metric_value"),
        CheckConstraint("metric_type <> 'counter' OR metric_value >= 0", name="check_counter"),
        Index("ix_agent_metrics_name_time", "agent_id", "metric_name", "recorded_at"),
    )

    __mapper_args__ = ONE_ID

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    metric_name: Mapped[str] = mapped_column(String(255))
    metric_value: Mapped[float]
    metric_type: Mapped[MetricType] = mapped_column(
        make_enum_type(MetricType, "metrictype"),
        default=MetricType.GAUGE,
        server_default=MetricType.GAUGE.value,
    )
    tags: Mapped[JsonObject | None] = mapped_column(default=dict, server_default=EMPTY_OBJECT)
    recorded_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.now())
    metric_unit: Mapped[str | None] = mapped_column(String(50))

    agent: Mapped[Agent] = relationship(back_populates="metrics")
