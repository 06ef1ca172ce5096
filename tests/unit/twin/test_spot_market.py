"""A spot market as a value: outages and costs by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optiinfra.domain.errors import InputError
from optiinfra.twin.spot import SpotMarket, SpotMeasure, ZoneOutage, find_region


def make_market(**changes: Any) -> SpotMarket:
    """Two zones over six ticks of 10 minutes."""
    fields: dict[str, Any] = {
        "zones": ("us-east-1a", "us-east-1b"),
        "tick_s": 600.0,
        "is_available": np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 1]], np.bool_),
        "price_usd_per_h": np.array([[1.0, 3], [1, 3], [2, 3], [2, 3], [4, 3], [4, 3]]),
        "measure": SpotMeasure.LAUNCHABILITY,
        "source": "made",
    }
    return SpotMarket(**(fields | changes))


def test_outages_by_hand() -> None:
    market = make_market()
    assert market.list_outages("us-east-1a") == (
        ZoneOutage(1200.0, 2400.0),
        ZoneOutage(3000.0, 3600.0, is_open=True),
    )
    assert market.list_outages("us-east-1b") == (ZoneOutage(0.0, 1200.0),)
    assert market.list_outages("us-east-1b")[0].lasted_s == 1200.0
    assert [market.is_available_at("us-east-1a", at_s) for at_s in (0, 1199, 1200, 1e9)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("start_s", "end_s", "cost_usd"),
    [
        (0, 3600, (2 * 1 + 2 * 2 + 2 * 4) / 6),
        (300, 1500, (900 * 1 + 300 * 2) / 3600),
        (700, 800, 100 / 3600),
        (3600, 7200, 4.0),  # beyond the market its last price holds
        (900, 900, 0.0),
    ],
)
def test_costs_by_hand(start_s: float, end_s: float, cost_usd: float) -> None:
    assert make_market().compute_cost_usd("us-east-1a", start_s, end_s) == pytest.approx(cost_usd)


def test_unknown_zones_and_impossible_times() -> None:
    with pytest.raises(InputError, match=r"no zone 'us-east-1z'.*us-east-1a, us-east-1b"):
        make_market().list_outages("us-east-1z")
    with pytest.raises(ValueError, match="does not run"):
        make_market().compute_cost_usd("us-east-1a", 10, 5)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-west-2a", "us-west-2"),
        ("us-central1-b", "us-central1"),
        ("eastus", "eastus"),
        ("eu-west-1", "eu-west-1"),
    ],
)
def test_regions_by_name(zone: str, region: str) -> None:
    assert find_region(zone) == region


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zones": ("a", "a")}, "each once"),
        ({"tick_s": 0.0}, "positive time"),
        ({"is_available": np.ones((6, 1), np.bool_)}, "column a zone"),
        ({"is_available": np.ones((6, 2))}, "true or false"),
        ({"price_usd_per_h": np.full((6, 2), np.nan)}, "positive number"),
        ({"price_usd_per_h": np.full((6, 2), -1.0)}, "positive number"),
    ],
)
def test_impossible_markets(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_market(**changes)
