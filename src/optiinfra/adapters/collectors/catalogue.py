"""One canonical name, with its base unit, for what every engine and exporter calls its own way.

Names are compared with `:` as `_`, since some exporters rename them so. Where a page has the new
and the old name of one figure, the one listed first counts. Sources: the projects' own documents
and sources, as listed in docs/collectors.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

MIB = 2.0**20
PERCENT = 0.01
MILLI = 1e-3
MEGA = 1e6


class RuleKind(StrEnum):
    """What a source's figure is, whatever its page says."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    BY_TYPE = "by_type"  # gauge or counter, as the page's TYPE says: it differs between versions


@dataclass(frozen=True, slots=True)
class Rule:
    """How a source's figure becomes ours: times `scale`, and only with the label `when` if given.

    `rank` orders names of the same figure, the lowest first. `source` is who reports it. Where
    `is_zero_unknown`, a zero only says that there was nothing to report on.
    """

    source: str
    metric: str
    kind: RuleKind
    scale: float = 1.0
    rank: int = 0
    when: tuple[str, str] | None = None
    is_zero_unknown: bool = False


ENGINES = frozenset(("vllm", "sglang", "tgi", "trtllm", "llamacpp"))

# canonical metric: names at the source, the newest first
_GAUGES = {
    "vllm": {
        "num_requests_running": "vllm:num_requests_running",
        "num_requests_waiting": "vllm:num_requests_waiting",
        "num_requests_waiting_by_reason": "vllm:num_requests_waiting_by_reason",
        "kv_cache_usage_ratio": "vllm:kv_cache_usage_perc vllm:gpu_cache_usage_perc",
        "engine_sleep_state": "vllm:engine_sleep_state",
        "lora_requests_info": "vllm:lora_requests_info",
        "cache_config_info": "vllm:cache_config_info",
    },
    "sglang": {
        "num_requests_running": "sglang:num_running_reqs",
        "num_requests_waiting": "sglang:num_queue_reqs",
        "num_requests_retracted": "sglang:num_retracted_reqs",
        "kv_cache_usage_ratio": "sglang:token_usage",
        "kv_cache_used_tokens": "sglang:num_used_tokens",
        "prefix_cache_hit_ratio": "sglang:cache_hit_rate",
        "reported_output_tokens_per_s": "sglang:gen_throughput",
        "engine_utilization_ratio": "sglang:utilization",
        "speculative_accept_tokens": "sglang:spec_accept_length",
        "engine_startup_s": "sglang:engine_startup_time",
        "engine_load_weights_s": "sglang:engine_load_weights_time",
    },
    "tgi": {
        "num_requests_running": "tgi_batch_current_size",
        "num_requests_waiting": "tgi_queue_size",
        "batch_max_tokens": "tgi_batch_current_max_tokens",
    },
    "trtllm": {
        "num_requests_running": "trtllm_num_requests_running",
        "num_requests_waiting": "trtllm_num_requests_waiting",
        "kv_cache_usage_ratio": "trtllm_kv_cache_utilization",
        "prefix_cache_hit_ratio": "trtllm_kv_cache_hit_rate",
    },
    "llamacpp": {
        "num_requests_running": "llamacpp:requests_processing",
        "num_requests_waiting": "llamacpp:requests_deferred",
        "reported_request_output_tokens_per_s": "llamacpp:predicted_tokens_seconds",
        "reported_prompt_tokens_per_s": "llamacpp:prompt_tokens_seconds",
        "busy_slots_per_decode": "llamacpp:n_busy_slots_per_decode",
    },
    "epp": {
        "gateway_queue_requests": "llm_d_epp_flow_control_queue_size "
        "inference_extension_flow_control_queue_size",
        "gateway_saturation_ratio": "llm_d_epp_flow_control_pool_saturation",
        "gateway_num_requests_running": "llm_d_epp_request_running "
        "inference_objective_running_requests inference_model_running_requests",
    },
    "dcgm": {
        "gpu_temperature_celsius": "DCGM_FI_DEV_GPU_TEMP",
        "gpu_power_watts": "DCGM_FI_DEV_POWER_USAGE",
        "gpu_xid_error_code": "DCGM_FI_DEV_XID_ERRORS",
        "gpu_graphics_active_ratio": "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "gpu_tensor_active_ratio": "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "gpu_dram_active_ratio": "DCGM_FI_PROF_DRAM_ACTIVE",
        "gpu_sm_active_ratio": "DCGM_FI_PROF_SM_ACTIVE",
        "gpu_sm_occupancy_ratio": "DCGM_FI_PROF_SM_OCCUPANCY",
    },
    "otel": {
        "gpu_utilization_ratio": "hw_gpu_utilization hw_gpu_utilization_ratio",
        "gpu_memory_used_bytes": "hw_gpu_memory_usage hw_gpu_memory_usage_bytes",
    },
    "node": {
        "memory_total_bytes": "node_memory_MemTotal_bytes node_memory_MemTotal",
        "memory_available_bytes": "node_memory_MemAvailable_bytes node_memory_MemAvailable",
        "filesystem_size_bytes": "node_filesystem_size_bytes node_filesystem_size",
        "filesystem_available_bytes": "node_filesystem_avail_bytes node_filesystem_avail",
        "load_1m": "node_load1",
    },
}
_COUNTERS = {
    "vllm": {
        "prompt_tokens_total": "vllm:prompt_tokens",
        "cached_prompt_tokens_total": "vllm:prompt_tokens_cached",
        "output_tokens_total": "vllm:generation_tokens",
        "preemptions_total": "vllm:num_preemptions",
        "requests_finished_total": "vllm:request_success",
        "prefix_cache_queries_total": "vllm:prefix_cache_queries vllm:gpu_prefix_cache_queries",
        "prefix_cache_hits_total": "vllm:prefix_cache_hits vllm:gpu_prefix_cache_hits",
        "external_prefix_cache_queries_total": "vllm:external_prefix_cache_queries",
        "external_prefix_cache_hits_total": "vllm:external_prefix_cache_hits",
    },
    "sglang": {
        "prompt_tokens_total": "sglang:prompt_tokens",
        "output_tokens_total": "sglang:generation_tokens",
    },
    "tgi": {
        "requests_received_total": "tgi_request_count",
        "requests_finished_total": "tgi_request_success",
    },
    "trtllm": {"requests_finished_total": "trtllm_request_success"},
    "llamacpp": {
        "prompt_tokens_total": "llamacpp:prompt_tokens",
        "output_tokens_total": "llamacpp:tokens_predicted",
        "cached_prompt_tokens_total": "llamacpp:prompt_tokens_cached",
        "decode_steps_total": "llamacpp:n_decode",
        "decode_s_sum_total": "llamacpp:tokens_predicted_seconds",
    },
    "epp": {"gateway_requests_total": "inference_objective_request inference_model_request"},
    "dcgm": {"gpu_uncorrectable_remapped_rows_total": "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"},
    "otel": {"gpu_io_bytes_total": "hw_gpu_io hw_gpu_io_bytes"},
    "node": {
        "cpu_seconds_total": "node_cpu_seconds node_cpu",
        "network_rx_bytes_total": "node_network_receive_bytes",
        "network_tx_bytes_total": "node_network_transmit_bytes",
    },
}
_HISTOGRAMS = {
    "vllm": {
        "ttft_s": "vllm:time_to_first_token_seconds",
        "itl_s": "vllm:inter_token_latency_seconds vllm:time_per_output_token_seconds",
        "tpot_s": "vllm:request_time_per_output_token_seconds",
        "e2e_s": "vllm:e2e_request_latency_seconds",
        "queue_s": "vllm:request_queue_time_seconds",
        "prefill_s": "vllm:request_prefill_time_seconds",
        "decode_s": "vllm:request_decode_time_seconds",
        "inference_s": "vllm:request_inference_time_seconds",
        "prompt_tokens": "vllm:request_prompt_tokens",
        "output_tokens": "vllm:request_generation_tokens",
        "iteration_tokens": "vllm:iteration_tokens_total",
    },
    "sglang": {
        "ttft_s": "sglang:time_to_first_token_seconds",
        "itl_s": "sglang:inter_token_latency_seconds sglang:time_per_output_token_seconds",
        "e2e_s": "sglang:e2e_request_latency_seconds",
        "queue_s": "sglang:queue_time_seconds",
        "stage_s": "sglang:per_stage_req_latency_seconds",
        "prompt_tokens": "sglang:prompt_tokens_histogram",
        "output_tokens": "sglang:generation_tokens_histogram",
    },
    "tgi": {
        "e2e_s": "tgi_request_duration",
        "queue_s": "tgi_request_queue_duration",
        "inference_s": "tgi_request_inference_duration",
        "validation_s": "tgi_request_validation_duration",
        "time_per_token_s": "tgi_request_mean_time_per_token_duration",  # the prefill is in it
        "prompt_tokens": "tgi_request_input_length",
        "output_tokens": "tgi_request_generated_tokens",
        "skipped_tokens": "tgi_request_skipped_tokens",
        "batch_inference_s": "tgi_batch_inference_duration",
        "batch_forward_s": "tgi_batch_forward_duration",
    },
    "trtllm": {
        "ttft_s": "trtllm_time_to_first_token_seconds",
        "tpot_s": "trtllm_time_per_output_token_seconds",
        "e2e_s": "trtllm_e2e_request_latency_seconds",
        "queue_s": "trtllm_request_queue_time_seconds",
    },
    "otel": {  # the second name is what a conversion to Prometheus makes of it
        metric: f"{name} {name}{unit}"
        for metric, name, unit in (
            ("ttft_s", "gen_ai_server_time_to_first_token", "_seconds"),
            ("tpot_s", "gen_ai_server_time_per_output_token", "_seconds"),
            ("e2e_s", "gen_ai_server_request_duration", "_seconds"),
            ("client_e2e_s", "gen_ai_client_operation_duration", "_seconds"),
            ("client_ttft_s", "gen_ai_client_operation_time_to_first_chunk", "_seconds"),
            ("client_tokens", "gen_ai_client_token_usage", "_tokens"),
            ("agent_s", "gen_ai_invoke_agent_duration", "_seconds"),
            ("tool_s", "gen_ai_execute_tool_duration", "_seconds"),
        )
    },
    "epp": {
        "gateway_e2e_s": "inference_objective_request_duration_seconds "
        "inference_model_request_duration_seconds",
        "gateway_time_per_token_s": "inference_objective_normalized_time_per_output_token_seconds "
        "inference_model_normalized_time_per_output_token_seconds",
    },
}
_CONVERTED = {
    "DCGM_FI_DEV_GPU_UTIL": ("gpu_utilization_ratio", RuleKind.GAUGE, PERCENT),
    "DCGM_FI_DEV_MEM_COPY_UTIL": ("gpu_memory_copy_ratio", RuleKind.GAUGE, PERCENT),
    "DCGM_FI_DEV_FB_USED": ("gpu_memory_used_bytes", RuleKind.GAUGE, MIB),
    "DCGM_FI_DEV_FB_FREE": ("gpu_memory_free_bytes", RuleKind.GAUGE, MIB),
    "DCGM_FI_DEV_FB_RESERVED": ("gpu_memory_reserved_bytes", RuleKind.GAUGE, MIB),
    "DCGM_FI_DEV_SM_CLOCK": ("gpu_sm_clock_hz", RuleKind.GAUGE, MEGA),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("gpu_energy_joules", RuleKind.COUNTER, MILLI),
    # the exporter's lists of 2026 call these a counter of bytes, or a gauge of bytes a second
    "DCGM_FI_PROF_PCIE_TX_BYTES": ("gpu_pcie_tx_bytes", RuleKind.BY_TYPE, 1.0),
    "DCGM_FI_PROF_PCIE_RX_BYTES": ("gpu_pcie_rx_bytes", RuleKind.BY_TYPE, 1.0),
}
# means over the requests that ended since whoever asked last, 0 if none did
_ZERO_UNKNOWN = frozenset(("llamacpp:predicted_tokens_seconds", "llamacpp:prompt_tokens_seconds"))
_TRITON = (
    ("nv_trt_llm_request_metrics", "num_requests_waiting", ("request_type", "waiting")),
    (
        "nv_trt_llm_kv_cache_block_metrics",
        "kv_cache_usage_ratio",
        ("kv_cache_block_type", "fraction"),
    ),
)


