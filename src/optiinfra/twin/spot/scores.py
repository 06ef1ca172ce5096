"""How good predicted losses were, walking forward through a market. Pure.

At each decision the hazards know only what came before it. The baseline is the zone's climatology:
the share of its earlier up ticks that were followed by a loss within the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.spot.fit import fit_spot_market
from optiinfra.twin.spot.market import SpotMarket
from optiinfra.twin.spot.risk import compute_loss_probabilities

_NUM_BINS = 10
_CERTAIN = 1e-6  # a forecast is never surer, or one surprise would cost infinitely much


@dataclass(frozen=True, slots=True)
class RiskScore:
    """Scores of one horizon over all zones; lower is better.

    The Brier score is the mean squared error of the probability; log loss is in nats. The
    calibration error is the mean gap, over ten bins of equally many forecasts, between the
    probabilities that were said and the losses that came.
    """

    horizon_s: float
    num_forecasts: int
    loss_ratio: float  # share of forecasts that were followed by a loss
    brier: float
    brier_climatology: float
    log_loss: float
    log_loss_climatology: float
    calibration_error: float

    @property
    def brier_skill(self) -> float:
        """Share of climatology's Brier score that the forecast saves; below 0 it is worse."""
        return 1 - self.brier / self.brier_climatology

    @property
    def log_loss_skill(self) -> float:
        """The same for log loss."""
        return 1 - self.log_loss / self.log_loss_climatology


def score_loss_risk(
    market: SpotMarket,
    horizons_s: tuple[float, ...],
    *,
    first_ratio: float = 1 / 3,
    refit_s: float = 86_400.0,
    decide_s: float = 3600.0,
) -> tuple[RiskScore, ...]:
    """A score a horizon. The first `first_ratio` of the market is only learnt from.

    Raises ValueError where a horizon leaves no forecast to score.
    """
    tick_s, num_ticks = market.tick_s, market.num_ticks
    refit, decide = (max(round(seconds / tick_s), 1) for seconds in (refit_s, decide_s))
    ages = _compute_ages(market.is_available)
    next_loss = _find_next_losses(market.is_available)
    forecasts: dict[float, list[NDArray[np.float64]]] = {h: [] for h in horizons_s}
    for start in range(int(num_ticks * first_ratio), num_ticks, refit):
        fit = fit_spot_market(market.select_ticks(0, start))
        at = np.arange(start, min(start + refit, num_ticks), decide)
        for horizon_s in horizons_s:
            ticks = max(round(horizon_s / tick_s), 1)
            for k, zone in enumerate(fit.zones):
                asked = at[
                    (at + ticks < num_ticks) & market.is_available[at, k] & (ages[at, k] >= 0)
                ]
                said = compute_loss_probabilities(
                    zone.hazards, horizon_s=horizon_s, age_s=ages[asked, k] * tick_s
                )
                known = np.arange(max(start - ticks, 0))
                was_lost = (next_loss[known, k] <= known + ticks)[market.is_available[known, k]]
                usual = (was_lost.sum() + 0.5) / (was_lost.size + 1)
                came = next_loss[asked, k] <= asked + ticks
                forecasts[horizon_s].append(
                    np.column_stack((said, np.full(asked.size, usual), came))
                )
    return tuple(_score(h, np.concatenate(rows)) for h, rows in forecasts.items())


def _compute_ages(is_available: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ticks since the last change of state, int64[num_ticks, num_zones]; -1 where not known."""
    at = np.arange(is_available.shape[0])[:, None]
    has_changed = np.diff(is_available, axis=0, prepend=is_available[:1])
    changed_at = np.maximum.accumulate(np.where(has_changed, at, -1), axis=0)
    return np.where(changed_at >= 0, at - changed_at, -1)


def _find_next_losses(is_available: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First tick without capacity after each tick that is followed by a loss; far off for none."""
    never = np.iinfo(np.int64).max // 2
    at = np.arange(is_available.shape[0])[:, None]
    is_loss = np.zeros(is_available.shape, np.bool_)
    is_loss[:-1] = is_available[:-1] & ~is_available[1:]
    lost_at = np.where(is_loss, at + 1, never)
    return np.asarray(np.minimum.accumulate(lost_at[::-1], axis=0)[::-1], np.int64)


def _score(horizon_s: float, rows: NDArray[np.float64]) -> RiskScore:
    if not rows.size:
        message = f"no forecast over {horizon_s} s can be scored on this market"
        raise ValueError(message)
    said, usual, came = rows.T
    order = np.argsort(said, kind="stable")
    gaps = [
        abs(float(said[part].mean() - came[part].mean()))
        for part in np.array_split(order, min(_NUM_BINS, order.size))
    ]
    return RiskScore(
        horizon_s=horizon_s,
        num_forecasts=said.size,
        loss_ratio=float(came.mean()),
        brier=float(np.mean((said - came) ** 2)),
        brier_climatology=float(np.mean((usual - came) ** 2)),
        log_loss=_compute_log_loss(said, came),
        log_loss_climatology=_compute_log_loss(usual, came),
        calibration_error=float(np.mean(gaps)),
    )


def _compute_log_loss(said: NDArray[np.float64], came: NDArray[np.float64]) -> float:
    likely = np.clip(said, _CERTAIN, 1 - _CERTAIN)
    return float(-np.mean(came * np.log(likely) + (1 - came) * np.log1p(-likely)))
