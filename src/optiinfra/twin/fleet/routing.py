"""Which replica a request goes to, compiled: a shard of replicas behind one router.

A router looks at a replica's load as it is when the request arrives; only the replicas it looks at
are advanced to that instant, so that an arrival costs the same however many replicas there are.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optiinfra.twin.engine_queue import push_request
from optiinfra.twin.engine_simulator import advance
from optiinfra.twin.engine_state import (
    AFTER,
    ARRIVAL,
    BEFORE,
    DONE_HEAD,
    FINISHED,
    FIRST_SCHEDULED,
    FIRST_TOKEN,
    HASH_START,
    HELD,
    NOW,
    NUM_ENDED_LAST,
    NUM_HASHES,
    NUM_RUNNING,
    NUM_WAITING,
    OUTPUT,
    PREEMPTIONS,
    PROMPT,
    REQUEST,
    SAMPLED,
    SEAT,
    WAITING_HEAD,
)
from optiinfra.twin.itl import find_bin

if TYPE_CHECKING:
    from optiinfra.twin.engine_state import Replicas, Requests


class Routing(IntEnum):
    """How a router chooses; every choice is among the replicas that are ready."""

    ROUND_ROBIN = 0  # in turn
    POWER_OF_TWO = 1  # the less loaded of two drawn at random (Mitzenmacher 2001)
    PREFIX_AFFINITY = 2  # where the prompt's first block was, unless that replica is overloaded


# Columns of `Shard.counters`.
NUM_TICKETS = 0
NUM_FREE = 1
TURN = 2
ROUTING = 3
SEED = 4
HELD_HEAD = 5  # requests that no replica was ready for, linked; -1: none
HELD_TAIL = 6
NUM_HELD = 7
NUM_COUNTERS = 8

# Columns of `Shard.totals`.
NUM_SERVED = 0
NUM_TTFT_MET = 1
NUM_TPOT_MET = 2
NUM_BOTH_MET = 3
TTFT_SUM_S = 4
TPOT_SUM_S = 5
NUM_WITH_TPOT = 6
QUEUE_SUM_S = 7
E2E_SUM_S = 8
OUTPUT_TOKENS = 9
NUM_PREEMPTIONS = 10
LAST_FINISHED_S = 11
TTFT_SLO_S = 12
TPOT_SLO_S = 13
NUM_TOTALS = 14

# Columns of `Shard.outcomes`.
NUM_OUTCOMES = 5  # first scheduled, first token, finished, preemptions, replica

AFFINITY_FACTOR = 1.5  # a replica may be that much busier than another, and 4 requests, before
AFFINITY_SPARE = 4.0  # a prompt leaves the one that has its prefix
MAX_PROBES = 64


class Shard(NamedTuple):
    """A router's own state: who is ready, free slots, totals of the requests that ended."""

    counters: NDArray[np.int64]
    tickets: NDArray[np.int64]  # ready replicas, each as often as its weight says
    weights: NDArray[np.float64]  # [r]: capacity of a replica beside the others'
    free: NDArray[np.int64]  # a stack of slots nobody uses
    totals: NDArray[np.float64]
    histograms: NDArray[np.int64]  # [3, bins] of TTFT, TPOT and the time in the queue
    outcomes: NDArray[np.float64]  # [n, 5] by the request's number; n = 0: not wanted


