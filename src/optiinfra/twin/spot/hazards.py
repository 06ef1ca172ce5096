"""How often a zone loses its capacity and gets it back, with how sure that is. Pure.

A hazard is events over exposure: losses over the hours in which there was something to lose. With n
events in t hours and a gamma prior of `shape` events in `exposure` hours, the hazard is again gamma
distributed: n + shape events in t + exposure hours (the conjugate prior of a Poisson rate). Events
come in clusters, so n of them tell only as much as n / dispersion independent ones. Hazards fall
steeply with the age of a stretch, so each age has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.spot.market import SECONDS_PER_HOUR, SpotMarket

_OLDEST_S = 86_400.0  # ages above share one hazard
_HALF_AN_EVENT = 0.5  # keeps a hazard of what never ended above 0 (Jeffreys' prior of a rate)


@dataclass(frozen=True, slots=True)
class GammaPosterior:
    """What is known of a hazard per hour.

    `num_events` in `exposure_h` hours were counted, which tell as much as `1 / dispersion` of them
    would if they were independent; the prior adds its own.
    """

    num_events: float
    exposure_h: float
    prior_events: float
    prior_exposure_h: float
    dispersion: float = 1.0

    @property
    def shape(self) -> float:
        """Independent events that the posterior is worth, the prior's among them."""
        return self.num_events / self.dispersion + self.prior_events

    @property
    def rate_h(self) -> float:
        """Hours that go with them."""
        return self.exposure_h / self.dispersion + self.prior_exposure_h

    @property
    def mean_per_h(self) -> float:
        """Expected hazard."""
        return self.shape / self.rate_h

    def compute_interval_per_h(self, coverage_ratio: float = 0.9) -> tuple[float, float]:
        """The central credible interval of the hazard."""
        from scipy.special import gammaincinv

        tail = (1 - coverage_ratio) / 2
        low, high = gammaincinv(self.shape, [tail, 1 - tail]) / self.rate_h
        return float(low), float(high)


@dataclass(frozen=True)
class Runs:
    """Stretches of one state of a zone: length in ticks int64[n], is_up bool[n], in order.

    The first began before the measurement and the last ended after it, so both are known only to
    have been at least that long.
    """

    num_ticks: NDArray[np.int64]
    is_up: NDArray[np.bool_]

    def list_complete(self, *, is_up: bool) -> NDArray[np.int64]:
        """Lengths of the stretches of which both ends were seen."""
        lengths: NDArray[np.int64] = self.num_ticks[1:-1][self.is_up[1:-1] == is_up]
        return lengths


@dataclass(frozen=True)
class EndCounts:
    """Ends of stretches of one state, and the hours in which one could have ended.

    float64[num_zones] over all ages, float64[num_zones, num_ages] where the age is known.
    """

    events: NDArray[np.float64]
    exposure_h: NDArray[np.float64]
    events_by_age: NDArray[np.float64]
    exposure_h_by_age: NDArray[np.float64]


@dataclass(frozen=True)
class Dispersion:
    """How many events that come in clusters tell as much as one, float64[num_zones] each.

    Ages explain a part of the clusters, so events tell more where they are counted by age.
    """

    overall: NDArray[np.float64]
    within_age: NDArray[np.float64]


@dataclass(frozen=True)
class ZoneHazards:
    """Loss and recovery of one zone: over all ages, and by the age of the stretch.

    Entry k of the tuples is for ages from `age_edges_s[k]` to the next edge, the last without end.
    """

    zone: str
    age_edges_s: tuple[float, ...]
    loss: GammaPosterior
    recovery: GammaPosterior
    loss_by_age: tuple[GammaPosterior, ...]
    recovery_by_age: tuple[GammaPosterior, ...]


def list_runs(is_available: NDArray[np.bool_]) -> Runs:
    """The stretches of one zone's column."""
    edges = np.flatnonzero(np.diff(is_available)) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [is_available.size])))
    return Runs(lengths.astype(np.int64), is_available[starts])


