"""Summaries of AIPerf: profile_export_aiperf.json, one block {unit, avg, p50, p95, p99} a metric.

AIPerf's inter_token_latency is (request latency - TTFT) / (output tokens - 1) a request: our TPOT.
(aiperf docs/reference/json-export-schema.md, docs/metrics-reference.md.)
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
from optiinfra.domain.errors import InputError
from optiinfra.domain.measurement import Measurement

_UNITS_PER_S = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_LATENCIES = ("time_to_first_token", "inter_token_latency", "request_latency")


def is_aiperf(path: Path, document: dict[str, Any]) -> bool:
    """Whether this is such a summary.

    Raises:
        InputError: it is AIPerf's, but of several runs together.
    """
    if any(isinstance(document.get(name), dict) for name in _LATENCIES):
        return True
    if "aiperf_version" in document or ("metrics" in document and "per_run" in document):
        raise InputError(
            "this is an AIPerf file without latencies, or of several runs together.",
            remedy="Give the profile_export_aiperf.json of one run.",
            file=str(path),
        )
    return False


def make_aiperf_measurement(path: Path, source: str, document: dict[str, Any]) -> Measurement:
    """The figures of one run."""
    ttft, tpot, e2e = (_read_latency(path, document, name) for name in _LATENCIES)
    require_any_latency(path, ttft["avg"], tpot["avg"], e2e["avg"])
    rate_per_s, rate_note = _find_rate(document)
    notes = ["AIPerf: timed at the client; TPOT is its inter_token_latency per request", rate_note]
    if failed := find_count(document, "error_request_count", "avg"):
        notes.append(f"{failed} requests failed and are in no figure")
    if document.get("was_cancelled") is True:
        notes.append("the run was cancelled before its end")
    version = document.get("aiperf_version")
    return Measurement(
        source=f"{source} (AIPerf{f' {version}' if isinstance(version, str) else ''})",
        ttft_s_mean=ttft["avg"],
        ttft_s_p50=ttft["p50"],
        ttft_s_p95=ttft["p95"],
        ttft_s_p99=ttft["p99"],
        tpot_s_mean=tpot["avg"],
        tpot_s_p50=tpot["p50"],
        tpot_s_p95=tpot["p95"],
        tpot_s_p99=tpot["p99"],
        e2e_s_mean=e2e["avg"],
        rate_per_s=rate_per_s,
        num_requests=find_count(document, "request_count", "avg"),
        notes=tuple(notes),
    )


def _read_latency(path: Path, document: dict[str, Any], name: str) -> dict[str, float | None]:
    block = document.get(name)
    if not isinstance(block, dict):
        return dict.fromkeys(("avg", "p50", "p95", "p99"))
    unit = block.get("unit", "ms")
    if unit not in _UNITS_PER_S:
        raise InputError(
            f"the unit is {str(unit)[:40]!r}.",
            remedy=f"Known are {', '.join(_UNITS_PER_S)}.",
            file=str(path),
            field=f"{name}.unit",
        )
    return {
        key: find_seconds(block, key, units_per_s=_UNITS_PER_S[unit])
        for key in ("avg", "p50", "p95", "p99")
    }


def _find_rate(document: dict[str, Any]) -> tuple[float | None, str]:
    asked = find_number(document, "input_config", "loadgen", "request_rate")
    if asked:
        return asked, "the rate is the one asked for"
    achieved = find_number(document, "request_throughput", "avg")
    return achieved or None, "the rate is the one achieved"
