"""Jumping equals walking every step, over random workloads that press on the KV cache.

    python -m benchmarks.simulator_exactness [--workloads 10000]

For each engine's scheduling: the largest difference of any instant, how many workloads preempt, how
many steps were jumped over; then queues with closed forms and Little's law.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from tests.factories.fleet import make_poisson_arrivals, make_step_time_model
from tests.twin.small_workloads import Workload, draw_workload, make_llama_model, run_compiled

from optiinfra.domain.engine_arguments import Engine
from optiinfra.twin.engine_state import STAT_END_S, STAT_EVENTS, STAT_STEPS
from optiinfra.twin.scheduling import SCHEDULINGS

MAX_DIFFERENCE_S = 1e-6
MIN_PREEMPTING_SHARE = 0.2
MAX_ERROR = 0.02
NUM_REQUESTS = 1_000_000
STEP_S = 0.001


def compare(engine: Engine, num_workloads: int) -> tuple[float, float, float]:
    """Largest difference in seconds, share of workloads that preempt, share of steps jumped."""
    model, scheduling = make_llama_model(), SCHEDULINGS[engine]
    largest, num_preempting, num_steps, num_events = 0.0, 0, 0.0, 0.0
    for seed in range(num_workloads):
        workload = draw_workload(seed)
        jumped = run_compiled(workload, model, scheduling=scheduling)
        walked = run_compiled(workload, model, scheduling=scheduling, is_jumping=False)
        for one, other in (
            (jumped.first_scheduled_s, walked.first_scheduled_s),
            (jumped.first_token_s, walked.first_token_s),
            (jumped.finished_s, walked.finished_s),
        ):
            largest = max(largest, float(np.abs(one - other).max()))
        if jumped.preemptions.tolist() != walked.preemptions.tolist():
            largest = float("inf")
        num_preempting += jumped.has_preempted
        num_steps += jumped.stats[STAT_STEPS]
        num_events += jumped.stats[STAT_EVENTS]
    return largest, num_preempting / num_workloads, 1 - num_events / num_steps


def measure_queue(outputs: np.ndarray, utilization: float) -> tuple[float, float]:
    """Mean wait in seconds of one slot under Poisson arrivals, and Little's ratio of both sides."""
    rng = np.random.default_rng(11)
    rate = utilization / (float(outputs.mean()) * STEP_S)
    arrivals = make_poisson_arrivals(rng, rate_per_s=rate, num_requests=outputs.size)
    ones = np.ones(outputs.size, np.int32)
    workload = Workload(arrivals, ones, outputs.astype(np.int32), 1, 16, 1_000_000, 16)
    run = run_compiled(workload, make_step_time_model(fixed_s=STEP_S))
    instants = np.concatenate([arrivals, run.finished_s])
    order = np.argsort(instants, kind="stable")
    present = np.cumsum(np.where(order < outputs.size, 1, -1))[:-1]
    mean_number = (present * np.diff(instants[order])).sum() / run.stats[STAT_END_S]
    arrival_rate = outputs.size / run.stats[STAT_END_S]
    mean_time_s = (run.finished_s - arrivals).mean()
    wait_s = float((run.first_scheduled_s - arrivals).mean())
    return wait_s, float(mean_number / (arrival_rate * mean_time_s))


def main() -> int:
    """Print every figure beside its bar; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=int, default=10_000)
    options = parser.parse_args()
    is_kept = True
    for engine in Engine:
        largest, preempting, jumped = compare(engine, options.workloads)
        print(
            f"{engine.value:7} {options.workloads:,} workloads: largest difference {largest:.1e} "
            f"s, {preempting:.1%} preempt, {jumped:.0%} of the steps jumped over"
        )
        is_kept &= largest <= MAX_DIFFERENCE_S
        is_kept &= preempting >= MIN_PREEMPTING_SHARE or engine is not Engine.VLLM
    rng = np.random.default_rng(12)
    for name, outputs, variance_share in (
        ("M/D/1", np.full(NUM_REQUESTS, 50), 0.0),
        ("M/M/1", rng.geometric(1 / 400, NUM_REQUESTS), 1.0),
    ):
        for utilization in (0.3, 0.5, 0.7):
            wait_s, little = measure_queue(outputs, utilization)
            service_s = float(outputs.mean()) * STEP_S
            exact_s = utilization * service_s * (1 + variance_share) / (2 * (1 - utilization))
            print(
                f"{name} at {utilization:.0%}: wait {wait_s / exact_s - 1:+.2%} from the closed "
                f"form, Little's law {little - 1:+.3%}"
            )
            is_kept &= abs(wait_s / exact_s - 1) <= MAX_ERROR and abs(little - 1) <= MAX_ERROR
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
