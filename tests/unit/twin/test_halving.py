"""Shapes that lose on part of the trace, on services that are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.analysis import make_service
from tests.factories.fleet import (
    make_arguments,
    make_conversation,
    make_gpu,
    make_offer,
    make_trace,
)

from optiinfra.domain.analysis import Binding
from optiinfra.domain.trace import PrefixHashes
from optiinfra.twin.busiest import take_busiest
from optiinfra.twin.halving import Probe, choose_survivors
from optiinfra.twin.shapes import Shape

OWN = make_arguments()
SERVICE = make_service(0.95)


def make_probe(
    cost: int | None, *, gpu: str = "H100-SXM", e2e_s: float = 5.0, seqs: int = 64
) -> Probe:
    arguments = make_arguments(max_num_seqs=seqs)
    shape = Shape(make_gpu(gpu), arguments, (make_offer(gpu, str(cost or 1)),))
    service = replace(SERVICE, e2e_s=replace(SERVICE.e2e_s, p95=e2e_s))
    price = shape.find_cheapest_offer(3)[1] if cost else None
    return Probe(shape, 3, price, service, Binding.TPOT, "")


def test_the_busiest_stretch_is_taken_whole_and_starts_at_zero() -> None:
    arrivals = np.concatenate([np.arange(0, 100, 1.0), 100 + np.arange(0, 10, 0.1), [200.0]])
    trace = make_trace(arrivals, 100, 10)
    part = take_busiest(trace, 80)
    assert part.num_requests == 80
    assert part.arrival_s[0] == 0.0
    assert part.span_s == pytest.approx(7.9)
    assert "the busiest 80 of 201 requests" in part.notes[-1]


def test_tokens_count_and_not_requests() -> None:
    prompts = np.full(300, 10)
    prompts[200:] = 1_000
    part = take_busiest(make_trace(np.arange(300.0), prompts, 10), 100)
    assert (part.prompt_tokens == 1_000).sum() > 85  # a window starts at every eighth of it


def test_a_short_trace_is_its_own_busiest_stretch_and_none_is_refused() -> None:
    trace = make_trace()
    assert take_busiest(trace, 4) is trace
    with pytest.raises(ValueError, match="at least one request"):
        take_busiest(trace, 0)


def test_the_hashes_of_the_stretch_go_with_it() -> None:
    hashes = PrefixHashes(np.arange(0, 402, 2), np.arange(400, dtype=np.int32), 50)
    part = take_busiest(make_trace(np.arange(200.0), 100, 10, prefix_hashes=hashes), 40)
    assert part.prefix_hashes is not None
    assert part.prefix_hashes.offsets.size == 41
    assert part.prefix_hashes.num_ids == 80


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 40))
def test_the_cheapest_go_on(costs: list[int], num_kept: int) -> None:
    probes = [make_probe(cost, seqs=64 + i) for i, cost in enumerate(costs)]
    kept = choose_survivors(probes, OWN, num_kept=num_kept)
    asked = min(num_kept, len(costs))
    assert asked <= len(kept) <= max(asked, 2)  # the best with whole instances, and by the GPU
    half = asked // 2  # the other half are of each kind those that served differently
    assert sorted(costs[i] for i in kept)[:half] == sorted(costs)[:half]


def test_the_best_of_every_gpu_and_the_front_go_on() -> None:
    probes = [make_probe(2, seqs=64 + i) for i in range(30)]
    probes += [make_probe(9, gpu="L40S", seqs=64), make_probe(8, gpu="L40S", seqs=65)]
    probes += [make_probe(5, e2e_s=1.0), make_probe(6, e2e_s=2.0)]
    probes += [make_probe(None, gpu="A100-80-SXM")]
    kept = choose_survivors(probes, OWN, num_kept=4)
    assert {31, 32, 34} <= kept
    assert not {30, 33} & kept


def test_of_those_that_served_alike_the_widest_limits_go_on() -> None:
    probes = [make_probe(2, seqs=64 + i) for i in range(30)]
    probes += [make_probe(9, gpu="L40S", seqs=64 + i) for i in range(30)]
    assert choose_survivors(probes, OWN, num_kept=4) >= {29, 59}


def test_one_replica_more_than_an_instance_holds_is_no_reason_to_go() -> None:
    """Nine GPUs of eight a time cost as much as sixteen; the whole trace may need eight."""

    def make(num_replicas: int, seqs: int) -> Probe:
        offer = replace(make_offer("H100-SXM", "8"), num_gpus=8)
        shape = Shape(make_gpu("H100-SXM"), make_arguments(max_num_seqs=seqs), (offer,))
        price = shape.find_cheapest_offer(num_replicas)[1]
        return Probe(shape, num_replicas, price, SERVICE, Binding.TPOT, "")

    probes = [make(16, 64 + i) for i in range(30)] + [make(9, 64)]
    assert 30 in choose_survivors(probes, OWN, num_kept=3)


def test_at_one_cost_todays_batch_goes_first() -> None:
    probes = [make_probe(2, seqs=64 + i) for i in range(30)]
    probes.append(make_probe(2, seqs=OWN.max_num_seqs))
    assert 30 in choose_survivors(probes, OWN, num_kept=1)


def test_conversations_are_cut_where_they_are_busiest() -> None:
    trace = make_conversation(10.0, num_requests=8_000)
    assert take_busiest(trace, 1_000).rate_per_s >= trace.rate_per_s
