"""Every query on the tables, one class a noun, on the session of the caller's transaction."""

from __future__ import annotations

from optiinfra.database.repositories.agents import NAMES, Agents
from optiinfra.database.repositories.customers import Customers
from optiinfra.database.repositories.decisions import Decisions
from optiinfra.database.repositories.events import Events
from optiinfra.database.repositories.new_rows import NewArtifact, NewRecommendation, NewStep
from optiinfra.database.repositories.recommendations import Cursor, Page, Recommendations
from optiinfra.database.repositories.workflows import (
    RecordedAnalysis,
    RecordedRecommendation,
    Workflows,
    record_analysis,
)

__all__ = [
    "NAMES",
    "Agents",
    "Cursor",
    "Customers",
    "Decisions",
    "Events",
    "NewArtifact",
    "NewRecommendation",
    "NewStep",
    "Page",
    "Recommendations",
    "RecordedAnalysis",
    "RecordedRecommendation",
    "Workflows",
    "record_analysis",
]
