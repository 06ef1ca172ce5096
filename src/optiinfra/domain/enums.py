"""Closed sets of words, stored by value: the enum types of revisions 001 to 005."""

from __future__ import annotations

from enum import StrEnum


class CustomerPlan(StrEnum):
    """What a customer subscribed to."""

    FREE = "free"
    STARTUP = "startup"
    ENTERPRISE = "enterprise"


class CustomerStatus(StrEnum):
    """Whether a customer's account is in use."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # kept, but nothing is done for it
    CHURNED = "churned"  # has left


class AgentType(StrEnum):
    """What an agent looks after."""

    ORCHESTRATOR = "orchestrator"
    COST = "cost"
    PERFORMANCE = "performance"
    RESOURCE = "resource"
    APPLICATION = "application"


class AgentStatus(StrEnum):
    """Health of an agent as last heard."""

    STARTING = "starting"  # registered, no heartbeat yet
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # alive, but not all it should be
    FAILED = "failed"
    STOPPED = "stopped"  # on purpose


class EventSeverity(StrEnum):
    """How much attention an event asks for."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class RecommendationPriority(StrEnum):
    """In which order a person should look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RecommendationStatus(StrEnum):
    """How far a proposal has come."""

    PENDING = "pending"  # waits for a person
    APPROVED = "approved"
    REJECTED = "rejected"
    EXECUTING = "executing"  # the change is being made
    COMPLETED = "completed"  # made and kept
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"  # made, found harmful, undone


class ApprovalStatus(StrEnum):
    """One person's decision."""

    PENDING = "pending"  # asked, not decided
    APPROVED = "approved"
    REJECTED = "rejected"


class OptimizationStatus(StrEnum):
    """How far the execution of an approved recommendation has come."""

    QUEUED = "queued"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class ConfigType(StrEnum):
    """How the text of an agent's configuration value is to be read."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    JSON = "json"


class AgentStatusDetail(StrEnum):
    """What an agent is doing just now."""

    IDLE = "idle"
    BUSY = "busy"
    PROCESSING = "processing"
    WAITING = "waiting"
    ERROR = "error"


class MetricType(StrEnum):
    """How samples of an agent's metric add up."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"  # any value at any time
    HISTOGRAM = "histogram"


class WorkflowType(StrEnum):
    """What a workflow is for."""

    COST_ANALYSIS = "cost_analysis"
    PERFORMANCE_TUNING = "performance_tuning"
    RESOURCE_OPTIMIZATION = "resource_optimization"
    QUALITY_CHECK = "quality_check"
    SCALING_DECISION = "scaling_decision"
    CONFIGURATION_UPDATE = "configuration_update"
    HEALTH_CHECK = "health_check"
    ANOMALY_DETECTION = "anomaly_detection"


class WorkflowStatus(StrEnum):
    """How far a workflow's execution has come."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"  # by a person
    TIMEOUT = "timeout"  # by its time limit


class StepStatus(StrEnum):
    """How far one step of an execution has come."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"  # out of retries
    SKIPPED = "skipped"  # not needed, or its execution was cancelled before it began
    RETRYING = "retrying"  # failed, and waits for another try


class ArtifactType(StrEnum):
    """What a workflow left behind."""

    REPORT = "report"
    CONFIG = "config"
    LOG = "log"
    RECOMMENDATION = "recommendation"
    CHART = "chart"
    METRICS = "metrics"
    ALERT = "alert"
    DIAGNOSTIC = "diagnostic"


class ResourceType(StrEnum):
    """What a resource metric is about."""

    GPU = "gpu"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"


class ScalingEventType(StrEnum):
    """What was done to the number of replicas or instances."""

    SCALE_UP = "scale_up"
    SCALE_DOWN = "scale_down"
    AUTO_SCALE_TRIGGERED = "auto_scale_triggered"  # decided, not yet carried out
    MANUAL_SCALE = "manual_scale"  # by a person
    SCALE_CANCELLED = "scale_cancelled"


class BaselineType(StrEnum):
    """Why a baseline of quality was established."""

    INITIAL = "initial"
    UPDATED = "updated"  # the model or its workload changed for good
    ROLLBACK = "rollback"  # after a change was undone


class RegressionType(StrEnum):
    """How quality fell behind its baseline."""

    QUALITY_DROP = "quality_drop"
    LATENCY_INCREASE = "latency_increase"
    HALLUCINATION_SPIKE = "hallucination_spike"
    TOXICITY_INCREASE = "toxicity_increase"


class RegressionSeverity(StrEnum):
    """How bad a regression is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RegressionAction(StrEnum):
    """What was done about a regression."""

    ALERT_ONLY = "alert_only"
    ROLLBACK_TRIGGERED = "rollback_triggered"
    MANUAL_REVIEW = "manual_review"
    AUTO_FIXED = "auto_fixed"
