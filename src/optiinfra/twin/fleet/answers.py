"""What a fleet simulation found. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiinfra.domain.analysis import Distribution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FleetSeries:
    """One row an epoch, float64[epochs]; replicas by phase float64[epochs, pools]."""

    end_s: NDArray[np.float64]
    num_arrivals: NDArray[np.float64]
    num_ready: NDArray[np.float64]
    num_starting: NDArray[np.float64]
    num_draining: NDArray[np.float64]
    num_running: NDArray[np.float64]
    num_waiting: NDArray[np.float64]  # requests without a replica among them


@dataclass(frozen=True)
class DeploymentAnswer:
    """Totals of one deployment.

    Percentiles come from bins of 6 to 13 % (`itl`). `is_unstable`: more requests waited than there
    is room for, and the simulation ended at `ended_at_s`; else it ended with the last request.
    `cost_usd` is None where a pool's price is unknown. `outcomes` float64[n, 5]: first scheduled,
    first token, finished, preemptions, replica of each request, where they were asked for.
    """

    name: str
    num_requests: int
    num_served: int
    slo_attainment_ratio: float
    ttft_attainment_ratio: float
    tpot_attainment_ratio: float
    ttft_s: Distribution
    tpot_s: Distribution
    queue_s: Distribution
    e2e_s_mean: float
    output_tokens: int
    num_preemptions: int
    gpu_hours: dict[str, float]  # by pool, from launch to end
    cost_usd: float | None
    num_launched: dict[str, int]
    num_interrupted: dict[str, int]
    num_moved: int  # requests that an interruption sent to another replica
    ended_at_s: float
    series: FleetSeries
    is_unstable: bool = False
    outcomes: NDArray[np.float64] | None = None

    @property
    def gpu_hours_total(self) -> float:
        """GPU-hours of all pools."""
        return sum(self.gpu_hours.values())
