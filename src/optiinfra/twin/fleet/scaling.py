"""Autoscaling hooks: what a scaler sees at the end of an epoch, and what it may ask for. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool at the end of an epoch. `is_available`: instances can be launched now."""

    name: str
    num_ready: int
    num_starting: int
    num_draining: int
    num_running: int  # requests
    num_waiting: int
    kv_cache_usage_ratio: float  # mean over ready replicas
    max_replicas: int
    is_available: bool = True

    @property
    def num_wanted(self) -> int:
        """Replicas that are ready or will be."""
        return self.num_ready + self.num_starting


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment at the end of an epoch; `num_held`: requests that no replica is ready for."""

    at_s: float
    epoch_s: float
    num_arrivals: int  # in the epoch
    num_tokens: int  # prompt and output tokens of those
    num_held: int
    pools: tuple[PoolView, ...]

    @property
    def rate_per_s(self) -> float:
        """Arrivals per second over the epoch."""
        return self.num_arrivals / self.epoch_s


class Scaler(Protocol):
    """Says how many replicas each pool shall have; a pool it does not name stays as it is."""

    def decide(self, view: DeploymentView) -> Mapping[str, int]:
        """Replicas wanted, ready and starting together, by pool."""

    def start(self) -> Scaler:
        """A scaler of the same settings that remembers nothing."""


@dataclass(frozen=True)
class FixedScaler:
    """Leaves every pool as it is, but replaces what was interrupted."""

    counts: tuple[tuple[str, int], ...] = ()

    def decide(self, view: DeploymentView) -> Mapping[str, int]:
        """The counts it was given."""
        del view
        return dict(self.counts)

    def start(self) -> FixedScaler:
        """Itself: there is nothing to remember."""
        return self


@dataclass
class UtilizationScaler:
    """A tuned reactive scaler: arrivals over what a replica serves, as Kubernetes' HPA does it.

    Replicas = ceil(rate / (target * capacity)), within `tolerance` of the present count unchanged;
    fewer only as many as the largest answer of the last `stabilization_s` (kubernetes.io,
    horizontal pod autoscaling). All in one pool.
    """

    pool: str
    capacity_per_s: float
    target_ratio: float = 0.85
    min_replicas: int = 1
    tolerance_ratio: float = 0.0
    stabilization_s: float = 300.0
    _recent: deque[tuple[float, int]] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        if not (self.capacity_per_s > 0 and self.target_ratio > 0 and self.min_replicas >= 0):
            message = "a scaler has a positive capacity and target, and no negative count"
            raise ValueError(message)

    def decide(self, view: DeploymentView) -> Mapping[str, int]:
        """Replicas of the pool for the rate of the last epoch."""
        pool = next(pool for pool in view.pools if pool.name == self.pool)
        exact = view.rate_per_s / (self.target_ratio * self.capacity_per_s)
        wanted = max(math.ceil(exact - 1e-9), self.min_replicas)
        present = pool.num_wanted
        if present and abs(exact / present - 1) <= self.tolerance_ratio:
            wanted = present
        while self._recent and self._recent[0][0] <= view.at_s - self.stabilization_s:
            self._recent.popleft()
        self._recent.append((view.at_s, wanted))
        if wanted < present:
            wanted = min(present, max(count for _, count in self._recent))
        return {self.pool: min(wanted, pool.max_replicas)}

    def start(self) -> UtilizationScaler:
        """The same settings without a memory."""
        return UtilizationScaler(
            self.pool,
            self.capacity_per_s,
            self.target_ratio,
            self.min_replicas,
            self.tolerance_ratio,
            self.stabilization_s,
        )
