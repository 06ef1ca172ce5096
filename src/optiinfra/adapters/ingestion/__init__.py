"""Rows on their way to the metric store: on disk before acknowledged, sent in large blocks."""

from optiinfra.adapters.ingestion.limits import IngestionLimits
from optiinfra.adapters.ingestion.writer import BufferedWriter, IngestionState

__all__ = ["BufferedWriter", "IngestionLimits", "IngestionState"]
