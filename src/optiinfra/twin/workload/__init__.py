"""Workloads: traces changed, summarised, drawn from histograms, generated as streams. Pure."""

from optiinfra.twin.workload.azure_week import AzureWeek, PlottedRate, reconstruct_azure_week
from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.conversation import CONVERSATION_LENGTHS, generate_conversation
from optiinfra.twin.workload.histograms import LengthHistogram, draw_from_histograms
from optiinfra.twin.workload.lengths import JointLengths
from optiinfra.twin.workload.rate import RateCurve, make_constant_rate
from optiinfra.twin.workload.stream import RequestStream
from optiinfra.twin.workload.summary import summarize
from optiinfra.twin.workload.transforms import cap_lengths, scale_lengths, scale_rate

__all__ = [
    "CONVERSATION_LENGTHS",
    "AzureWeek",
    "Bursts",
    "JointLengths",
    "LengthHistogram",
    "PlottedRate",
    "RateCurve",
    "RequestStream",
    "cap_lengths",
    "draw_from_histograms",
    "generate_conversation",
    "make_constant_rate",
    "reconstruct_azure_week",
    "scale_lengths",
    "scale_rate",
    "summarize",
]
