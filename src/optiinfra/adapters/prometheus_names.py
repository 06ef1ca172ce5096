"""What vLLM, SGLang and TGI call the same figures, old names and new, and the queries for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """One engine's metric names, the preferred first; empty where it has no such metric."""

    engine: str
    prompt_tokens: tuple[str, ...]  # histograms from here …
    output_tokens: tuple[str, ...]
    ttft: tuple[str, ...]
    tpot: tuple[str, ...]  # a value a request
    itl: tuple[str, ...]  # a value a token
    e2e: tuple[str, ...]  # … to here
    kv_usage: tuple[str, ...]  # gauge, 0..1
    model_label: str | None = "model_name"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of this engine."""
        groups = (self.prompt_tokens, self.output_tokens, self.ttft, self.tpot, self.itl, self.e2e)
        return tuple(name for group in (*groups, self.kv_usage) for name in group)


def _both(*names: str) -> tuple[str, ...]:
    """Each name, and the form some exporters make of it, without the colon."""
    return tuple(form for name in names for form in (name, name.replace(":", "_")))


ENGINES = (
    EngineMetrics(
        engine="vllm",
        prompt_tokens=_both("vllm:request_prompt_tokens"),
        output_tokens=_both("vllm:request_generation_tokens"),
        ttft=_both("vllm:time_to_first_token_seconds"),
        tpot=_both("vllm:request_time_per_output_token_seconds"),
        itl=_both("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        e2e=_both("vllm:e2e_request_latency_seconds"),
        kv_usage=_both("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    ),
    EngineMetrics(
        engine="sglang",
        prompt_tokens=_both("sglang:prompt_tokens_histogram"),
        output_tokens=_both("sglang:generation_tokens_histogram"),
        ttft=_both("sglang:time_to_first_token_seconds"),
        tpot=(),
        itl=_both("sglang:inter_token_latency_seconds"),
        e2e=_both("sglang:e2e_request_latency_seconds"),
        kv_usage=_both("sglang:token_usage"),
    ),
    EngineMetrics(
        # no first-token histogram, and its time per token has the prefill in it
        engine="tgi",
        prompt_tokens=("tgi_request_input_length",),
        output_tokens=("tgi_request_generated_tokens",),
        ttft=(),
        tpot=(),
        itl=(),
        e2e=("tgi_request_duration",),
        kv_usage=(),
        model_label=None,
    ),
)
NAME_MATCH = '{__name__=~"(vllm|sglang)[:_].+|tgi_.+"}'


def find_histogram(candidates: tuple[str, ...], present: Collection[str]) -> str | None:
    """The first candidate with buckets, sum and count among the names present."""
    return next((name for name in candidates if f"{name}_bucket" in present), None)


def find_gauge(candidates: tuple[str, ...], present: Collection[str]) -> str | None:
    """The first candidate among the names present."""
    return next((name for name in candidates if name in present), None)


def list_engines(present: Collection[str]) -> list[EngineMetrics]:
    """The engines of which any metric is present."""
    return [
        engine
        for engine in ENGINES
        if any(name in present or f"{name}_bucket" in present for name in engine.names)
    ]


def make_selector(labels: Mapping[str, str]) -> str:
    """`{name="value",…}` with the values quoted as PromQL wants them."""
    pairs = []
    for name, value in sorted(labels.items()):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        pairs.append(f'{name}="{quoted}"')
    return "{" + ",".join(pairs) + "}"
