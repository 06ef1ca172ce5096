"""What the fleet was measured to do, in the twin's own terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measured figures of one deployment; None where the source does not say.

    `rate_per_s` is the offered load at which they were taken; `source` names file or URL and tool.
    """

    source: str
    ttft_s_mean: float | None = None
    ttft_s_p50: float | None = None
    ttft_s_p95: float | None = None
    ttft_s_p99: float | None = None
    tpot_s_mean: float | None = None
    tpot_s_p50: float | None = None
    tpot_s_p95: float | None = None
    tpot_s_p99: float | None = None
    e2e_s_mean: float | None = None
    kv_cache_usage_ratio_mean: float | None = None
    rate_per_s: float | None = None
    num_requests: int | None = None
    notes: tuple[str, ...] = ()
