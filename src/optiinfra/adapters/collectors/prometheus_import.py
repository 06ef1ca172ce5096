"""The past of a fleet from an existing Prometheus, as if its targets had been scraped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import numpy as np

from optiinfra.adapters.collectors.page import Labels
from optiinfra.adapters.collectors.received import ReceivedSeries, SeriesReceiver
from optiinfra.adapters.collectors.receivers import PROMETHEUS_LABELS, TargetNaming
from optiinfra.adapters.prometheus_client import Prometheus
from optiinfra.adapters.prometheus_series import read_matrix
from optiinfra.adapters.prometheus_times import check_range
from optiinfra.domain.samples import SampleBatch

MIN_STEP_S = 1.0
_STEPS = 120  # of one query: bounds an answer to 120 points a series
_NAMES = (
    "(vllm|sglang|trtllm|llamacpp)[:_].+|tgi_.+|nv_trt_llm_.+|(inference_|llm_d_epp_).+|DCGM_.+"
    "|gen_ai_.+|hw_gpu_.+|node_(cpu|memory_Mem|network_(receive|transmit)_bytes|load1|filesystem).*"
    "|process_start_time_seconds"
)


def import_range(
    prometheus: Prometheus,
    customer_id: UUID,
    *,
    start: datetime,
    end: datetime,
    step_s: float,
    matchers: str = "",
) -> Iterator[SampleBatch]:
    """Samples from start to end, `step_s` apart, a batch for every 120 steps.

    `matchers` narrow what is read, as PromQL writes them: `job="vllm"`. A step shows what
    Prometheus shows there, so values up to five minutes old.

    Raises:
        InputError: the range or the step cannot be used, or Prometheus does not answer.
    """
    span_s = check_range(start, end)
    step_s = max(step_s, MIN_STEP_S)
    receiver = SeriesReceiver(TargetNaming(customer_id, "prometheus", PROMETHEUS_LABELS).find)
    query = f'{{__name__=~"{_NAMES}"{"," if matchers else ""}{matchers}}}'
    num_steps = int(span_s // step_s) + 1
    for first in range(0, num_steps, _STEPS):
        number = min(_STEPS, num_steps - first)
        first_s = start.timestamp() + first * step_s
        last_s = first_s + (number - 1) * step_s
        data = prometheus.fetch(
            "/api/v1/query_range",
            [("query", query), ("start", first_s), ("end", last_s), ("step", step_s)],
        )
        matrix = read_matrix(data, first_s=first_s, step_s=step_s, num_steps=number)
        instants_ns = np.round((first_s + step_s * np.arange(number)) * 1e9).astype(np.int64)
        series = []
        for metric, values in matrix:
            is_known = ~np.isnan(values)
            labels: Labels = tuple(sorted(p for p in metric.items() if p[0] != "__name__"))
            series.append(
                ReceivedSeries(
                    metric.get("__name__", ""), labels, instants_ns[is_known], values[is_known]
                )
            )
        yield receiver.receive(series, int(last_s * 1e9))
