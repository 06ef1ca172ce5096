"""Whether a load was more than a configuration can bear, seen from the waits it caused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_REQUESTS = 100
MIN_WAIT_S = 1.0
MIN_WAIT_SHARE = 0.02  # of the time over which requests arrived
GROWTH_FACTOR = 1.5  # from the middle of the trace to its end; a steady overload doubles


def find_is_unstable(
    arrival_s: NDArray[np.float64], first_scheduled_s: NDArray[np.float64]
) -> bool:
    """True where the wait in the queue grew until the arrivals ended.

    Under a load above capacity for ever the wait grows in proportion to time. Unstable is a wait,
    averaged over the last tenth of the requests, above 1 s and 2 % of the arrivals' span, larger
    than around the third quarter and half as large again as around the middle. A short trace can
    hide an overload; fewer than 100 requests are never called unstable.
    """
    n = arrival_s.size
    if n < MIN_REQUESTS:
        return False
    wait_s = first_scheduled_s - arrival_s
    tenth = n // 10
    middle, third, last = (
        float(wait_s[end - tenth : end].mean()) for end in (n // 2, 3 * n // 4, n)
    )
    span_s = float(arrival_s[-1] - arrival_s[0])
    if last <= max(MIN_WAIT_S, MIN_WAIT_SHARE * span_s):
        return False
    return last > third and last > GROWTH_FACTOR * middle
