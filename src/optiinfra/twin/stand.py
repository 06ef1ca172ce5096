"""A test stand: one model under one SLO on one trace, ready to try configurations on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optiinfra.twin.memory import MemoryPlan, compute_memory_plan
from optiinfra.twin.replicas import check_fit, simulate
from optiinfra.twin.service import compute_attainment, summarize_service
from optiinfra.twin.step_time import DEFAULT_CONSTANTS, StepConstants, build_step_time_model
from optiinfra.twin.workload import scale_rate

if TYPE_CHECKING:
    from optiinfra.domain.analysis import Service
    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.fleet import SLOTarget
    from optiinfra.domain.gpus import GPU
    from optiinfra.domain.trace import Trace
    from optiinfra.twin.replicas import Simulation

RATE_TOLERANCE = 0.01  # the sustainable rate is found to within 1 %
MAX_RATE_FACTOR = 1024.0


@dataclass(frozen=True)
class Stand:
    """`step_ratio` makes every step that much longer than predicted, to carry uncertainty."""

    architecture: Architecture
    slo: SLOTarget
    trace: Trace
    constants: StepConstants = DEFAULT_CONSTANTS
    step_ratio: float = 1.0

    def with_trace(self, trace: Trace) -> Stand:
        """The same stand under other traffic."""
        return replace(self, trace=trace)

    def with_step_ratio(self, ratio: float) -> Stand:
        """The same stand with every step `ratio` times as long as predicted."""
        return replace(self, step_ratio=ratio)

    def plan_memory(self, gpu: GPU, arguments: EngineArguments) -> MemoryPlan:
        """Weights and KV cache of one replica. Raises DoesNotFitError where they do not fit."""
        plan = compute_memory_plan(self.architecture, gpu, arguments)
        check_fit(self.trace, plan, arguments)
        return plan

    def simulate(self, gpu: GPU, arguments: EngineArguments, num_replicas: int) -> Simulation:
        """Per-request instants. Raises DoesNotFitError where memory does not suffice."""
        plan = self.plan_memory(gpu, arguments)
        model = build_step_time_model(self.architecture, gpu, arguments, self.constants)
        model = model.scaled(self.step_ratio)
        return simulate(self.trace, model, plan, arguments, num_replicas=num_replicas)

    def serve(
        self,
        gpu: GPU,
        arguments: EngineArguments,
        num_replicas: int,
        *,
        has_histograms: bool = False,
    ) -> Service:
        """What users get. Raises DoesNotFitError where memory does not suffice."""
        plan = self.plan_memory(gpu, arguments)
        result = self.simulate(gpu, arguments, num_replicas)
        return summarize_service(
            self.trace, result, self.slo, plan, arguments, has_histograms=has_histograms
        )

    def attain(self, gpu: GPU, arguments: EngineArguments, num_replicas: int) -> float:
        """Joint SLO attainment alone, 0..1; 0 for no replicas."""
        if num_replicas < 1:
            return 0.0
        result = self.simulate(gpu, arguments, num_replicas)
        return compute_attainment(self.trace, result, self.slo)

    def keeps_slo(self, gpu: GPU, arguments: EngineArguments, num_replicas: int) -> bool:
        """Whether enough requests meet both objectives."""
        return self.attain(gpu, arguments, num_replicas) >= self.slo.attainment_ratio


def find_sustainable_rate(
    stand: Stand, gpu: GPU, arguments: EngineArguments, num_replicas: int
) -> float | None:
    """Highest mean rate (requests per second) that keeps the SLO, the trace's shape kept.

    Arrivals are compressed or stretched; doubling brackets the answer, bisection narrows it to 1 %.
    None when the rate is not defined (all requests at once), when there is no replica, when not
    even a 1,024th of the traced rate is kept, or when 1,024 times it still is: so short a trace
    does not say what would be too much.
    """
    rate = stand.trace.rate_per_s
    if num_replicas < 1 or rate == float("inf"):
        return None

    def keeps(factor: float) -> bool:
        trial = stand.with_trace(scale_rate(stand.trace, factor))
        return trial.keeps_slo(gpu, arguments, num_replicas)

    if keeps(1.0):
        low, high = 1.0, 2.0
        while high <= MAX_RATE_FACTOR and keeps(high):
            low, high = high, high * 2
        if high > MAX_RATE_FACTOR:
            return None
    else:
        low, high = 0.5, 1.0
        while low >= 1 / MAX_RATE_FACTOR and not keeps(low):
            low, high = low / 2, low
        if low < 1 / MAX_RATE_FACTOR:
            return None
    while high / low > 1 + RATE_TOLERANCE:
        middle = (low * high) ** 0.5
        if keeps(middle):
            low = middle
        else:
            high = middle
    return rate * low


def find_step_ratio_limit(
    stand: Stand, gpu: GPU, arguments: EngineArguments, num_replicas: int
) -> float:
    """Largest factor by which steps may take longer than predicted before the SLO breaks.

    Bisection to 1 % between 1/8 and 8; the bounds themselves where it lies beyond them.
    """
    low, high = 0.125, 8.0
    if not stand.with_step_ratio(low).keeps_slo(gpu, arguments, num_replicas):
        return low
    if stand.with_step_ratio(high).keeps_slo(gpu, arguments, num_replicas):
        return high
    while high / low > 1 + RATE_TOLERANCE:
        middle = (low * high) ** 0.5
        if stand.with_step_ratio(middle).keeps_slo(gpu, arguments, num_replicas):
            low = middle
        else:
            high = middle
    return low
