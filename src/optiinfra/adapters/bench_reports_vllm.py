"""Results of `vllm bench serve` and of SGLang's `bench_serving`.

vLLM (vllm/benchmarks/serve.py): mean_, median_, pNN_ of ttft, tpot, itl, e2el in ms; a figure of an
empty list is written as 0. Its TPOT is (latency - TTFT) / (output tokens - 1) per request: ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optiinfra.adapters.bench_reports_fields import (
    find_count,
    find_number,
    find_seconds,
    require_any_latency,
)
from optiinfra.domain.measurement import Measurement

_MS_PER_S = 1e3


def is_vllm(document: dict[str, Any]) -> bool:
    """Whether this is such a result."""
    return "completed" in document and (
        "mean_ttft_ms" in document or "mean_e2el_ms" in document or "request_throughput" in document
    )


def describe_vllm(document: dict[str, Any]) -> str:
    """One result among several, for people."""
    rate = document.get("request_rate", "unknown")
    return f"rate {rate}, {document.get('completed')} completed, {document.get('date', 'no date')}"


def make_vllm_measurement(path: Path, source: str, document: dict[str, Any]) -> Measurement:
    """The figures of one result."""
    rate_per_s, rate_note = _find_rate(document)
    ttft_s_mean = _find_ms(document, "mean_ttft_ms")
    tpot_s_mean = _find_ms(document, "mean_tpot_ms")
    e2e_s_mean = _find_ms(document, "mean_e2el_ms", "mean_e2e_latency_ms")
    require_any_latency(path, ttft_s_mean, tpot_s_mean, e2e_s_mean)
    notes = ["vllm bench serve: timed at the client; TPOT is a mean per request", rate_note]
    if failed := find_count(document, "failed"):
        notes.append(f"{failed} requests failed and are in no figure")
    return Measurement(
        source=f"{source} (vllm bench serve)",
        ttft_s_mean=ttft_s_mean,
        ttft_s_p50=_find_ms(document, "median_ttft_ms", "p50_ttft_ms"),
        ttft_s_p95=_find_ms(document, "p95_ttft_ms"),
        ttft_s_p99=_find_ms(document, "p99_ttft_ms"),
        tpot_s_mean=tpot_s_mean,
        tpot_s_p50=_find_ms(document, "median_tpot_ms", "p50_tpot_ms"),
        tpot_s_p95=_find_ms(document, "p95_tpot_ms"),
        tpot_s_p99=_find_ms(document, "p99_tpot_ms"),
        e2e_s_mean=e2e_s_mean,
        rate_per_s=rate_per_s,
        num_requests=find_count(document, "completed"),
        notes=tuple(notes),
    )


def _find_ms(document: dict[str, Any], *names: str) -> float | None:
    found = (find_seconds(document, name, units_per_s=_MS_PER_S) for name in names)
    return next((value for value in found if value is not None), None)


def _find_rate(document: dict[str, Any]) -> tuple[float | None, str]:
    """The offered rate: as asked for, or as achieved where a fixed number of clients made it."""
    if asked := find_number(document, "request_rate"):
        return asked, "the rate is the one asked for"
    if find_number(document, "max_concurrency"):
        achieved = find_number(document, "request_throughput") or None
        return achieved, "the rate is the one achieved by a fixed number of clients"
    return None, "all requests were sent at once: the rate is unknown"
