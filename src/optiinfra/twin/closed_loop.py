"""Requests of clients that wait for an answer before they ask again, on one replica, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from optiinfra.twin.engine_queue import push_request
from optiinfra.twin.engine_simulator import advance
from optiinfra.twin.engine_state import (
    AFTER,
    ARRIVAL,
    DONE_HEAD,
    FINISHED,
    NOW,
    NUM_RUNNING,
    NUM_WAITING,
)

if TYPE_CHECKING:
    from optiinfra.twin.engine_state import Replicas, Requests


@njit(cache=True, nogil=True)
def serve_clients(
    replicas: Replicas, requests: Requests, num_clients: int, think_s: float, is_jumping: bool
) -> None:
    """Serve all requests in order: a client takes the next one `think_s` after its last ended.

    The first `num_clients` requests arrive when their slots say; the others' arrivals are set.
    Thinking takes the same time for all, so arrivals come in the order of completions.
    """
    counts = replicas.counts[0]
    cells, instants = requests.cells, requests.instants
    n = instants.shape[0]
    num_issued = min(num_clients, n)
    num_pushed = 0
    num_done = 0
    while num_done < n:
        until = math.inf
        if num_pushed < num_issued:
            until = instants[num_pushed, ARRIVAL]
        advance(replicas, requests, 0, until, False, True, is_jumping)
        i = counts[DONE_HEAD]
        counts[DONE_HEAD] = -1
        while i >= 0:
            num_done += 1
            if num_issued < n:
                instants[num_issued, ARRIVAL] = instants[i, FINISHED] + think_s
                num_issued += 1
            i = cells[i, AFTER]
        while num_pushed < num_issued:
            is_idle = counts[NUM_RUNNING] == 0 and counts[NUM_WAITING] == 0
            if not is_idle and instants[num_pushed, ARRIVAL] > replicas.figures[0, NOW]:
                break
            push_request(replicas, requests, 0, num_pushed)
            num_pushed += 1
