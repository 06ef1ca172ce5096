"""A simulation sampled at a fixed rate, under the names that the engines' own metrics have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.engine_arguments import Engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TICKS = 1_000_000  # eleven days of seconds; a longer series is cut and says so

# Gauges for running, waiting and the share of KV cache in use, as each engine's /metrics spells
# them; TGI has none for its KV cache.
METRIC_NAMES: dict[Engine, tuple[str, str, str | None]] = {
    Engine.VLLM: (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
    ),
    Engine.SGLANG: ("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"),
    Engine.TGI: ("tgi_batch_current_size", "tgi_queue_size", None),
}


@dataclass(frozen=True)
class EngineSeries:
    """What each rank's gauges would have shown at `tick_s * k`; int32 or float32[ranks, ticks].

    `is_cut`: the simulation went on after the last tick.
    """

    tick_s: float
    num_running: NDArray[np.int32]
    num_waiting: NDArray[np.int32]
    kv_cache_usage_ratio: NDArray[np.float32]
    is_cut: bool = False

    def to_metrics(self, engine: Engine) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """The series by the engine's metric names; a gauge that it does not have is left out."""
        running, waiting, usage = METRIC_NAMES[engine]
        found: dict[str, NDArray[np.int32] | NDArray[np.float32]] = {
            running: self.num_running,
            waiting: self.num_waiting,
        }
        if usage is not None:
            found[usage] = self.kv_cache_usage_ratio
        return found


def count_present(
    arrival_s: NDArray[np.float64],
    finished_s: NDArray[np.float64],
    *,
    tick_s: float,
    num_ticks: int,
) -> NDArray[np.int32]:
    """Requests that have arrived and not ended at each tick, int32[num_ticks]."""
    ticks = np.arange(num_ticks) * tick_s
    arrived = np.searchsorted(np.sort(arrival_s), ticks, side="right")
    ended = np.searchsorted(np.sort(finished_s), ticks, side="right")
    return (arrived - ended).astype(np.int32)
