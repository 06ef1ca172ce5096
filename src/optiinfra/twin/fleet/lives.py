"""The life of a simulated replica: launched, ready, draining, gone; and what it costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiinfra.twin.fleet.pools import Pool

SECONDS_PER_HOUR = 3600.0


class Phase(StrEnum):
    """Where in its life a replica is."""

    STARTING = "starting"  # billed already
    READY = "ready"
    DRAINING = "draining"  # gets no new requests; billed until its last one ends
    GONE = "gone"


@dataclass(slots=True)
class ReplicaLife:
    """One replica from launch to end; `row` is its place in the arrays of router `router`."""

    pool: Pool
    router: int
    row: int
    launched_at_s: float
    ready_at_s: float
    phase: Phase = Phase.STARTING
    drained_from_s: float | None = None
    reclaimed_at_s: float | None = None  # when a spot instance will be gone, once that is known
    ended_at_s: float | None = None
    is_interrupted: bool = False

    def compute_billed_s(self, until_s: float) -> float:
        """Seconds from launch to the end, or until now."""
        end_s = until_s if self.ended_at_s is None else self.ended_at_s
        return max(end_s - self.launched_at_s, 0.0)

    def compute_gpu_hours(self, until_s: float) -> float:
        """GPU-hours billed."""
        num_gpus = self.pool.arguments.num_gpus
        return self.compute_billed_s(until_s) * num_gpus / SECONDS_PER_HOUR

    def compute_cost_usd(self, until_s: float) -> float | None:
        """What it cost, at the moment's price for spot; None where the price is unknown."""
        end_s = until_s if self.ended_at_s is None else self.ended_at_s
        if self.pool.spot is not None:
            spot = self.pool.spot
            return spot.market.compute_cost_usd(
                spot.zone, self.launched_at_s, max(end_s, self.launched_at_s)
            )
        if self.pool.price_usd_per_h is None:
            return None
        return self.compute_billed_s(until_s) / SECONDS_PER_HOUR * self.pool.price_usd_per_h
