"""Workloads: traces measured, changed and fitted; requests generated as streams. Pure."""

from optiinfra.twin.workload.azure_week import PlottedRate, reconstruct_azure_week
from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.changes import LoadBurst, RegimeChange, TimeWarp
from optiinfra.twin.workload.conversation import CONVERSATION_LENGTHS, generate_conversation
from optiinfra.twin.workload.fit import WorkloadFit, fit_workload
from optiinfra.twin.workload.histograms import LengthHistogram, draw_from_histograms
from optiinfra.twin.workload.lengths import JointLengths
from optiinfra.twin.workload.prefix_fit import PrefixFit
from optiinfra.twin.workload.rate import RateCurve, make_constant_rate
from optiinfra.twin.workload.statistics import WorkloadStatistics, measure_workload
from optiinfra.twin.workload.stream import RequestStream
from optiinfra.twin.workload.summary import summarize
from optiinfra.twin.workload.transforms import (
    cap_lengths,
    change_regime,
    inject_burst,
    scale_lengths,
    scale_rate,
    shift_time,
    warp_time,
)

__all__ = [
    "CONVERSATION_LENGTHS",
    "Bursts",
    "JointLengths",
    "LengthHistogram",
    "LoadBurst",
    "PlottedRate",
    "PrefixFit",
    "RateCurve",
    "RegimeChange",
    "RequestStream",
    "TimeWarp",
    "WorkloadFit",
    "WorkloadStatistics",
    "cap_lengths",
    "change_regime",
    "draw_from_histograms",
    "fit_workload",
    "generate_conversation",
    "inject_burst",
    "make_constant_rate",
    "measure_workload",
    "reconstruct_azure_week",
    "scale_lengths",
    "scale_rate",
    "shift_time",
    "summarize",
    "warp_time",
]
