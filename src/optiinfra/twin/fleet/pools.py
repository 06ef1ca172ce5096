"""What a simulated deployment is made of: pools of equal replicas, and the promise. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optiinfra.domain.errors import InputError
from optiinfra.twin.fleet.routing import Routing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.fleet import SLOTarget
    from optiinfra.domain.trace import RequestChunk
    from optiinfra.twin.fleet.scaling import Scaler
    from optiinfra.twin.memory import MemoryPlan
    from optiinfra.twin.spot.market import SpotMarket
    from optiinfra.twin.step_time import StepTimeModel

MAX_REPLICAS = 1_024  # of a deployment at one time


@dataclass(frozen=True)
class SpotSource:
    """A pool's instances are bought in one zone of a spot market, which may take them back."""

    market: SpotMarket
    zone: str
    notice_s: float = 120.0


@dataclass(frozen=True)
class Pool:
    """Equal replicas: a GPU type with arguments, a price, and how long one takes to be ready.

    `weight` is the capacity of one replica beside those of the other pools; a router sends it that
    share. `price_usd_per_h` is one replica's; None where it is unknown, and unused for spot.
    """

    name: str
    gpu: str
    model: StepTimeModel
    plan: MemoryPlan
    arguments: EngineArguments
    cold_start_s: float = 300.0
    num_initial: int = 0
    max_replicas: int = 64
    weight: float = 1.0
    price_usd_per_h: float | None = None
    spot: SpotSource | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.num_initial <= self.max_replicas <= MAX_REPLICAS:
            raise InputError(
                f"pool {self.name} starts with {self.num_initial} of at most {self.max_replicas} "
                "replicas.",
                remedy=f"Give 0 <= num_initial <= max_replicas <= {MAX_REPLICAS}.",
                field=f"pools.{self.name}",
            )
        if not (0 <= self.cold_start_s < float("inf") and 0 < self.weight < float("inf")):
            raise InputError(
                f"pool {self.name} has a cold start of {self.cold_start_s} s and a weight of "
                f"{self.weight}.",
                remedy="Both are numbers; a weight is above 0.",
                field=f"pools.{self.name}",
            )


@dataclass(frozen=True)
class SimulatedDeployment:
    """One deployment's pools, traffic, promise and hooks.

    `chunks` starts the traffic anew each time it is called. `num_routers` routers split requests in
    turn and the replicas evenly; each looks at its own alone. `max_waiting` requests may wait or
    run at once beyond what batches hold; more is an unstable load, and the simulation ends there.
    """

    name: str
    pools: tuple[Pool, ...]
    slo: SLOTarget
    chunks: Callable[[], Iterator[RequestChunk]]
    scaler: Scaler
    routing: Routing = Routing.POWER_OF_TWO
    num_routers: int = 1
    num_hash_ids: int = 0
    blocks_per_hash: int = 1
    max_waiting: int = 100_000
    num_outcomes: int = 0  # requests of which each outcome is kept; 0: totals alone
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [pool.name for pool in self.pools]
        if not names or len(set(names)) != len(names):
            raise InputError(
                f"deployment {self.name} has the pools {names}.",
                remedy="Give at least one pool, each under a name of its own.",
                field=f"deployments.{self.name}.pools",
            )
        if sum(pool.max_replicas for pool in self.pools) < 1:
            raise InputError(
                f"deployment {self.name} may have no replica at all.",
                remedy="Set max_replicas of a pool to at least 1.",
                field=f"deployments.{self.name}.pools",
            )
        if not 1 <= self.num_routers <= sum(pool.max_replicas for pool in self.pools):
            raise InputError(
                f"deployment {self.name} has {self.num_routers} routers.",
                remedy="Give at least one router and no more than replicas.",
                field=f"deployments.{self.name}.num_routers",
            )