def fit_hazards(
    market: SpotMarket,
    *,
    loss_dispersion: Dispersion | None = None,
    recovery_dispersion: Dispersion | None = None,
) -> tuple[ZoneHazards, ...]:
    """The hazards of every zone, in order; without a dispersion as if events came independently.

    The prior is the hazard of all zones together, at the same age where it is one by age, and
    worth one event.
    """
    edges_s = tuple((list_age_edges(market.tick_s) * market.tick_s).tolist())
    losses, losses_by_age = _fit_ends(
        count_ends(market.is_available, market.tick_s, is_up=True), loss_dispersion
    )
    recoveries, recoveries_by_age = _fit_ends(
        count_ends(market.is_available, market.tick_s, is_up=False), recovery_dispersion
    )
    rows = zip(market.zones, losses, recoveries, losses_by_age, recoveries_by_age, strict=True)
    return tuple(
        ZoneHazards(zone, edges_s, loss, recovery, tuple(loss_by_age), tuple(recovery_by_age))
        for zone, loss, recovery, loss_by_age, recovery_by_age in rows
    )


def list_age_edges(tick_s: float) -> NDArray[np.int64]:
    """0, 2, 4, 8 … ticks, up to a day."""
    num = max(int(np.ceil(np.log2(_OLDEST_S / tick_s))), 1)
    return np.concatenate(([0], 2 ** np.arange(1, num + 1)))


def count_ends(is_available: NDArray[np.bool_], tick_s: float, *, is_up: bool) -> EndCounts:
    """How often stretches up (or down) ended in each zone: losses (or recoveries)."""
    runs = [list_runs(column) for column in is_available.T]
    tick_h = tick_s / SECONDS_PER_HOUR
    age_ticks = list_age_edges(tick_s)
    totals = np.array([_count_all_ends(run, is_up=is_up) for run in runs], np.float64)
    by_age = np.array([_count_ends_by_age(run, age_ticks, is_up=is_up) for run in runs], np.float64)
    return EndCounts(totals[:, 0], totals[:, 1] * tick_h, by_age[:, 0], by_age[:, 1] * tick_h)


def _count_all_ends(runs: Runs, *, is_up: bool) -> tuple[int, int]:
    """Ends seen, and ticks at whose end one could have been seen."""
    chosen = runs.is_up == is_up
    num_open = int(chosen[-1])
    return int(chosen.sum()) - num_open, int(runs.num_ticks[chosen].sum()) - num_open


def _count_ends_by_age(
    runs: Runs, age_ticks: NDArray[np.int64], *, is_up: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for each age; the first stretch is left out because its age is not known."""
    chosen = np.flatnonzero(runs.is_up == is_up)
    chosen = chosen[chosen > 0]
    lengths = runs.num_ticks[chosen]
    has_end = chosen < runs.is_up.size - 1
    at_risk = lengths - ~has_end
    upper = np.append(age_ticks[1:], np.iinfo(np.int64).max)
    ticks = np.minimum(at_risk[:, None], upper) - np.minimum(at_risk[:, None], age_ticks)
    ages = np.searchsorted(age_ticks, lengths[has_end] - 1, side="right") - 1
    return np.bincount(ages, minlength=age_ticks.size), ticks.sum(axis=0)


def _fit_ends(
    counts: EndCounts, dispersion: Dispersion | None
) -> tuple[list[GammaPosterior], list[list[GammaPosterior]]]:
    """A posterior a zone, and one a zone and age."""
    if dispersion is None:
        ones = np.ones(counts.events.size)
        dispersion = Dispersion(ones, ones)
    prior_h = _compute_prior_exposure_h(counts.events, counts.exposure_h)
    zones = [
        GammaPosterior(float(n), float(t), 1.0, float(prior_h), float(d))
        for n, t, d in zip(counts.events, counts.exposure_h, dispersion.overall, strict=True)
    ]
    priors_h = _compute_prior_exposure_h(counts.events_by_age, counts.exposure_h_by_age)
    rows = zip(counts.events_by_age, counts.exposure_h_by_age, dispersion.within_age, strict=True)
    by_age = [
        [
            GammaPosterior(float(n), float(t), 1.0, float(prior_h), float(d))
            for n, t, prior_h in zip(events, exposure_h, priors_h, strict=True)
        ]
        for events, exposure_h, d in rows
    ]
    return zones, by_age


def _compute_prior_exposure_h(
    events: NDArray[np.float64], exposure_h: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Hours in which all zones together see one event."""
    hours = np.maximum(exposure_h.sum(axis=0), 1 / SECONDS_PER_HOUR)
    return np.asarray(hours / (events.sum(axis=0) + _HALF_AN_EVENT), np.float64)
