"""Which status may follow which: one table a status, and all changes go through it."""

from __future__ import annotations

from typing import Final

from optiinfra.domain.enums import (
    AgentStatus,
    ApprovalStatus,
    CustomerStatus,
    OptimizationStatus,
    RecommendationStatus,
    StepStatus,
    WorkflowStatus,
)
from optiinfra.kit.lifecycle import Lifecycle

RECOMMENDATION: Final = Lifecycle(
    name="recommendation",
    initial=RecommendationStatus.PENDING,
    table={
        RecommendationStatus.PENDING: frozenset(
            {RecommendationStatus.APPROVED, RecommendationStatus.REJECTED}
        ),
        RecommendationStatus.APPROVED: frozenset({RecommendationStatus.EXECUTING}),
        RecommendationStatus.REJECTED: frozenset(),
        RecommendationStatus.EXECUTING: frozenset(
            {
                RecommendationStatus.COMPLETED,
                RecommendationStatus.FAILED,
                RecommendationStatus.ROLLED_BACK,
            }
        ),
        RecommendationStatus.COMPLETED: frozenset(),
        RecommendationStatus.FAILED: frozenset(),
        RecommendationStatus.ROLLED_BACK: frozenset(),
    },
)

APPROVAL: Final = Lifecycle(
    name="approval",
    initial=ApprovalStatus.PENDING,
    table={
        ApprovalStatus.PENDING: frozenset({ApprovalStatus.APPROVED, ApprovalStatus.REJECTED}),
        ApprovalStatus.APPROVED: frozenset(),
        ApprovalStatus.REJECTED: frozenset(),
    },
)

OPTIMIZATION: Final = Lifecycle(
    name="optimization",
    initial=OptimizationStatus.QUEUED,
    table={
        # Queued -> failed: its lease or its generation ran out before anything was touched.
        OptimizationStatus.QUEUED: frozenset(
            {OptimizationStatus.EXECUTING, OptimizationStatus.FAILED}
        ),
        OptimizationStatus.EXECUTING: frozenset(
            {
                OptimizationStatus.COMPLETED,
                OptimizationStatus.FAILED,
                OptimizationStatus.ROLLED_BACK,
            }
        ),
        OptimizationStatus.COMPLETED: frozenset(),
        OptimizationStatus.FAILED: frozenset(),
        OptimizationStatus.ROLLED_BACK: frozenset(),
    },
)

WORKFLOW: Final = Lifecycle(
    name="workflow execution",
    initial=WorkflowStatus.PENDING,
    table={
        WorkflowStatus.PENDING: frozenset({WorkflowStatus.RUNNING, WorkflowStatus.CANCELLED}),
        WorkflowStatus.RUNNING: frozenset(
            {
                WorkflowStatus.COMPLETED,
                WorkflowStatus.FAILED,
                WorkflowStatus.CANCELLED,
                WorkflowStatus.TIMEOUT,
            }
        ),
        WorkflowStatus.COMPLETED: frozenset(),
        WorkflowStatus.FAILED: frozenset(),
        WorkflowStatus.CANCELLED: frozenset(),
        WorkflowStatus.TIMEOUT: frozenset(),
    },
)

STEP: Final = Lifecycle(
    name="workflow step",
    initial=StepStatus.PENDING,
    table={
        StepStatus.PENDING: frozenset({StepStatus.RUNNING, StepStatus.SKIPPED}),
        StepStatus.RUNNING: frozenset(
            {StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.RETRYING}
        ),
        StepStatus.COMPLETED: frozenset(),
        StepStatus.FAILED: frozenset(),
        StepStatus.SKIPPED: frozenset(),
        StepStatus.RETRYING: frozenset({StepStatus.RUNNING, StepStatus.FAILED}),
    },
)

# The two below are not enforced by the database as well: a person or the next heartbeat puts right
# what is wrong in them.
CUSTOMER: Final = Lifecycle(
    name="customer",
    initial=CustomerStatus.ACTIVE,
    table={
        CustomerStatus.ACTIVE: frozenset({CustomerStatus.SUSPENDED, CustomerStatus.CHURNED}),
        CustomerStatus.SUSPENDED: frozenset({CustomerStatus.ACTIVE, CustomerStatus.CHURNED}),
        CustomerStatus.CHURNED: frozenset(),
    },
)

AGENT: Final = Lifecycle(
    name="agent",
    initial=AgentStatus.STARTING,
    table={
        AgentStatus.STARTING: frozenset(
            {AgentStatus.HEALTHY, AgentStatus.DEGRADED, AgentStatus.FAILED, AgentStatus.STOPPED}
        ),
        AgentStatus.HEALTHY: frozenset(
            {AgentStatus.STARTING, AgentStatus.DEGRADED, AgentStatus.FAILED, AgentStatus.STOPPED}
        ),
        AgentStatus.DEGRADED: frozenset(
            {AgentStatus.STARTING, AgentStatus.HEALTHY, AgentStatus.FAILED, AgentStatus.STOPPED}
        ),
        AgentStatus.FAILED: frozenset(
            {AgentStatus.STARTING, AgentStatus.HEALTHY, AgentStatus.DEGRADED, AgentStatus.STOPPED}
        ),
        # A late heartbeat does not wake it up: it is started, and registers again.
        AgentStatus.STOPPED: frozenset({AgentStatus.STARTING}),
    },
)
