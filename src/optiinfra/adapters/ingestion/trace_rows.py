"""Requests of a trace as rows of the metric store: what each asked for, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from optiinfra.domain.metric_tables import MetricRows, MetricTable, make_rows
from optiinfra.domain.trace import Trace

_KEY_LENGTH = 12


@dataclass(frozen=True, slots=True)
class TraceOwner:
    """Whose requests these are, who served them, and when the first of them came (aware UTC)."""

    customer_id: UUID
    deployment: str
    model_name: str
    started_at: datetime


def make_trace_rows(trace: Trace, owner: TraceOwner, *, first: int, last: int) -> MetricRows:
    """A row a request, from number `first` to `last`, both within; latency was not measured.

    A request is called by the trace's digest and its number, so that its rows of two imports can be
    told to be of one request.
    """
    chosen = slice(first, last + 1)
    milliseconds = np.round(trace.arrival_s[chosen] * 1e3).astype(np.int64)
    prompt, output = trace.prompt_tokens[chosen], trace.output_tokens[chosen]
    digest = trace.digest[:_KEY_LENGTH]
    return make_rows(
        MetricTable.PERFORMANCE,
        timestamp=round(owner.started_at.timestamp() * 1e3) + milliseconds,
        customer_id=owner.customer_id,
        columns={
            "service_id": owner.deployment,
            "model_name": owner.model_name,
            "request_id": [f"{digest}-{number}" for number in range(first, last + 1)],
            "prompt_tokens": prompt.astype(np.float64),
            "completion_tokens": output.astype(np.float64),
            "total_tokens": prompt.astype(np.float64) + output,
        },
    )
