"""Spot markets drawn after a fit: what could happen, with the fitted frequencies. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.spot.clipped_normal import find_threshold
from optiinfra.twin.spot.market import SpotMarket
from optiinfra.twin.spot.model import SpotFit
from optiinfra.twin.spot.prices import draw_prices
from optiinfra.twin.spot.zone_noise import draw_zone_noise

MAX_TICKS = 5_000_000


def draw_spot_market(fit: SpotFit, *, span_s: float, seed: int) -> SpotMarket:
    """A market of about `span_s` seconds in whole ticks, labelled synthetic; its seed decides it.

    Raises ValueError for a span below one tick or of more than 5 million ticks.
    """
    num_ticks = int(span_s / fit.tick_s) if np.isfinite(span_s) else 0
    if not 1 <= num_ticks <= MAX_TICKS:
        message = f"a path has 1 to {MAX_TICKS:,} ticks of {fit.tick_s:g} s, not {span_s} s"
        raise ValueError(message)
    rng, price_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    return SpotMarket(
        zones=fit.names,
        tick_s=fit.tick_s,
        is_available=draw_availability(fit, rng, num_ticks=num_ticks),
        price_usd_per_h=draw_prices(
            price_rng, fit.names, fit.prices, tick_s=fit.tick_s, num_ticks=num_ticks
        ),
        measure=fit.measure,
        source=f"drawn after {fit.provenance.source}, seed {seed}",
        is_synthetic=True,
        notes=(
            f"synthetic: drawn after {fit.provenance.source}, seed {seed}",
            *fit.provenance.notes,
        ),
    )


def draw_availability(
    fit: SpotFit, rng: np.random.Generator, *, num_ticks: int
) -> NDArray[np.bool_]:
    """Which zone is up when, bool[num_ticks, num_zones]."""
    num_steps = -(-num_ticks // fit.cadence_ticks)
    shares = np.array([zone.scale_shares for zone in fit.zones])
    total = np.zeros((num_steps, len(fit.zones)))
    for scale_s, share in zip(fit.scales_s, shares.T, strict=True):
        memory = float(np.exp(-fit.cadence_s / scale_s))
        noise = draw_zone_noise(rng, fit.names, fit.sharing, memory=memory, num_steps=num_steps)
        total += np.sqrt(share) * noise
    thresholds = [find_threshold(zone.availability_ratio) for zone in fit.zones]
    is_up = total < np.array(thresholds)
    return np.repeat(is_up, fit.cadence_ticks, axis=0)[:num_ticks]
