"""Each name that an engine or exporter uses is found, old and new, in base units."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from tests.unit.adapters.collectors.readings import list_values, read_pages

from optiinfra.adapters.collectors.catalogue import RuleKind, list_rules, normalize

NAMES = {
    "vllm:num_requests_running": "num_requests_running",
    "vllm:num_requests_waiting": "num_requests_waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage_ratio",
    "vllm:gpu_cache_usage_perc": "kv_cache_usage_ratio",
    "vllm_kv_cache_usage_perc": "kv_cache_usage_ratio",
    "vllm:prompt_tokens_total": "prompt_tokens_total",
    "vllm:prompt_tokens_cached_total": "cached_prompt_tokens_total",
    "vllm:generation_tokens_total": "output_tokens_total",
    "vllm:generation_tokens": "output_tokens_total",
    "vllm:num_preemptions_total": "preemptions_total",
    "vllm:request_success_total": "requests_finished_total",
    "vllm:prefix_cache_queries_total": "prefix_cache_queries_total",
    "vllm:external_prefix_cache_hits_total": "external_prefix_cache_hits_total",
    "vllm:time_to_first_token_seconds": "ttft_s",
    "vllm:inter_token_latency_seconds": "itl_s",
    "vllm:time_per_output_token_seconds": "itl_s",
    "vllm:request_time_per_output_token_seconds": "tpot_s",
    "vllm:e2e_request_latency_seconds": "e2e_s",
    "vllm:request_queue_time_seconds": "queue_s",
    "vllm:request_prefill_time_seconds": "prefill_s",
    "vllm:request_decode_time_seconds": "decode_s",
    "vllm:request_inference_time_seconds": "inference_s",
    "vllm:request_prompt_tokens": "prompt_tokens",
    "vllm:request_generation_tokens": "output_tokens",
    "vllm:iteration_tokens_total": "iteration_tokens",
    "sglang:num_running_reqs": "num_requests_running",
    "sglang:num_queue_reqs": "num_requests_waiting",
    "sglang:token_usage": "kv_cache_usage_ratio",
    "sglang:cache_hit_rate": "prefix_cache_hit_ratio",
    "sglang:gen_throughput": "reported_output_tokens_per_s",
    "sglang:generation_tokens_total": "output_tokens_total",
    "sglang:per_stage_req_latency_seconds": "stage_s",
    "tgi_queue_size": "num_requests_waiting",
    "tgi_batch_current_size": "num_requests_running",
    "tgi_request_count": "requests_received_total",
    "tgi_request_duration": "e2e_s",
    "trtllm:e2e_request_latency_seconds": "e2e_s",
    "trtllm_time_to_first_token_seconds": "ttft_s",
    "trtllm_request_success_total": "requests_finished_total",
    "trtllm_kv_cache_utilization": "kv_cache_usage_ratio",
    "llamacpp:tokens_predicted_total": "output_tokens_total",
    "llamacpp:tokens_predicted_seconds_total": "decode_s_sum_total",
    "llamacpp:prompt_tokens_cached_total": "cached_prompt_tokens_total",
    "llamacpp:predicted_tokens_seconds": "reported_request_output_tokens_per_s",
    "llamacpp:requests_deferred": "num_requests_waiting",
    "llm_d_epp_flow_control_queue_size": "gateway_queue_requests",
    "inference_objective_request_total": "gateway_requests_total",
    "node_memory_MemAvailable_bytes": "memory_available_bytes",
}


@pytest.mark.parametrize(("name", "metric"), NAMES.items())
def test_names(name: str, metric: str) -> None:
    assert list_rules()[normalize(name)].metric == metric


def test_units_are_base_units() -> None:
    ends = ("_percent", "_ms", "_mb", "_mib", "_mj", "_mhz")
    assert not [rule.metric for rule in list_rules().values() if rule.metric.endswith(ends)]
    assert all(
        rule.metric.endswith("_total") == (rule.kind == RuleKind.COUNTER)
        for rule in list_rules().values()
    )


def test_the_new_name_counts_where_a_page_has_both() -> None:
    lines = [
        'vllm:gpu_cache_usage_perc{model_name="m"} 0.1',
        'vllm:kv_cache_usage_perc{model_name="m"} 0.2',
        'vllm:gpu_cache_usage_perc{model_name="old"} 0.3',
    ]
    for page in ("\n".join(lines), "\n".join(reversed(lines))):
        values = list_values(read_pages(page)[0].batch, "model_name", "engine_kind")
        assert values == {
            "kv_cache_usage_ratio m vllm": 0.2,
            "kv_cache_usage_ratio old vllm": 0.3,
        }


def test_a_figure_under_a_label() -> None:
    page = (
        'nv_trt_llm_request_metrics{request_type="waiting"} 4\n'
        'nv_trt_llm_request_metrics{request_type="active"} 9\n'
        'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.5\n'
    )
    values = list_values(read_pages(page)[0].batch)
    assert values == {"num_requests_waiting": 4, "kv_cache_usage_ratio": 0.5}


def test_gpus_in_base_units() -> None:
    page = """\
