"""What a caller hands over to be written: checked values, not yet rows.

A value that its column does not take is a ConstraintError when it is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from optiinfra.database.checked_rows import check_values, refuse, require_text
from optiinfra.database.models import (
    ArtifactType,
    Recommendation,
    RecommendationPriority,
    WorkflowArtifact,
    WorkflowStep,
)

CENT = Decimal("0.01")
# Keys of `recommendations.data` that this package writes and reads itself.
ANALYSIS_KEY = "analysis_execution_id"
DEPLOYMENT_KEY = "deployment"
DIGEST_KEY = "evidence_digest"
DIGEST_NOTE = "sha256"  # in an artifact's metadata
RESERVED_KEYS = frozenset({ANALYSIS_KEY, DEPLOYMENT_KEY, DIGEST_KEY})


@dataclass(frozen=True, slots=True)
class NewRecommendation:
    """A proposal to be written.

    `estimated_savings` is USD per month, None when unknown; `confidence` is 0..1. `data` must be
    plain JSON. The same `evidence_digest` means the same change on the same evidence.
    """

    type: str
    title: str
    deployment: str
    evidence_digest: str
    description: str | None = None
    estimated_savings: Decimal | None = None
    estimated_improvement: Decimal | None = None  # performance after over before
    confidence: float = 0.0
    priority: RecommendationPriority = RecommendationPriority.MEDIUM
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_values(
            Recommendation,
            {
                "type": self.type,
                "title": self.title,
                "description": self.description,
                "evidence_digest": self.evidence_digest,
                "estimated_savings": self.estimated_savings,
                "estimated_improvement": self.estimated_improvement,
                "confidence_score": self.confidence,
                "priority": self.priority,
                "data": self.data,
            },
        )
        require_text(Recommendation.type, self.type)
        require_text(Recommendation.title, self.title)
        require_text(Recommendation.evidence_digest, self.evidence_digest)
        if not self.deployment:
            refuse(Recommendation.data, "names no deployment", self.deployment)
        if taken := RESERVED_KEYS & self.data.keys():
            names = ", ".join(sorted(taken))
            refuse(Recommendation.data, "is a key that the repository writes itself", names)


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step that was done, from `started_at` to `completed_at`."""

    name: str
    started_at: datetime
    completed_at: datetime
    input_data: dict[str, Any] = field(default_factory=dict)
    output_data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_values(
            WorkflowStep,
            {
                "step_name": self.name,
                "started_at": self.started_at,
                "completed_at": self.completed_at,
                "input_data": self.input_data,
                "output_data": self.output_data,
            },
        )
        require_text(WorkflowStep.step_name, self.name)
        if self.completed_at < self.started_at:
            refuse(WorkflowStep.completed_at, "is before the step started", self.completed_at)


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A file that was left behind; `sha256` is the hex digest of its content."""

    type: ArtifactType
    name: str
    path: str
    size_bytes: int
    sha256: str
    content_type: str | None = None
    step_name: str | None = None  # the step that wrote it

    def __post_init__(self) -> None:
        check_values(
            WorkflowArtifact,
            {
                "artifact_type": self.type,
                "artifact_name": self.name,
                "artifact_path": self.path,
                "artifact_size_bytes": self.size_bytes,
                "content_type": self.content_type,
                "artifact_metadata": {DIGEST_NOTE: self.sha256},
            },
        )
        require_text(WorkflowArtifact.artifact_name, self.name)
