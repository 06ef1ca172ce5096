"""A page as vLLM writes it, of a wanted size: its families, buckets and labels, drawn values."""

from __future__ import annotations

import random

HISTOGRAMS = (
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_time_per_output_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
)
GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
COUNTERS = ("prompt_tokens", "generation_tokens", "num_preemptions")
EDGES = (
    *("0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75"),
    *("1.0", "2.5", "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0"),
    "+Inf",
)
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def make_vllm_page(num_samples: int, seed: int) -> bytes:
    """At least `num_samples` samples; the same number gives the same lines but for the values."""
    rng = random.Random(seed)
    lines: list[str] = []
    num_engines = -(-num_samples // _count_samples())
    for name in HISTOGRAMS:
        lines += [f"# HELP vllm:{name} Histogram of {name}.", f"# TYPE vllm:{name} histogram"]
        for engine in range(num_engines):
            lines += _make_histogram(name, engine, rng)
    for kind, names in (("gauge", GAUGES), ("counter", COUNTERS)):
        for name in names:
            full = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
            lines += [f"# HELP {full} What it says.", f"# TYPE {full} {kind}"]
            for engine in range(num_engines):
                value = rng.random() if kind == "gauge" else float(rng.randrange(10**9))
                lines.append(f'{full}{{engine="{engine}",model_name="{MODEL}"}} {value}')
    return ("\n".join(lines) + "\n").encode()


def _make_histogram(name: str, engine: int, rng: random.Random) -> list[str]:
    lines = []
    count = 0
    for edge in EDGES:
        count += rng.randrange(1000)
        labels = f'engine="{engine}",le="{edge}",model_name="{MODEL}"'
        lines.append(f"vllm:{name}_bucket{{{labels}}} {float(count)}")
    own = f'{{engine="{engine}",model_name="{MODEL}"}}'
    lines.append(f"vllm:{name}_count{own} {float(count)}")
    lines.append(f"vllm:{name}_sum{own} {rng.random() * count}")
    return lines


def _count_samples() -> int:
    return len(HISTOGRAMS) * (len(EDGES) + 2) + len(GAUGES) + len(COUNTERS)
