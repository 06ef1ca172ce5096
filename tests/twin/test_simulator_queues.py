"""Degenerate engines are textbook queues: the simulator beside their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.factories.fleet import make_conversation, make_poisson_arrivals, make_step_time_model
from tests.twin.small_workloads import Run, Workload, make_llama_model, run_compiled

from optiinfra.twin.engine_state import (
    STAT_BUSY_S,
    STAT_END_S,
    STAT_PREEMPTIONS,
    STAT_RUNNING_S,
)

STEP_S = 0.001
NUM_REQUESTS = 1_000_000
WITHIN = 0.02  # of the closed form
CONSTANT_STEP = make_step_time_model(fixed_s=STEP_S)


def make_queue(
    outputs: NDArray[np.int64], *, utilization: float, num_servers: int, rng: np.random.Generator
) -> Workload:
    """Poisson arrivals to `num_servers` slots that each hold a request `output` steps."""
    service_s = float(outputs.mean()) * STEP_S
    return Workload(
        arrival_s=make_poisson_arrivals(
            rng, rate_per_s=utilization * num_servers / service_s, num_requests=outputs.size
        ),
        prompt_tokens=np.ones(outputs.size, np.int32),
        output_tokens=outputs.astype(np.int32),
        max_num_seqs=num_servers,
        max_num_batched_tokens=16,
        num_blocks=1_000_000,
        block_size=16,
    )


def get_waits(workload: Workload, run: Run) -> NDArray[np.float64]:
    return np.asarray(run.first_scheduled_s - workload.arrival_s, np.float64)


@pytest.mark.parametrize("utilization", [0.3, 0.5, 0.7])
def test_md1_waiting_time(utilization: float) -> None:
    rng = np.random.default_rng(1)
    outputs = np.full(NUM_REQUESTS, 50)
    workload = make_queue(outputs, utilization=utilization, num_servers=1, rng=rng)
    waits = get_waits(workload, run_compiled(workload, CONSTANT_STEP))
    service_s = 50 * STEP_S
    expected = utilization * service_s / (2 * (1 - utilization))  # Pollaczek-Khinchine
    assert waits.mean() == pytest.approx(expected, rel=WITHIN)
    assert (waits > 0).mean() == pytest.approx(utilization, rel=WITHIN)  # PASTA


@pytest.mark.parametrize("utilization", [0.3, 0.5, 0.7])
def test_mm1_waiting_time_and_number_in_system(utilization: float) -> None:
    rng = np.random.default_rng(2)
    outputs = rng.geometric(1 / 400, NUM_REQUESTS)  # close to exponential: SCV 0.9975
    workload = make_queue(outputs, utilization=utilization, num_servers=1, rng=rng)
    run = run_compiled(workload, CONSTANT_STEP)
    rho = float(run.stats[STAT_BUSY_S] / run.stats[STAT_END_S])
    assert rho == pytest.approx(utilization, rel=WITHIN)
    service_s = 400 * STEP_S
    waits = get_waits(workload, run)
    assert waits.mean() == pytest.approx(utilization * service_s / (1 - utilization), rel=WITHIN)
    number = (run.finished_s - workload.arrival_s).sum() / run.stats[STAT_END_S]
    assert number == pytest.approx(utilization / (1 - utilization), rel=WITHIN)


@pytest.mark.parametrize(("num_servers", "utilization"), [(2, 0.7), (4, 0.8)])
def test_mmc_waiting_time(num_servers: int, utilization: float) -> None:
    rng = np.random.default_rng(3)
    outputs = rng.geometric(1 / 1000, NUM_REQUESTS)
    workload = make_queue(outputs, utilization=utilization, num_servers=num_servers, rng=rng)
    waits = get_waits(workload, run_compiled(workload, CONSTANT_STEP))
    expected = compute_erlang_wait_s(num_servers, utilization, service_s=1000 * STEP_S)
    assert waits.mean() == pytest.approx(expected, rel=WITHIN)


def compute_erlang_wait_s(num_servers: int, utilization: float, *, service_s: float) -> float:
    """Mean wait of M/M/c: Erlang's C formula."""
    offered = num_servers * utilization
    terms = [offered**k / math.factorial(k) for k in range(num_servers)]
    last = offered**num_servers / math.factorial(num_servers) / (1 - utilization)
    probability = last / (sum(terms) + last)
    return probability * service_s / (num_servers * (1 - utilization))


def test_one_slot_follows_lindleys_recursion_exactly() -> None:
    """Wait of the next = max(0, wait + service - gap), request by request."""
    rng = np.random.default_rng(4)
    outputs = rng.integers(1, 60, 5_000)
    workload = make_queue(outputs, utilization=0.9, num_servers=1, rng=rng)
    waits = get_waits(workload, run_compiled(workload, CONSTANT_STEP))
    expected = np.zeros(outputs.size)
    gaps = np.diff(workload.arrival_s)
    for i in range(outputs.size - 1):
        expected[i + 1] = max(0.0, expected[i] + outputs[i] * STEP_S - gaps[i])
    np.testing.assert_allclose(waits, expected, rtol=0, atol=1e-6)
    assert (expected > 0).mean() > 0.5


@pytest.mark.parametrize("rate_per_s", [2.0, 12.0])
def test_littles_law_on_a_conversation(rate_per_s: float) -> None:
    trace = make_conversation(rate_per_s, num_requests=20_000)
    workload = Workload(
        trace.arrival_s, trace.prompt_tokens, trace.output_tokens, 256, 2048, 60_000, 16
    )
    run = run_compiled(workload, make_llama_model())
    assert run.stats[STAT_PREEMPTIONS] == 0
    # Number in the system, by walking over arrivals and completions.
    instants = np.concatenate([workload.arrival_s, run.finished_s])
    order = np.argsort(instants, kind="stable")
    change = np.concatenate([np.ones(workload.num_requests), -np.ones(workload.num_requests)])
    present = np.cumsum(change[order])[:-1]
    mean_number = float((present * np.diff(instants[order])).sum()) / run.stats[STAT_END_S]
    mean_time_s = float((run.finished_s - workload.arrival_s).mean())
    assert mean_number == pytest.approx(trace.rate_per_s * mean_time_s, rel=WITHIN)
    # And of the batch alone, which the simulator integrates itself: exact.
    assert run.stats[STAT_RUNNING_S] == pytest.approx(
        float((run.finished_s - run.first_scheduled_s).sum()), rel=1e-9
    )
