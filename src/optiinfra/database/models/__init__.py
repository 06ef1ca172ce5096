"""Every model and every enum of the schema, under the names of the specification."""

from __future__ import annotations

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
from optiinfra.database.models.base import Base, UtcDateTime, add_instant_checks
from optiinfra.database.models.core import (
    Agent,
    Approval,
    Customer,
    Event,
    Optimization,
    Recommendation,
)
from optiinfra.database.models.event_bus import (
    EventClaim,
    EventGroup,
    LoggedEvent,
    OutboxEvent,
)
from optiinfra.database.models.forgettable import CacheEntry, RateBucket
from optiinfra.database.models.records import (
    AuditEntry,
    CapabilitySplit,
    MigrationFinding,
    WorkflowStateTransition,
)
from optiinfra.database.models.resource_schema import ResourceMetric, ScalingEvent
from optiinfra.database.models.resource_series import (
    ResourceMetricDay,
    ResourceRollupMark,
    ResourceSeries,
)
from optiinfra.database.models.workflow_history import (
    WorkflowArtifact,
    WorkflowExecution,
    WorkflowStep,
)
from optiinfra.domain.enums import (
    AgentStatus,
    AgentStatusDetail,
    AgentType,
    ApprovalStatus,
    ArtifactType,
    BaselineType,
    ConfigType,
    CustomerPlan,
    CustomerStatus,
    EventSeverity,
    MetricType,
    OptimizationStatus,
    RecommendationPriority,
    RecommendationStatus,
    RegressionAction,
    RegressionSeverity,
    RegressionType,
    ResourceType,
    ScalingEventType,
    StepStatus,
    WorkflowStatus,
    WorkflowType,
)

add_instant_checks(Base.metadata)

__all__ = [
    "Agent",
    "AgentCapability",
    "AgentConfig",
    "AgentMetric",
    "AgentState",
    "AgentStatus",
    "AgentStatusDetail",
    "AgentType",
    "Approval",
    "ApprovalStatus",
    "ArtifactType",
    "AuditEntry",
    "Base",
    "BaselineType",
    "CacheEntry",
    "CapabilitySplit",
    "ConfigType",
    "Customer",
    "CustomerPlan",
    "CustomerStatus",
    "Event",
    "EventClaim",
    "EventGroup",
    "EventSeverity",
    "LoggedEvent",
    "MetricType",
    "MigrationFinding",
    "Optimization",
    "OptimizationStatus",
    "OutboxEvent",
    "QualityBaseline",
    "QualityMetric",
    "QualityRegression",
    "RateBucket",
    "Recommendation",
    "RecommendationPriority",
    "RecommendationStatus",
    "RegressionAction",
    "RegressionSeverity",
    "RegressionType",
    "ResourceMetric",
    "ResourceMetricDay",
    "ResourceRollupMark",
    "ResourceSeries",
    "ResourceType",
    "ScalingEvent",
    "ScalingEventType",
    "StepStatus",
    "UtcDateTime",
    "WorkflowArtifact",
    "WorkflowExecution",
    "WorkflowStateTransition",
    "WorkflowStatus",
    "WorkflowStep",
    "WorkflowType",
]
