"""A spot market in figures, enough to draw others like it. Pure.

A zone is up while a normal variable X is below a threshold, which sets its availability. X is a sum
of noises whose memory fades over 1, 4, 16 … times the cadence. Their shares are fitted to how X
correlates with itself later, which makes long stretches long and short ones frequent; the shortest
lag weighs most, which sets the hazard. A part of each noise is common to all zones and a further
part to a region's, so that zones fail together as often as was measured.

The cadence is the shortest stretch ever seen: what was asked every few ticks cannot change faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from optiinfra.twin.provenance import Provenance
from optiinfra.twin.spot.hazards import ZoneHazards
from optiinfra.twin.spot.market import SpotMeasure
from optiinfra.twin.spot.prices import PriceFit
from optiinfra.twin.spot.zone_noise import NoiseSharing


@dataclass(frozen=True)
class ZoneFit:
    """One zone: how often it is up, the shares of its noises by scale, its hazards."""

    zone: str
    availability_ratio: float
    scale_shares: tuple[float, ...]
    hazards: ZoneHazards


@dataclass(frozen=True)
class SpotFit:
    """A fitted spot market; `measure` says what its ones and zeros mean, see `SpotMeasure`.

    `scales_s` are the memories of the noises, one share of each zone's `scale_shares` each.
    """

    zones: tuple[ZoneFit, ...]
    tick_s: float
    cadence_ticks: int
    scales_s: tuple[float, ...]
    sharing: NoiseSharing
    prices: PriceFit
    measure: SpotMeasure
    provenance: Provenance

    @property
    def cadence_s(self) -> float:
        """Seconds between two looks at a zone."""
        return self.cadence_ticks * self.tick_s

    @property
    def names(self) -> tuple[str, ...]:
        """The zones' names."""
        return tuple(zone.zone for zone in self.zones)
