"""From stored recommendations to situations: what is not said there is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from optiinfra.domain.situations import Situation
from optiinfra.orchestrator.remembering import read_recommendation

BEFORE = {
    "gpu": "H100-SXM",
    "num_replicas": 4,
    "list_cost_usd_per_h": "40.00",
    "arguments": {"engine": "vllm", "tensor_parallel_size": 2},
    "offer": {"purchase_option": "on_demand"},
}
AFTER = BEFORE | {"gpu": "L40S", "num_replicas": 2, "list_cost_usd_per_h": "10.00", "offer": None}
SERVICE = {"kv_cache_usage_ratio_mean": 0.4, "slo_attainment_ratio": 0.99}
DATA = {
    "recommendation": {
        "before": {"configuration": BEFORE, "service": SERVICE},
        "after": {"configuration": AFTER, "service": SERVICE},
    }
}


def test_a_stored_recommendation_is_read() -> None:
    assert read_recommendation("reduce_cost", DATA) == Situation(
        action="reduce_cost",
        gpu="H100-SXM",
        gpu_after="L40S",
        engine="vllm",
        purchase_option="on_demand",
        num_replicas=4.0,
        tensor_parallel_size=2.0,
        kv_cache_usage_ratio=0.4,
        slo_attainment_ratio=0.99,
        list_cost_usd_per_h=40.0,
        replicas_factor=0.5,
        list_cost_factor=0.25,
    )


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"recommendation": None},
        {"recommendation": {"before": [], "after": "x"}},
        {"recommendation": {"before": {"configuration": {"num_replicas": 0, "gpu": ""}}}},
        {"recommendation": {"before": {"configuration": {"num_replicas": True, "gpu": 7}}}},
        {"recommendation": {"before": {"configuration": {"list_cost_usd_per_h": "NaN"}}}},
        {"recommendation": {"before": {"service": {"slo_attainment_ratio": "often"}}}},
    ],
)
def test_what_is_not_said_is_unknown(data: dict[str, Any]) -> None:
    assert read_recommendation("reduce_cost", data) == Situation(action="reduce_cost")
