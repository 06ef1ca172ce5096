"""A spot market over time: which zone had capacity when, and at what price. Pure.

A measured market is replayed and a drawn one is the same value, so whoever simulates instances asks
both the same questions. A `SpotMarket` says of a zone that capacity was there or not; what that
means for an instance that already runs depends on what was measured (`SpotMeasure`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.errors import InputError

SECONDS_PER_HOUR = 3600.0
AWS_NOTICE_S = 120.0  # "two minutes before", AWS EC2 user guide, spot instance interruption notices
_ZONE_LETTER = re.compile(r"(?<=\d)[a-z]$|-[a-f]$")  # us-east-1a, us-central1-b


class SpotMeasure(StrEnum):
    """What `is_available` was measured on, and so what it says."""

    LAUNCHABILITY = "launchability"  # could an instance be had? Not whether a running one lived on
    INSTANCE_LIFE = "instance_life"  # was an instance that had been launched still running?


def find_region(zone: str) -> str:
    """The region of a zone by the clouds' naming: `us-east-1a` and `us-central1-b` lose the end."""
    return _ZONE_LETTER.sub("", zone)


@dataclass(frozen=True, slots=True)
class ZoneOutage:
    """A stretch in which a zone had no capacity, in seconds of the market.

    `started_at_s` is the first tick without, `ended_at_s` the first tick with capacity again, or
    the end of the market where `is_open`: then it is only known to have lasted that long.
    """

    started_at_s: float
    ended_at_s: float
    is_open: bool = False

    @property
    def lasted_s(self) -> float:
        """Seconds without capacity, at least."""
        return self.ended_at_s - self.started_at_s


@dataclass(frozen=True)
class SpotMarket:
    """Availability and price of one instance type in some zones, tick by tick.

    is_available bool[num_ticks, num_zones]; price_usd_per_h float64[num_ticks, num_zones] > 0, for
    one instance. Row t holds from `t * tick_s` until the next tick. `source` says what a person
    would call it; a market that was drawn `is_synthetic` and its notes say after what.
    """

    zones: tuple[str, ...]
    tick_s: float
    is_available: NDArray[np.bool_]
    price_usd_per_h: NDArray[np.float64]
    measure: SpotMeasure
    source: str
    is_synthetic: bool = False
    started_at: datetime | None = None  # of tick 0, aware UTC
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones or len(set(self.zones)) != len(self.zones):
            message = "a market has zones, each once"
            raise ValueError(message)
        if not (np.isfinite(self.tick_s) and self.tick_s > 0):
            message = f"a tick lasts a positive time, not {self.tick_s} s"
            raise ValueError(message)
        shape = self.is_available.shape
        if len(shape) != 2 or shape[0] < 1 or shape[1] != len(self.zones):  # noqa: PLR2004
            message = "availability has a row a tick and a column a zone"
            raise ValueError(message)
        if self.is_available.dtype != np.bool_ or self.price_usd_per_h.shape != shape:
            message = "availability is true or false, and there is a price for each"
            raise ValueError(message)
        if not np.all(np.isfinite(self.price_usd_per_h) & (self.price_usd_per_h > 0)):
            message = "a price is a positive number"
            raise ValueError(message)

    @property
    def num_ticks(self) -> int:
        """How many ticks were measured or drawn."""
        return int(self.is_available.shape[0])

    @property
    def span_s(self) -> float:
        """Seconds from the start of the first tick to the end of the last."""
        return self.num_ticks * self.tick_s

    @cached_property
    def digest(self) -> str:
        """SHA-256 over zones, ticks and columns: equal markets have equal digests."""
        sha = hashlib.sha256(f"optiinfra-spot-1 {self.zones} {self.tick_s!r}".encode())
        sha.update(np.ascontiguousarray(self.is_available).tobytes())
        sha.update(np.ascontiguousarray(self.price_usd_per_h).tobytes())
        return sha.hexdigest()

    @property
    def regions(self) -> tuple[str, ...]:
        """The region of each zone, by its name."""
        return tuple(map(find_region, self.zones))

    def select_ticks(self, first: int, stop: int) -> SpotMarket:
        """The market from tick `first` until before tick `stop`, where second 0 then is."""
        started_at = self.started_at
        if started_at is not None:
            started_at += timedelta(seconds=first * self.tick_s)
        return replace(
            self,
            is_available=self.is_available[first:stop],
            price_usd_per_h=self.price_usd_per_h[first:stop],
            started_at=started_at,
        )

    def get_zone_index(self, zone: str) -> int:
        """The column of a zone. Raises InputError that lists the zones there are."""
        if zone not in self.zones:
            raise InputError(
                f"the spot market of {self.source} has no zone {zone!r}.",
                remedy=f"Its zones are {', '.join(self.zones)}.",
                field=zone,
            )
        return self.zones.index(zone)

    def is_available_at(self, zone: str, at_s: float) -> bool:
        """Whether the zone has capacity; before and after the market as in its end ticks."""
        tick = min(max(int(at_s / self.tick_s), 0), self.num_ticks - 1)
        return bool(self.is_available[tick, self.get_zone_index(zone)])

    def list_outages(self, zone: str) -> tuple[ZoneOutage, ...]:
        """Every stretch in which the zone had no capacity, in order.

        For a replica that runs in the zone the twin takes the start of an outage as the moment when
        its instance gets the notice (`AWS_NOTICE_S` before it is gone), and until the end no other
        can be launched there. Where launchability was measured that is a stand-in, and a
        pessimistic one: a zone may sell nothing new and still leave running instances alone.
        """
        is_out = ~self.is_available[:, self.get_zone_index(zone)]
        edges = np.flatnonzero(np.diff(is_out, prepend=False, append=False))
        return tuple(
            ZoneOutage(
                float(start) * self.tick_s,
                float(end) * self.tick_s,
                is_open=bool(end == self.num_ticks),
            )
            for start, end in edges.reshape(-1, 2).tolist()
        )

    def compute_cost_usd(self, zone: str, start_s: float, end_s: float) -> float:
        """What one instance costs from one instant to another, at the price of each moment.

        Before and after the market its first and last price hold. Raises ValueError where the end
        is before the start.
        """
        if not 0 <= start_s <= end_s:
            message = f"an instance does not run from {start_s} s to {end_s} s"
            raise ValueError(message)
        prices = self.price_usd_per_h[:, self.get_zone_index(zone)]
        first = min(int(start_s / self.tick_s), self.num_ticks - 1)
        last = min(int(end_s / self.tick_s), self.num_ticks - 1)
        # seconds at each price: whole ticks but for the ends, which may also lie beyond the market
        edges_s = np.arange(first, last + 2) * self.tick_s
        edges_s[0], edges_s[-1] = start_s, end_s
        spent = np.diff(edges_s) * prices[first : last + 1]
        return float(spent.sum()) / SECONDS_PER_HOUR
