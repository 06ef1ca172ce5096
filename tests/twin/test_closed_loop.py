"""Clients that wait for each answer."""

from __future__ import annotations

import numpy as np
import pytest
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_conversation,
    make_gpu,
    make_step_time_model,
    make_trace,
)

from optiinfra.domain.errors import InputError
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import simulate, simulate_clients
from optiinfra.twin.step_time import build_step_time_model

ARGUMENTS = make_arguments()
PLAN = compute_memory_plan(make_architecture(), make_gpu(), ARGUMENTS)
MODEL = build_step_time_model(make_architecture(), make_gpu(), ARGUMENTS)
SECOND = make_step_time_model(fixed_s=1.0)


def test_one_client_asks_when_it_has_thought() -> None:
    """Three answers of two steps with a second of thought between: 0-2, 3-5, 6-8."""
    trace = make_trace([0.0] * 3, 10, 2)
    found = simulate_clients(trace, SECOND, PLAN, ARGUMENTS, num_clients=1, think_s=1.0)
    assert found.arrival_s is not None
    assert found.arrival_s.tolist() == [0.0, 3.0, 6.0]
    assert found.finished_s.tolist() == [2.0, 5.0, 8.0]


def test_clients_keep_exactly_as_many_requests_in_the_engine() -> None:
    base = make_conversation(10.0, num_requests=600)
    trace = make_trace(np.zeros(600), base.prompt_tokens, base.output_tokens)
    found = simulate_clients(trace, MODEL, PLAN, ARGUMENTS, num_clients=16, tick_s=1.0)
    assert found.series is not None
    present = found.series.num_running + found.series.num_waiting
    last_arrival_s = float(np.max(found.arrival_s if found.arrival_s is not None else 0.0))
    assert (present[0, 1 : int(last_arrival_s)] == 16).all()


def test_as_many_clients_as_requests_is_an_open_loop() -> None:
    trace = make_conversation(10.0, num_requests=300)
    closed = simulate_clients(trace, MODEL, PLAN, ARGUMENTS, num_clients=300)
    opened = simulate(trace, MODEL, PLAN, ARGUMENTS, num_replicas=1)
    np.testing.assert_allclose(closed.finished_s, opened.finished_s, rtol=0, atol=1e-6)


def test_jump_equals_step_by_step() -> None:
    trace = make_conversation(10.0, num_requests=300)
    jumped, stepped = (
        simulate_clients(
            trace,
            MODEL,
            PLAN,
            ARGUMENTS,
            num_clients=12,
            think_s=0.7,
            num_replicas=2,
            is_jumping=is_jumping,
        )
        for is_jumping in (True, False)
    )
    np.testing.assert_allclose(jumped.finished_s, stepped.finished_s, rtol=0, atol=1e-6)


def test_littles_law_of_the_loop() -> None:
    """Clients = throughput * (answer + thought), the interactive response time law."""
    base = make_conversation(10.0, num_requests=6_000)
    trace = make_trace(np.zeros(6_000), base.prompt_tokens, base.output_tokens)
    found = simulate_clients(trace, MODEL, PLAN, ARGUMENTS, num_clients=24, think_s=3.0)
    assert found.arrival_s is not None
    answer_s = float((found.finished_s - found.arrival_s).mean())
    throughput_per_s = 6_000 / float(found.finished_s.max())
    assert throughput_per_s * (answer_s + 3.0) == pytest.approx(24, rel=0.02)


@pytest.mark.parametrize(("num_clients", "think_s"), [(0, 0.0), (1, -1.0), (1, float("inf"))])
def test_what_cannot_be_is_refused(num_clients: int, think_s: float) -> None:
    with pytest.raises(InputError, match="clients"):
        simulate_clients(
            make_trace(), MODEL, PLAN, ARGUMENTS, num_clients=num_clients, think_s=think_s
        )


def test_no_replica_serves_nobody() -> None:
    with pytest.raises(InputError, match="at least one replica"):
        simulate(make_trace(), MODEL, PLAN, ARGUMENTS, num_replicas=0)
