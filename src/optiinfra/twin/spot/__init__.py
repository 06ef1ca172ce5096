"""The spot market: measured availability and prices replayed, and paths drawn after a fit. Pure."""

from optiinfra.twin.spot.market import SpotMarket, SpotMeasure, ZoneOutage, find_region

__all__ = ["SpotMarket", "SpotMeasure", "ZoneOutage", "find_region"]
