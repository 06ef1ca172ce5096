"""How many tokens fit: by hand, and what must only ever raise or lower it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.fleet import make_architecture, make_arguments, make_gpu, make_trace

from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import DoesNotFitError, check_fit

GIB = 2**30
sizes = st.sampled_from([1, 2, 4, 8])


def test_llama_8b_on_an_h100_by_hand() -> None:
    """0.9 of 81,559 MiB less 16.06 GB of weights and 1.62 GB of reserve: 452 thousand tokens."""
    plan = compute_memory_plan(make_architecture(), make_gpu(), make_arguments())
    weights = 2 * (32 * (41_943_040 + 176_160_768) + 2 * 525_336_576)
    activations = 2_048 * (6 * 4_096 + 2 * 14_336) * 2
    logits = 256 * 128_256 * 10
    free = 0.9 * 81_559 * 2**20 - weights - (GIB + activations + logits)
    assert plan.weight_bytes == weights
    assert plan.reserve_bytes == GIB + activations + logits
    assert plan.num_kv_blocks == int(free / (16 * 131_072))
    assert plan.kv_capacity_tokens == 16 * plan.num_kv_blocks
    assert plan.kv_capacity_tokens == pytest.approx(452_000, rel=0.01)


def test_ranks_share_weights_and_reserve_buffers_to_talk() -> None:
    one = compute_memory_plan(make_architecture(), make_gpu(), make_arguments())
    two = compute_memory_plan(
        make_architecture(), make_gpu(), make_arguments(tensor_parallel_size=2)
    )
    assert two.weight_bytes == one.weight_bytes / 2
    activations = 2_048 * (6 * 4_096 + 2 * 14_336 / 2) * 2
    assert two.reserve_bytes == pytest.approx(1.39 * GIB + activations + 128 * 128_256 * 10)


def test_expert_parallel_ranks_hold_their_share_of_the_experts() -> None:
    architecture = make_architecture("deepseek-ai/DeepSeek-V3")
    plan = compute_memory_plan(
        architecture,
        make_gpu("H200-SXM"),
        make_arguments(data_parallel_size=8, has_expert_parallel=True),
    )
    head = 129_280 * 7_168  # in 16 bits, as the embedding
    expected = architecture.dense_params - head + architecture.routed_params / 8
    assert plan.weight_bytes == pytest.approx(expected + 2 * (head + architecture.embedding_params))


@given(
    memory=st.integers(10 * GIB, 200 * GIB),
    more=st.integers(0, 100 * GIB),
    utilization=st.floats(0.1, 0.9),
    higher=st.floats(0.0, 0.1),
    size=sizes,
)
def test_more_memory_never_lowers_the_capacity(
    memory: int, more: int, *, utilization: float, higher: float, size: int
) -> None:
    architecture = make_architecture()
    small, large = (
        compute_memory_plan(
            architecture,
            make_gpu(memory_bytes=total),
            make_arguments(gpu_memory_utilization=share, tensor_parallel_size=size),
        )
        for total, share in ((memory, utilization), (memory + more, utilization + higher))
    )
    assert large.num_kv_blocks >= small.num_kv_blocks
    assert large.kv_capacity_tokens >= small.kv_capacity_tokens >= 0


@given(
    seqs=st.integers(1, 2_048),
    more_seqs=st.integers(0, 2_048),
    tokens=st.integers(1, 16_384),
    more_tokens=st.integers(0, 16_384),
    size=sizes,
)
def test_a_larger_batch_never_raises_the_capacity(
    seqs: int, more_seqs: int, *, tokens: int, more_tokens: int, size: int
) -> None:
    small, large = (
        compute_memory_plan(
            make_architecture(),
            make_gpu(),
            make_arguments(max_num_seqs=s, max_num_batched_tokens=t, tensor_parallel_size=size),
        )
        for s, t in ((seqs, tokens), (seqs + more_seqs, tokens + more_tokens))
    )
    assert large.num_kv_blocks <= small.num_kv_blocks


def test_a_model_that_does_not_fit_says_how_much_it_needs() -> None:
    architecture = make_architecture("meta-llama/Llama-3.1-70B")
    arguments = make_arguments()
    plan = compute_memory_plan(architecture, make_gpu(), arguments)
    assert plan.num_kv_blocks <= 0
    assert plan.kv_capacity_tokens == 0
    with pytest.raises(DoesNotFitError, match=r"need 13\d\.\d GiB a GPU.*utilization 0\.9 leaves"):
        check_fit(make_trace(), plan, arguments)


def test_a_request_longer_than_context_or_cache_does_not_fit() -> None:
    arguments = make_arguments(max_model_len=1_000)
    plan = compute_memory_plan(make_architecture(), make_gpu(), arguments)
    check_fit(make_trace(prompt_tokens=990, output_tokens=10), plan, arguments)
    longer = make_trace(prompt_tokens=990, output_tokens=11)
    with pytest.raises(
        DoesNotFitError,
        match=r"1001 tokens and max_model_len is 1000; \d+ of \d+ requests are longer",
    ):
        check_fit(longer, plan, arguments)
    unlimited = make_arguments(max_model_len=None)
    capacity = plan.kv_capacity_tokens
    check_fit(make_trace(prompt_tokens=capacity - 1, output_tokens=1), plan, unlimited)
    with pytest.raises(DoesNotFitError, match=f"the KV cache holds {capacity}"):
        check_fit(make_trace(prompt_tokens=capacity, output_tokens=1), plan, unlimited)
