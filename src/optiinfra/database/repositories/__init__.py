"""Every query on the tables, one class a noun, on the session of the caller's transaction.

A change of status is a compare-and-set: it raises ConflictError, which names the present status,
where somebody was faster. A value that its column does not take is a ConstraintError that names
table, column and value. Lists come in pages (pages.py).
"""

from __future__ import annotations

from optiinfra.database.repositories.agent_metrics import AgentMetrics
from optiinfra.database.repositories.agent_overview import AgentOverview, get_with_state
from optiinfra.database.repositories.agent_states import AgentStates
from optiinfra.database.repositories.agents import NAMES, Agents, Heartbeat
from optiinfra.database.repositories.analyses import (
    RecordedAnalysis,
    RecordedRecommendation,
    record_analysis,
)
from optiinfra.database.repositories.approvals import Approvals
from optiinfra.database.repositories.artifacts import Artifacts
from optiinfra.database.repositories.capabilities import Capabilities
from optiinfra.database.repositories.configs import Configs
from optiinfra.database.repositories.customers import Customers
from optiinfra.database.repositories.decisions import Decisions
from optiinfra.database.repositories.event_outbox import EventOutbox
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.executions import Executions
from optiinfra.database.repositories.leases import Lease, Leases
from optiinfra.database.repositories.new_rows import NewArtifact, NewRecommendation, NewStep
from optiinfra.database.repositories.optimizations import Optimizations
from optiinfra.database.repositories.pages import Cursor, Page
from optiinfra.database.repositories.quality_baselines import NewBaseline, QualityBaselines
from optiinfra.database.repositories.quality_metrics import ModelQuality, QualityMetrics
from optiinfra.database.repositories.quality_regressions import NewRegression, QualityRegressions
from optiinfra.database.repositories.recommendations import Recommendations
from optiinfra.database.repositories.resource_metrics import ResourceMetrics
from optiinfra.database.repositories.scaling_events import NewScaling, ScalingEvents
from optiinfra.database.repositories.steps import PlannedStep, Steps
from optiinfra.database.repositories.transitions import Transitions

__all__ = [
    "NAMES",
    "AgentMetrics",
    "AgentOverview",
    "AgentStates",
    "Agents",
    "Approvals",
    "Artifacts",
    "Capabilities",
    "Configs",
    "Cursor",
    "Customers",
    "Decisions",
    "EventOutbox",
    "Events",
    "Executions",
    "Heartbeat",
    "Lease",
    "Leases",
    "ModelQuality",
    "NewArtifact",
    "NewBaseline",
    "NewRecommendation",
    "NewRegression",
    "NewScaling",
    "NewStep",
    "Optimizations",
    "Page",
    "PlannedStep",
    "QualityBaselines",
    "QualityMetrics",
    "QualityRegressions",
    "Recommendations",
    "RecordedAnalysis",
    "RecordedRecommendation",
    "ResourceMetrics",
    "ScalingEvents",
    "Steps",
    "Transitions",
    "get_with_state",
    "record_analysis",
]
