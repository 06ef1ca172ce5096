"""Compile before the first test's clock runs; what is compiled is kept for the next session."""

from __future__ import annotations

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Run each compiled entry once where a test of the twin was collected."""
    if not any("twin" in item.path.parts for item in session.items):
        return
    from tests.factories.fleet import make_trace
    from tests.factories.simulated_fleets import make_simulated
    from tests.twin.small_workloads import draw_workload, make_llama_model, run_compiled

    from optiinfra.twin.fleet import simulate_fleet
    from optiinfra.twin.replicas import simulate_clients

    run_compiled(draw_workload(1), make_llama_model())
    deployment = make_simulated(make_trace())
    simulate_fleet([deployment])
    pool = deployment.pools[0]
    simulate_clients(make_trace(), pool.model, pool.plan, pool.arguments, num_clients=2)
