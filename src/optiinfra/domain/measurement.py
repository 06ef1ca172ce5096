"""What the fleet was measured to do, in the twin's own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.trace import Trace


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measured figures of one deployment; None where the source does not say.

    `rate_per_s` is the offered load at which they were taken; `source` names file or URL and tool.
    TPOT is a mean per request and then over requests, unless `is_tpot_per_token`: then its mean
    weighs every gap between tokens alike (long answers count more) and its quantiles are unknown.
    KV-cache usage is a mean over replicas and all the time, idle time included. `bucket_edges` are
    the ends between which a quantile read from a histogram lies, by the name of its field: where
    it lies between them was not measured.
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
    is_tpot_per_token: bool = False
    bucket_edges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredRequests:
    """What each request of a trace met, in the trace's order.

    All float64[n], seconds: queue_s from arrival to first scheduling, ttft_s and e2e_s from arrival
    to first and last token, tpot_s NaN for a one-token answer.
    """

    trace: Trace
    queue_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = self.trace.num_requests
        if any(a.size != n for a in (self.queue_s, self.ttft_s, self.tpot_s, self.e2e_s)):
            message = "every request has its four times"
            raise ValueError(message)


def compute_measurement(requests: MeasuredRequests) -> Measurement:
    """Means and linearly interpolated quantiles over the requests that have the figure."""
    ttft_s = requests.ttft_s
    tpot_s = requests.tpot_s[~np.isnan(requests.tpot_s)]
    rate_per_s = requests.trace.rate_per_s
    return Measurement(
        source=requests.trace.source,
        ttft_s_mean=float(ttft_s.mean()),
        ttft_s_p50=_find_percentile(ttft_s, 50),
        ttft_s_p95=_find_percentile(ttft_s, 95),
        ttft_s_p99=_find_percentile(ttft_s, 99),
        tpot_s_mean=float(tpot_s.mean()) if tpot_s.size else None,
        tpot_s_p50=_find_percentile(tpot_s, 50),
        tpot_s_p95=_find_percentile(tpot_s, 95),
        tpot_s_p99=_find_percentile(tpot_s, 99),
        e2e_s_mean=float(requests.e2e_s.mean()),
        rate_per_s=rate_per_s if np.isfinite(rate_per_s) else None,
        num_requests=requests.trace.num_requests,
        notes=requests.notes,
    )


def _find_percentile(values: NDArray[np.float64], percent: int) -> float | None:
    return float(np.percentile(values, percent)) if values.size else None
