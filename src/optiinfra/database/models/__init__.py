"""Every model and every enum of the schema, under the names of the specification."""

from __future__ import annotations

from optiinfra.database.models.agent_state import (
    AgentCapability,
    AgentConfig,
    AgentMetric,
    AgentState,
)
from optiinfra.database.models.base import Base, UtcDateTime
from optiinfra.database.models.core import (
    Agent,
    Approval,
    Customer,
    Event,
    Optimization,
    Recommendation,
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
    ConfigType,
    CustomerPlan,
    CustomerStatus,
    EventSeverity,
    MetricType,
    OptimizationStatus,
    RecommendationPriority,
    RecommendationStatus,
    StepStatus,
    WorkflowStatus,
    WorkflowType,
)

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
    "Base",
    "ConfigType",
    "Customer",
    "CustomerPlan",
    "CustomerStatus",
    "Event",
    "EventSeverity",
    "MetricType",
    "Optimization",
    "OptimizationStatus",
    "Recommendation",
    "RecommendationPriority",
    "RecommendationStatus",
    "StepStatus",
    "UtcDateTime",
    "WorkflowArtifact",
    "WorkflowExecution",
    "WorkflowStatus",
    "WorkflowStep",
    "WorkflowType",
]
