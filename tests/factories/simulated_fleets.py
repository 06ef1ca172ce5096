"""Test data: simulated fleets, whose replicas take a constant step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.factories.fleet import make_arguments, make_slo, make_step_time_model

from optiinfra.domain.trace import PrefixHashes, RequestChunk, Trace
from optiinfra.twin.fleet import DeploymentView, FixedScaler, Pool, SimulatedDeployment
from optiinfra.twin.memory import MemoryPlan


def make_pool(**overrides: Any) -> Pool:
    """An H100 whose steps last a tenth of a second."""
    values: dict[str, Any] = {
        "name": "main",
        "gpu": "H100-SXM",
        "model": make_step_time_model(fixed_s=0.1),
        "plan": MemoryPlan(0.0, 0.0, 1.0, num_kv_blocks=10_000, block_size=16),
        "arguments": make_arguments(max_num_seqs=8),
        "num_initial": 2,
        "max_replicas": 8,
        "price_usd_per_h": 3.6,
    }
    return Pool(**{**values, **overrides})


def cut(trace: Trace, size: int) -> Callable[[], Iterator[RequestChunk]]:
    """The trace as chunks of a size."""

    def chunks() -> Iterator[RequestChunk]:
        hashes = trace.prefix_hashes
        for start in range(0, trace.num_requests, size):
            stop = min(start + size, trace.num_requests)
            own = None
            if hashes is not None:
                offsets = hashes.offsets[start : stop + 1]
                ids = hashes.ids[offsets[0] : offsets[-1]]
                own = PrefixHashes(offsets - offsets[0], ids, hashes.block_tokens)
            yield RequestChunk(
                trace.arrival_s[start:stop],
                trace.prompt_tokens[start:stop],
                trace.output_tokens[start:stop],
                start,
                own,
            )

    return chunks


def make_simulated(
    trace: Trace, *pools: Pool, size: int = 1_000, **overrides: Any
) -> SimulatedDeployment:
    values: dict[str, Any] = {
        "name": "chat",
        "pools": pools or (make_pool(),),
        "slo": make_slo(),
        "chunks": cut(trace, size),
        "scaler": FixedScaler(),
        "num_outcomes": trace.num_requests,
    }
    return SimulatedDeployment(**{**values, **overrides})


@dataclass(frozen=True)
class ScriptedScaler:
    """Wants what it was told from each instant on."""

    script: tuple[tuple[float, Mapping[str, int]], ...]

    def decide(self, view: DeploymentView) -> Mapping[str, int]:
        wanted: Mapping[str, int] = {}
        for at_s, counts in self.script:
            if view.at_s >= at_s:
                wanted = counts
        return wanted

    def start(self) -> ScriptedScaler:
        return self
