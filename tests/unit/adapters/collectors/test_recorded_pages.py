"""Pages of real engines under load, recorded as docs/engines.md says and shortened."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.adapters.collectors.readings import list_values, read_pages

RECORDED = Path(__file__).parent / "recorded"


def test_vllm_under_load() -> None:
    (reading,) = read_pages((RECORDED / "vllm-0.32.0.txt").read_text())
    labels = ("finished_reason", "reason", "sleep_state")
    values = {
        " ".join(name.split()): value for name, value in list_values(reading.batch, *labels).items()
    }
    assert reading.sources == {"vllm"}
    assert not reading.problems
    expected = {
        "num_requests_running": 3,
        "num_requests_waiting": 8,
        "num_requests_waiting_by_reason capacity": 8,
        "num_requests_waiting_by_reason deferred": 0,
        "kv_cache_usage_ratio": 0.016528925619834656,
        "engine_sleep_state awake": 1,
        "requests_finished_total length": 33,
        "requests_finished_total abort": 0,
        "prompt_tokens_total": 4642,
        "cached_prompt_tokens_total": 0,
        "output_tokens_total": 1053,
        "preemptions_total": 0,
        "prefix_cache_queries_total": 4642,
        "ttft_s_count_total": 36,
        "ttft_s_sum_total": pytest.approx(1211.2306473255157),
        "itl_s_count_total": 1017,
        "tpot_s_count_total": 33,
        "e2e_s_sum_total": pytest.approx(1466.044000864029),
        "queue_s_sum_total": pytest.approx(632.5528327320026),
        "prefill_s_sum_total": pytest.approx(221.52779012998872),
        "decode_s_sum_total": pytest.approx(421.2954267690111),
        "iteration_tokens_sum_total": 5695,
    }
    assert {name: values.get(name) for name in expected} == expected
