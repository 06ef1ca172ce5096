"""A trace served by one replica: requests arrive when they arrive, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.engine_queue import push_request
from optiinfra.twin.engine_simulator import advance
from optiinfra.twin.engine_state import ARRIVAL

if TYPE_CHECKING:
    from optiinfra.twin.engine_state import Replicas, Requests


@njit(cache=True, nogil=True)
def serve_arrivals(replicas: Replicas, requests: Requests, is_jumping: bool) -> None:
    """Serve all requests, whose arrivals never go back, on replica 0."""
    for i in range(requests.instants.shape[0]):
        advance(replicas, requests, 0, requests.instants[i, ARRIVAL], False, False, is_jumping)
        push_request(replicas, requests, 0, i)
    advance(replicas, requests, 0, math.inf, False, False, is_jumping)
