"""The busiest stretch of a trace: what decides how many replicas it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.prefixes import take_prefix_hashes

STEPS_A_WINDOW = 8  # windows are tried at every eighth of their length


def take_busiest(trace: Trace, num_requests: int) -> Trace:
    """The `num_requests` consecutive requests with the most tokens a second, from second 0.

    The whole trace where it has no more. Windows start at every eighth of their length; of equally
    busy ones the first counts. Raises ValueError for fewer than one request.
    """
    if num_requests < 1:
        message = "a stretch of a trace holds at least one request"
        raise ValueError(message)
    n = trace.num_requests
    if num_requests >= n:
        return trace
    starts = np.arange(0, n - num_requests + 1, max(num_requests // STEPS_A_WINDOW, 1))
    tokens = np.concatenate(
        [[0], np.cumsum(trace.prompt_tokens.astype(np.int64) + trace.output_tokens)]
    )
    work = tokens[starts + num_requests] - tokens[starts]
    span_s = trace.arrival_s[starts + num_requests - 1] - trace.arrival_s[starts]
    first = int(starts[np.argmax(work / np.maximum(span_s, 1e-9))])
    own = slice(first, first + num_requests)
    hashes = trace.prefix_hashes
    note = (
        f"the busiest {num_requests:,} of {n:,} requests, from second "
        f"{trace.arrival_s[first]:.0f} on"
    )
    return replace(
        trace,
        arrival_s=trace.arrival_s[own] - trace.arrival_s[first],
        prompt_tokens=trace.prompt_tokens[own],
        output_tokens=trace.output_tokens[own],
        started_at=None,
        prefix_hashes=(
            None
            if hashes is None
            else take_prefix_hashes(hashes, np.arange(own.start, own.stop, dtype=np.int64))
        ),
        notes=(*trace.notes, note),
    )
