"""Workloads: traces changed, summarised, drawn from histograms, generated. Pure."""

from optiinfra.twin.workload.conversation import generate_conversation
from optiinfra.twin.workload.histograms import LengthHistogram, draw_from_histograms
from optiinfra.twin.workload.summary import summarize
from optiinfra.twin.workload.transforms import cap_lengths, scale_lengths, scale_rate

__all__ = [
    "LengthHistogram",
    "cap_lengths",
    "draw_from_histograms",
    "generate_conversation",
    "scale_lengths",
    "scale_rate",
    "summarize",
]