DCGM_FI_DEV_GPU_UTIL{gpu="0"} 87
DCGM_FI_DEV_FB_USED{gpu="0"} 1000
DCGM_FI_DEV_FB_FREE{gpu="0"} 20
DCGM_FI_DEV_FB_RESERVED{gpu="0"} 4
DCGM_FI_DEV_FB_USED{gpu="1"} 1
DCGM_FI_DEV_SM_CLOCK{gpu="0"} 1410
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"} %d
# TYPE DCGM_FI_PROF_PCIE_TX_BYTES counter
DCGM_FI_PROF_PCIE_TX_BYTES{gpu="0"} %d
# TYPE DCGM_FI_PROF_PCIE_RX_BYTES gauge
DCGM_FI_PROF_PCIE_RX_BYTES{gpu="0"} 12
"""
    values = list_values(read_pages(page % (5_000, 100), page % (35_000, 400))[1].batch, "gpu")
    assert values == {
        "gpu_utilization_ratio 0": 0.87,
        "gpu_memory_used_bytes 0": 1000 * 2**20,
        "gpu_memory_free_bytes 0": 20 * 2**20,
        "gpu_memory_reserved_bytes 0": 4 * 2**20,
        "gpu_memory_total_bytes 0": 1024 * 2**20,
        "gpu_memory_used_bytes 1": 2**20,  # its total is unknown without what is free
        "gpu_sm_clock_hz 0": 1.41e9,
        "gpu_energy_joules_total 0": 35,
        "gpu_energy_joules_per_s 0": 2,
        "gpu_pcie_tx_bytes 0": 400,
        "gpu_pcie_tx_bytes_per_s 0": 20,
        "gpu_pcie_rx_bytes 0": 12,
    }


def test_a_machine() -> None:
    page = """\
node_cpu_seconds_total{cpu="0",mode="idle"} %f
node_cpu_seconds_total{cpu="0",mode="user"} 0
node_cpu_seconds_total{cpu="1",mode="idle"} 100
node_memory_MemTotal_bytes 1000
node_memory_MemAvailable_bytes 400
node_network_receive_bytes_total{device="eth0"} %d
"""
    batch = read_pages(page % (10, 0), page % (22, 1500))[1].batch
    values = list_values(batch, "cpu", "mode", "device")
    assert values["cpu_utilization_ratio   "] == pytest.approx(1 - (12 / 15 + 0) / 2)
    assert values["memory_used_bytes   "] == 600
    assert values["network_rx_bytes_per_s   eth0"] == 100


def test_prefix_cache_hits_of_the_interval() -> None:
    page = 'vllm:prefix_cache_hits_total{m="a"} %d\nvllm:prefix_cache_queries_total{m="a"} %d\n'
    readings = read_pages(page % (90, 100), page % (95, 120), page % (95, 120))
    assert list_values(readings[1].batch)["prefix_cache_hit_ratio"] == pytest.approx(0.25)
    assert "prefix_cache_hit_ratio" not in list_values(readings[2].batch)  # 0 of 0 is unknown


def test_a_mean_over_nothing_is_unknown() -> None:
    page = """\
# TYPE llamacpp:predicted_tokens_seconds gauge
llamacpp:predicted_tokens_seconds %s
# TYPE llamacpp:prompt_tokens_seconds gauge
llamacpp:prompt_tokens_seconds %s
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 0
"""
    idle, busy = read_pages(page % (0, 0), page % (12.5, 80))
    assert list_values(idle.batch) == {"num_requests_running": 0}
    assert not idle.problems
    assert list_values(busy.batch) == {
        "num_requests_running": 0,
        "reported_request_output_tokens_per_s": 12.5,
        "reported_prompt_tokens_per_s": 80,
    }


def test_labels_of_the_source_are_kept() -> None:
    page = 'vllm:num_requests_running{model_name="m",engine="3"} 2'
    (series, *_) = read_pages(page)[0].batch.series
    assert series.labels == (("engine", "3"), ("engine_kind", "vllm"), ("model_name", "m"))


def test_every_rule_is_documented() -> None:
    page = Path(__file__).parents[4].joinpath("docs", "collectors.md").read_text()
    assert not [rule.metric for rule in list_rules().values() if f"`{rule.metric}`" not in page]


@pytest.mark.real_data
@pytest.mark.skipif("OPTIINFRA_DATA" not in os.environ, reason="OPTIINFRA_DATA is not set")
def test_names_of_the_dcgm_exporter_are_in_its_own_list() -> None:
    path = Path(os.environ["OPTIINFRA_DATA"]) / "dcgm" / "default-counters.csv"
    rows = csv.reader(line.removeprefix("# ") for line in path.read_text().splitlines())
    listed = {row[0].strip() for row in rows if row}
    ours = {name for name, rule in list_rules().items() if rule.source == "dcgm"}
    assert {name.removesuffix("_total") for name in ours} <= listed
