"""The spot market: measured availability and prices replayed, and paths drawn after a fit. Pure."""

from optiinfra.twin.spot.fit import fit_spot_market
from optiinfra.twin.spot.market import (
    AWS_NOTICE_S,
    SpotMarket,
    SpotMeasure,
    ZoneOutage,
    find_region,
)
from optiinfra.twin.spot.model import SpotFit
from optiinfra.twin.spot.paths import draw_spot_market
from optiinfra.twin.spot.risk import LossRisk, compute_loss_risk
from optiinfra.twin.spot.scores import RiskScore, score_loss_risk

__all__ = [
    "AWS_NOTICE_S",
    "LossRisk",
    "RiskScore",
    "SpotFit",
    "SpotMarket",
    "SpotMeasure",
    "ZoneOutage",
    "compute_loss_risk",
    "draw_spot_market",
    "find_region",
    "fit_spot_market",
    "score_loss_risk",
]