def normalize(name: str) -> str:
    """The form in which names are compared."""
    return name.replace(":", "_")


@cache
def list_rules() -> dict[str, Rule]:
    """Rules by normalized name, histograms without their suffixes, counters with and without."""
    rules: dict[str, Rule] = {}
    tables = (
        (_GAUGES, RuleKind.GAUGE),
        (_COUNTERS, RuleKind.COUNTER),
        (_HISTOGRAMS, RuleKind.HISTOGRAM),
    )
    for table, kind in tables:
        for source, metrics in table.items():
            for metric, names in metrics.items():
                for rank, name in enumerate(names.split()):
                    is_zero_unknown = name in _ZERO_UNKNOWN
                    rule = Rule(source, metric, kind, rank=rank, is_zero_unknown=is_zero_unknown)
                    _enter(rules, name, rule)
    for name, (metric, kind, scale) in _CONVERTED.items():
        full = f"{metric}_total" if kind == RuleKind.COUNTER else metric
        _enter(rules, name, Rule("dcgm", full, kind, scale))
    for name, metric, when in _TRITON:
        _enter(rules, name, Rule("trtllm", metric, RuleKind.GAUGE, rank=1, when=when))
    return rules


def _enter(rules: dict[str, Rule], name: str, rule: Rule) -> None:
    key = normalize(name)
    forms = [key, f"{key}_total"] if rule.kind == RuleKind.COUNTER else [key]
    for form in forms:
        if rules.setdefault(form, rule) is not rule:
            raise ValueError(f"two rules for {form}")


def to_rate_metric(metric: str) -> str:
    """What the rate of a counter is called: `output_tokens_total` gives `output_tokens_per_s`."""
    return f"{metric.removesuffix('_total')}_per_s"