class Arrivals(NamedTuple):
    """A chunk of requests in order of arrival; hashed blocks lie in `Requests.hash_ids`."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    hash_starts: NDArray[np.int64]  # [n + 1], or size 1: no hashes


@njit(cache=True, nogil=True)
def mix(seed: int, number: int) -> int:
    """63 random-looking bits of two integers (Steele et al. 2014, SplitMix64)."""
    z = np.uint64(seed) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits: int = int((z ^ (z >> np.uint64(31))) >> np.uint64(1))
    return bits


@njit(cache=True, nogil=True)
def collect(replicas: Replicas, requests: Requests, shard: Shard, r: int) -> None:
    """Count the requests of replica r that ended and give their slots back."""
    counts = replicas.counts[r]
    i = counts[DONE_HEAD]
    counts[DONE_HEAD] = -1
    totals, instants, cells = shard.totals, requests.instants, requests.cells
    while i >= 0:
        arrival = instants[i, ARRIVAL]
        first = instants[i, FIRST_TOKEN]
        finished = instants[i, FINISHED]
        ttft = first - arrival
        queue = instants[i, FIRST_SCHEDULED] - arrival
        is_met = ttft <= totals[TTFT_SLO_S]
        totals[NUM_SERVED] += 1.0
        totals[TTFT_SUM_S] += ttft
        totals[QUEUE_SUM_S] += queue
        totals[E2E_SUM_S] += finished - arrival
        totals[OUTPUT_TOKENS] += cells[i, OUTPUT]
        totals[NUM_PREEMPTIONS] += cells[i, PREEMPTIONS]
        totals[LAST_FINISHED_S] = max(totals[LAST_FINISHED_S], finished)
        shard.histograms[0, find_bin(ttft)] += 1
        shard.histograms[2, find_bin(queue)] += 1
        if is_met:
            totals[NUM_TTFT_MET] += 1.0
        if cells[i, OUTPUT] > 1:
            tpot = (finished - first) / (cells[i, OUTPUT] - 1)
            totals[TPOT_SUM_S] += tpot
            totals[NUM_WITH_TPOT] += 1.0
            shard.histograms[1, find_bin(tpot)] += 1
            if tpot <= totals[TPOT_SLO_S]:
                totals[NUM_TPOT_MET] += 1.0
            else:
                is_met = False
        if is_met:
            totals[NUM_BOTH_MET] += 1.0
        if shard.outcomes.shape[0] > 0:
            row = shard.outcomes[cells[i, REQUEST]]
            row[0] = instants[i, FIRST_SCHEDULED]
            row[1] = first
            row[2] = finished
            row[3] = cells[i, PREEMPTIONS]
            row[4] = r
        after = cells[i, AFTER]
        shard.free[shard.counters[NUM_FREE]] = i
        shard.counters[NUM_FREE] += 1
        i = after


@njit(cache=True, nogil=True)
def look_at(replicas: Replicas, requests: Requests, shard: Shard, r: int, at_s: float) -> float:
    """Requests in replica r at an instant, over its weight; advances it to that instant."""
    advance(replicas, requests, r, at_s, True, False, True)
    counts = replicas.counts[r]
    present = counts[NUM_RUNNING] + counts[NUM_WAITING]
    if replicas.figures[r, NOW] > at_s:
        present += counts[NUM_ENDED_LAST]  # they end with the step in progress
    if counts[DONE_HEAD] >= 0:
        collect(replicas, requests, shard, r)
    return float(present / shard.weights[r])


@njit(cache=True, nogil=True)
def choose(
    replicas: Replicas, requests: Requests, shard: Shard, i: int, number: int, at_s: float
) -> int:
    """The replica for request i, which is the `number`-th; at least one is ready."""
    counters, tickets = shard.counters, shard.tickets
    num_tickets = counters[NUM_TICKETS]
    if counters[ROUTING] == 0 or num_tickets == 1:
        r: int = tickets[counters[TURN] % num_tickets]
        counters[TURN] += 1
        look_at(replicas, requests, shard, r, at_s)
        return r
    draw = mix(counters[SEED], number)
    first: int = tickets[draw % num_tickets]
    num_hashes = requests.cells[i, NUM_HASHES]
    if counters[ROUTING] == 2 and num_hashes > 0:  # noqa: PLR2004  Routing.PREFIX_AFFINITY
        # Rendezvous hashing: the ready replica with the highest hash with the first block.
        key = requests.hash_ids[requests.cells[i, HASH_START]]
        best = -1
        for k in range(num_tickets):
            weight = mix(key, tickets[k] + 1)
            if weight > best:
                best = weight
                first = tickets[k]
    second: int = first
    for k in range(1, MAX_PROBES):
        second = tickets[mix(draw, k) % num_tickets]
        if second != first:
            break
    first_load = look_at(replicas, requests, shard, first, at_s)
    if second == first:
        return first
    second_load = look_at(replicas, requests, shard, second, at_s)
    if counters[ROUTING] == 2 and num_hashes > 0:  # noqa: PLR2004
        is_full = first_load > AFFINITY_FACTOR * second_load + AFFINITY_SPARE
        return second if is_full else first
    return second if second_load < first_load else first


@njit(cache=True, nogil=True)
def place_request(
    replicas: Replicas, requests: Requests, shard: Shard, i: int, at_s: float
) -> None:
    """Send request i to a replica, or hold it until one is ready."""
    counters, cells = shard.counters, requests.cells
    if counters[NUM_TICKETS] == 0:
        cells[i, AFTER] = -1
        if counters[NUM_HELD] == 0:
            counters[HELD_HEAD] = i
        else:
            cells[counters[HELD_TAIL], AFTER] = i
        counters[HELD_TAIL] = i
        counters[NUM_HELD] += 1
        return
    r = choose(replicas, requests, shard, i, cells[i, REQUEST], at_s)
    if replicas.counts[r, NUM_RUNNING] == 0 and replicas.counts[r, NUM_WAITING] == 0:
        replicas.figures[r, NOW] = max(replicas.figures[r, NOW], at_s)
    push_request(replicas, requests, r, i)


@njit(cache=True, nogil=True)
def route_arrivals(
    replicas: Replicas,
    requests: Requests,
    shard: Shard,
    arrivals: Arrivals,
    start: int,
    stop: int,
    stride: int,
    first_number: int,
) -> int:
    """Route requests start, start + stride … of the chunk; returns the first not taken.

    `first_number` is the number in the stream of the chunk's first request. Stops early only where
    no slot is free: more requests wait than were made room for.
    """
    counters, cells, instants = shard.counters, requests.cells, requests.instants
    j = start
    while j < stop:
        if counters[NUM_FREE] == 0:
            return j
        counters[NUM_FREE] -= 1
        i = shard.free[counters[NUM_FREE]]
        at_s = arrivals.arrival_s[j]
        instants[i, ARRIVAL] = at_s
        cells[i, PROMPT] = arrivals.prompt_tokens[j]
        cells[i, OUTPUT] = arrivals.output_tokens[j]
        cells[i, SAMPLED] = 0
        cells[i, HELD] = 0
        cells[i, PREEMPTIONS] = 0
        cells[i, SEAT] = -1
        cells[i, REQUEST] = first_number + j
        cells[i, NUM_HASHES] = 0
        if arrivals.hash_starts.size > 1:
            cells[i, HASH_START] = arrivals.hash_starts[j]
            cells[i, NUM_HASHES] = arrivals.hash_starts[j + 1] - arrivals.hash_starts[j]
        place_request(replicas, requests, shard, i, at_s)
        j += stride
    return j


@njit(cache=True, nogil=True)
def catch_up(
    replicas: Replicas, requests: Requests, shard: Shard, rows: NDArray[np.int64], until: float
) -> None:
    """Advance the replicas in `rows` to an instant and count what ended."""
    for r in rows:
        advance(replicas, requests, r, until, True, False, True)
        collect(replicas, requests, shard, r)


@njit(cache=True, nogil=True)
def release_held(replicas: Replicas, requests: Requests, shard: Shard, at_s: float) -> None:
    """A replica is ready: send it the requests that were held, first come first served."""
    counters = shard.counters
    i = counters[HELD_HEAD]
    counters[HELD_HEAD] = -1
    counters[NUM_HELD] = 0
    while i >= 0:
        after = requests.cells[i, AFTER]
        place_request(replicas, requests, shard, i, at_s)
        i = after


@njit(cache=True, nogil=True)
def take_back(replicas: Replicas, requests: Requests, shard: Shard, r: int, at_s: float) -> int:
    """Replica r is gone: what it has not finished is sent anew to the others, from its prompt on.

    Returns how many requests that were. The replica must be neither ready nor used again before it
    is emptied.
    """
    cells = requests.cells
    anchor = requests.instants.shape[0] + r
    num_moved = 0
    i = cells[anchor, AFTER]
    while i != anchor:
        after = cells[i, AFTER]
        cells[i, SAMPLED] = 0
        cells[i, HELD] = 0
        cells[i, SEAT] = -1
        place_request(replicas, requests, shard, i, at_s)
        num_moved += 1
        i = after
    i = replicas.counts[r, WAITING_HEAD]
    num_left = replicas.counts[r, NUM_WAITING]
    while num_left > 0:
        after = cells[i, AFTER]
        cells[i, SAMPLED] = 0
        cells[i, SEAT] = -1
        place_request(replicas, requests, shard, i, at_s)
        num_moved += 1
        num_left -= 1
        i = after
    cells[anchor, AFTER] = anchor
    cells[anchor, BEFORE] = anchor
    return num_moved
