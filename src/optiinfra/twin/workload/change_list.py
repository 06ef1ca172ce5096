"""Several changes of a workload in one value, applied to a trace or to a fit in one order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.changes import LoadBurst, RegimeChange, TimeWarp
from optiinfra.twin.workload.fit import WorkloadFit
from optiinfra.twin.workload.fit_transforms import (
    change_fit_regime,
    inject_fit_burst,
    scale_fit_lengths,
    scale_fit_rate,
    shift_fit_time,
    warp_fit_time,
)
from optiinfra.twin.workload.transforms import (
    change_regime,
    inject_burst,
    scale_lengths,
    scale_rate,
    shift_time,
    warp_time,
)


@dataclass(frozen=True)
class ChangeList:
    """What to change, in the order of the fields; instants are those after what comes before."""

    rate_factor: float = 1.0
    length_factor: float = 1.0
    shift_s: float = 0.0
    warp: TimeWarp | None = None
    bursts: tuple[LoadBurst, ...] = ()
    regimes: tuple[RegimeChange, ...] = ()


def change_trace(trace: Trace, changes: ChangeList, rng: np.random.Generator) -> Trace:
    """The trace with every change made; `rng` chooses what a burst adds."""
    trace = scale_lengths(scale_rate(trace, changes.rate_factor), changes.length_factor)
    if changes.shift_s:
        trace = shift_time(trace, changes.shift_s)
    if changes.warp is not None:
        trace = warp_time(trace, changes.warp)
    for burst in changes.bursts:
        trace = inject_burst(trace, burst, rng)
    for regime in changes.regimes:
        trace = change_regime(trace, regime)
    return trace


def change_fit(fit: WorkloadFit, changes: ChangeList) -> WorkloadFit:
    """The fit with every change made."""
    fit = scale_fit_lengths(scale_fit_rate(fit, changes.rate_factor), changes.length_factor)
    if changes.shift_s:
        fit = shift_fit_time(fit, changes.shift_s)
    if changes.warp is not None:
        fit = warp_fit_time(fit, changes.warp)
    for burst in changes.bursts:
        fit = inject_fit_burst(fit, burst)
    for regime in changes.regimes:
        fit = change_fit_regime(fit, regime)
    return fit
