"""What a caller hands over to be written: checked values, not yet rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from optiinfra.database.models import ArtifactType, RecommendationPriority
from optiinfra.kit.time import require_utc

CENT = Decimal("0.01")
MAX_USD = Decimal("99999999.99")  # numeric(10,2)
MAX_NAME = 255
MAX_TYPE = 100
MAX_DIGEST = 64
# Keys of `recommendations.data` that this package writes and reads itself.
ANALYSIS_KEY = "analysis_execution_id"
DEPLOYMENT_KEY = "deployment"
DIGEST_KEY = "evidence_digest"
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
        _check_length("type", self.type, MAX_TYPE)
        _check_length("title", self.title, MAX_NAME)
        if not self.deployment or not self.evidence_digest:
            message = "a recommendation names its deployment and the digest of its evidence"
            raise ValueError(message)
        _check_length("evidence_digest", self.evidence_digest, MAX_DIGEST)
        if not (math.isfinite(self.confidence) and 0.0 <= self.confidence <= 1.0):
            message = f"confidence is 0 to 1, not {self.confidence}"
            raise ValueError(message)
        for number in (self.estimated_savings, self.estimated_improvement):
            if number is not None and not (number.is_finite() and abs(number) <= MAX_USD):
                message = f"{number} does not fit its column"
                raise ValueError(message)
        if taken := RESERVED_KEYS & self.data.keys():
            message = f"{sorted(taken)} in data are written by the repository"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step that was done, from `started_at` to `completed_at`."""

    name: str
    started_at: datetime
    completed_at: datetime
    input_data: dict[str, Any] = field(default_factory=dict)
    output_data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_length("name", self.name, MAX_NAME)
        if require_utc(self.completed_at) < require_utc(self.started_at):
            message = f"step {self.name!r} was completed before it started"
            raise ValueError(message)


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
        _check_length("name", self.name, MAX_NAME)
        if self.size_bytes < 0:
            message = f"artifact {self.name!r} has a negative size"
            raise ValueError(message)


def _check_length(what: str, text: str, limit: int) -> None:
    if not 0 < len(text) <= limit:
        message = f"{what} has 1 to {limit} characters, not {len(text)}"
        raise ValueError(message)
