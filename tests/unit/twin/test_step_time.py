"""The step-time model, recomputed by hand with the numbers of datasheets and config files."""

from __future__ import annotations

from dataclasses import replace
from math import hypot
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.fleet import make_architecture, make_arguments, make_gpu

from optiinfra.domain.architecture_catalogue import ARCHITECTURES
from optiinfra.domain.architectures import Architecture
from optiinfra.domain.engine_arguments import EngineArguments
from optiinfra.domain.gpu_datasheets import GPUS
from optiinfra.domain.gpus import GPU
from optiinfra.twin.performance.precision import get_weight_bytes
from optiinfra.twin.step_time import (
    StepConstants,
    StepTimeModel,
    build_step_time_model,
    compute_step_s,
    get_kv_bytes_per_token,
)

# Llama-3.1-8B: 32 layers of 41,943,040 attention and 176,160,768 MLP weights, and the head.
BODY = 32 * (41_943_040 + 176_160_768)
HEAD = 525_336_576
# H100-SXM: 3.35 TB/s and 989 TFLOPS, of which kernels reach 0.88 and 0.78, an engine 0.95 and 0.80.
BANDWIDTH = 3.35e12 * 0.88 * 0.95
FLOPS = 989e12 * 0.78 * 0.80
ATTENTION_BANDWIDTH = 3.35e12 * 0.80
ATTENTION_FLOPS = 989e12 * 0.78 * 0.55


def build(architecture: Architecture, gpu: GPU, arguments: EngineArguments) -> StepTimeModel:
    """With the constants of the literature, which do not move when the prior is fitted again."""
    return build_step_time_model(architecture, gpu, arguments, StepConstants())


def compute_smooth_maximum(a: float, b: float) -> float:
    return float((a**4 + b**4) ** 0.25)


def test_a_decode_step_by_hand() -> None:
    """32 requests with 1,000 cached tokens each: 9.07 ms."""
    model = build(make_architecture(), make_gpu(), make_arguments())
    read_s = 2 * (BODY + HEAD) / BANDWIDTH
    flops_s = 2 * 32 * (BODY + HEAD) / FLOPS
    attention_s = 32 * 1_000 * 131_072 / ATTENTION_BANDWIDTH
    expected = 1.5e-3 + 32 * 20e-6 + compute_smooth_maximum(read_s, flops_s) + attention_s
    step_s = compute_step_s(model, num_decodes=32, context_tokens=32_000)
    assert step_s == pytest.approx(expected, rel=1e-12)
    assert step_s == pytest.approx(9.0649e-3, rel=1e-4)


def test_the_step_of_the_documents_by_hand() -> None:
    """docs/twin.md: 64 requests, 1,000 cached tokens each, the shipped constants: 9.774 ms."""
    model = build_step_time_model(make_architecture(), make_gpu(), make_arguments())
    overhead_s = 0.5576e-3 + 32 * 13.524e-6 + 64 * 6.873e-6
    read_s = 7_504_658_432 * 2 / (3.35e12 * 0.88 * 0.89248)
    flops_s = 64 * 2 * (6_979_321_856 + 525_336_576) / (989e12 * 0.78 * 0.9957)
    attention_s = 64_000 * 131_072 / (3.35e12 * 0.95)
    expected = overhead_s + compute_smooth_maximum(read_s, flops_s) + attention_s
    step_s = compute_step_s(model, num_decodes=64, context_tokens=64_000)
    assert step_s == pytest.approx(expected, rel=1e-4)
    assert step_s == pytest.approx(9.774e-3, rel=1e-3)


def test_a_step_with_prompts_costs_its_launches_once() -> None:
    constants = replace(StepConstants(), prefill_step_s=1e-3, prefill_layer_s=1e-5)
    model = build_step_time_model(make_architecture(), make_gpu(), make_arguments(), constants)
    assert model.prefill_step_s == pytest.approx(1e-3 + 32 * 1e-5)
    plain = replace(model, prefill_step_s=0.0)
    for count, added_s in ((0, 0.0), (1, 1.32e-3), (3, 1.32e-3)):
        batch = {"num_decodes": 4, "context_tokens": 400, "num_prefills": count}
        extra_s = compute_step_s(model, **batch) - compute_step_s(plain, **batch)
        assert extra_s == pytest.approx(added_s)


def test_a_prefill_chunk_by_hand() -> None:
    """The second chunk of 2,048 tokens, no decodes beside it: 55.7 ms."""
    model = build(make_architecture(), make_gpu(), make_arguments())
    read_s = 2 * (BODY + HEAD) / BANDWIDTH
    flops_s = 2 * (2_048 * BODY + HEAD) / FLOPS  # only the last token of the chunk has logits
    pairs = 2_048 * (2_048 + 1_024)
    attention_s = 2_048 * 131_072 / ATTENTION_BANDWIDTH
    attention_s += pairs * 4 * 32 * 32 * 128 / ATTENTION_FLOPS
    expected = 1.5e-3 + 20e-6 + compute_smooth_maximum(read_s, flops_s) + attention_s
    step_s = compute_step_s(
        model,
        num_decodes=0,
        context_tokens=2_048,
        prefill_tokens=2_048,
        num_prefills=1,
        attention_pairs=pairs,
    )
    assert step_s == pytest.approx(expected, rel=1e-12)
    assert step_s == pytest.approx(55.72e-3, rel=1e-3)


def test_two_ranks_halve_the_work_and_pay_for_all_reduces() -> None:
    model = build(make_architecture(), make_gpu(), make_arguments(tensor_parallel_size=2))
    read_s = 2 * (BODY + HEAD) / 2 / BANDWIDTH
    flops_s = 2 * 8 * (BODY + HEAD) / 2 / FLOPS
    attention_s = 8_000 * 65_536 / ATTENTION_BANDWIDTH
    # 64 all-reduces of 8 us, each token 8,192 bytes, of which 2 (t - 1) / t = 1 times goes out.
    communication_s = 64 * (8e-6 + 8 * 8_192 / 450e9)
    expected = 1.5e-3 + 8 * 20e-6 + compute_smooth_maximum(read_s, flops_s)
    expected += attention_s + communication_s
    step_s = compute_step_s(model, num_decodes=8, context_tokens=8_000)
    assert step_s == pytest.approx(expected, rel=1e-12)
    pcie = build(make_architecture(), make_gpu("L40S"), make_arguments(tensor_parallel_size=2))
    assert pcie.communication_fixed_s == pytest.approx(64 * 25e-6)


def test_a_mixture_of_experts_reads_the_experts_that_are_chosen() -> None:
    """Of 8 experts, 2 a token: 4 tokens read 8 (1 - 0.75^4) = 5.47 of them."""
    architecture = make_architecture(
        num_experts=8, num_experts_per_token=2, moe_intermediate_size=14_336, num_moe_layers=32
    )
    model = build(architecture, make_gpu(), make_arguments())
    expert = 176_160_768
    dense = 32 * (41_943_040 + 4_096 * 8) + HEAD
    dense_s = compute_smooth_maximum(2 * dense / BANDWIDTH, 2 * 4 * dense / FLOPS)
    experts_s = compute_smooth_maximum(
        2 * 32 * 8 * expert * (1 - 0.75**4) / BANDWIDTH, 2 * 4 * 32 * 2 * expert / FLOPS
    )
    expected = 1.5e-3 + 4 * 20e-6 + dense_s + experts_s
    step_s = compute_step_s(model, num_decodes=4, context_tokens=0)
    assert step_s == pytest.approx(expected, rel=1e-12)
    everything = 2 * (dense + 32 * 8 * expert) / BANDWIDTH
    assert compute_step_s(model, num_decodes=512, context_tokens=0) > everything


def test_the_latent_attention_of_deepseek_is_bound_by_bytes_and_flops() -> None:
    architecture = make_architecture("deepseek-ai/DeepSeek-V3")
    arguments = make_arguments(tensor_parallel_size=8)
    model = build(architecture, make_gpu("H200-SXM"), arguments)
    read_s = 70_272 / (4.8e12 * 0.80)  # every rank holds the whole latent
    flops_s = 2 * 61 * 128 * (2 * 512 + 64) / 8 / (989e12 * 0.76 * 0.55)
    assert model.per_context_token_s == pytest.approx(hypot(read_s, flops_s), rel=1e-12)


def test_a_sliding_window_bounds_what_attention_reads() -> None:
    """gpt-oss-120b: 18 of 36 layers see 128 tokens, the others all; 8 heads of 64, K and V."""
    architecture = make_architecture("openai/gpt-oss-120b", native_quantization=None)
    model = build(architecture, make_gpu(), make_arguments())
    layer_s = 2 * 8 * 64 * 2 / ATTENTION_BANDWIDTH
    assert model.per_context_token_s == pytest.approx(18 * layer_s)
    assert model.per_sequence_s == pytest.approx(20e-6 + 18 * 128 * layer_s)
    pair_s = 4 * 64 * 64 / ATTENTION_FLOPS
    assert model.per_attention_pair_s == pytest.approx(18 * pair_s)
    body = architecture.dense_params - architecture.head_params
    assert model.per_token_s == pytest.approx(2 * body / FLOPS + 18 * 128 * pair_s)


def test_weights_of_four_bits_are_multiplied_where_the_gpu_can() -> None:
    """Attention of gpt-oss stays in 16 bits; its experts are in FP4, which an H100 widens."""
    architecture = make_architecture("openai/gpt-oss-120b")
    experts = 36 * 4 * 3 * 2_880 * 2_880
    hopper = build(architecture, make_gpu(), make_arguments())
    assert hopper.per_expert_token_s == pytest.approx(2 * experts / FLOPS)
    assert hopper.routed_weights_s == pytest.approx(32 * experts * 0.56 / BANDWIDTH)
    blackwell = build(architecture, make_gpu("B200-SXM"), make_arguments())
    assert blackwell.per_expert_token_s == pytest.approx(2 * experts / (9e15 * 0.68 * 0.80))
    ampere = build(
        make_architecture(), make_gpu("A100-80-SXM"), make_arguments(quantization="int8")
    )
    assert ampere.per_token_s == pytest.approx(2 * BODY / (624e12 * 0.89 * 0.80))


def test_a_state_is_read_and_written_for_every_sequence() -> None:
    architecture = make_architecture("Qwen/Qwen3.5-397B-A17B")
    model = build(architecture, make_gpu(), make_arguments(tensor_parallel_size=8))
    state_s = 2 * 45 * 64 * 128 * 128 * 4 / 8 / ATTENTION_BANDWIDTH
    assert model.per_sequence_s == pytest.approx(20e-6 + state_s)


@pytest.mark.parametrize(
    ("name", "kv_bytes"),
    [
        ("meta-llama/Llama-3.1-8B", 131_072),
        ("meta-llama/Llama-3.1-70B", 327_680),
        ("Qwen/Qwen3-32B", 262_144),
        ("deepseek-ai/DeepSeek-V3", 70_272),
    ],
)
def test_kv_bytes_per_token(name: str, kv_bytes: int) -> None:
    assert get_kv_bytes_per_token(make_architecture(name), make_arguments()) == kv_bytes


@pytest.mark.parametrize(
    ("name", "overrides", "share"),
    [
        ("meta-llama/Llama-3.1-70B", {"tensor_parallel_size": 4}, 1 / 4),
        ("meta-llama/Llama-3.1-70B", {"tensor_parallel_size": 16}, 1 / 8),  # a head a rank
        ("meta-llama/Llama-3.1-70B", {"pipeline_parallel_size": 2}, 1 / 2),
        ("meta-llama/Llama-3.1-70B", {"kv_cache_dtype": "fp8_e4m3"}, 1 / 2),
        ("deepseek-ai/DeepSeek-V3", {"tensor_parallel_size": 8}, 1.0),  # the latent is not split
    ],
)
def test_kv_bytes_are_split_over_ranks(name: str, overrides: dict[str, Any], share: float) -> None:
    whole = get_kv_bytes_per_token(make_architecture(name), make_arguments())
    split = get_kv_bytes_per_token(make_architecture(name), make_arguments(**overrides))
    assert split == pytest.approx(whole * share)


@pytest.mark.parametrize(
    ("quantization", "size"),
    [(None, 2.0), ("fp8", 1.0), ("awq_marlin", 0.56), ("gptq", 0.56), ("modelopt_fp4", 0.56)],
)
def test_weight_bytes(quantization: str | None, size: float) -> None:
    assert get_weight_bytes(make_architecture(), make_arguments(quantization=quantization)) == size


def test_weight_bytes_of_the_models_own_format() -> None:
    own = make_architecture("deepseek-ai/DeepSeek-V3")
    assert get_weight_bytes(own, make_arguments()) == 1.0
    assert get_weight_bytes(make_architecture(), make_arguments()) == 2.0
    with pytest.raises(ValueError, match="quantization squeeze is not known; known: fp8"):
        get_weight_bytes(make_architecture(), make_arguments(quantization="squeeze"))


def test_fp8_weights_use_the_fp8_units_where_there_are_some() -> None:
    arguments = make_arguments(quantization="fp8")
    hopper = build(make_architecture(), make_gpu(), arguments)
    assert hopper.per_token_s == pytest.approx(2 * BODY / (1978e12 * 0.78 * 0.80))
    ampere = build(make_architecture(), make_gpu("A100-80-SXM"), arguments)
    wide = build(make_architecture(), make_gpu("A100-80-SXM"), make_arguments())
    assert ampere.per_token_s == wide.per_token_s
    # The head, 128,256 tokens by 4,096, stays in 16 bits and in the units for them.
    rate = 2039e9 * 0.74 * 0.95
    assert ampere.dense_weights_s == pytest.approx((BODY + 2 * 128_256 * 4_096) / rate)
    assert hopper.per_logit_s == pytest.approx(2 * 128_256 * 4_096 / (989e12 * 0.78 * 0.80))


counts = st.integers(0, 4_096)


@given(
    name=st.sampled_from([architecture.name for architecture in ARCHITECTURES]),
    gpu=st.sampled_from([gpu.name for gpu in GPUS]),
    size=st.sampled_from([1, 2, 4, 8]),
    batch=st.tuples(counts, st.integers(0, 10**7), counts, st.integers(0, 64)),
    more=st.tuples(counts, st.integers(0, 10**7), counts, st.integers(0, 64)),
)
def test_more_work_is_never_faster(
    name: str,
    gpu: str,
    *,
    size: int,
    batch: tuple[int, int, int, int],
    more: tuple[int, int, int, int],
) -> None:
    arguments = make_arguments(tensor_parallel_size=size)
    model = build(make_architecture(name), make_gpu(gpu), arguments)
    steps_s = []
    for decodes, context, prefill, prefills in (
        batch,
        tuple(a + b for a, b in zip(batch, more, strict=True)),
    ):
        steps_s.append(
            compute_step_s(
                model,
                num_decodes=decodes,
                context_tokens=context,
                prefill_tokens=prefill,
                num_prefills=prefills,
                attention_pairs=prefill * (context + 0.5 * prefill),
            )
        )
    assert steps_s[1] >= steps_s[0] > 0
    slower = replace(model, scale=1.25)
    decodes, context, _, _ = batch
    assert compute_step_s(slower, num_decodes=decodes, context_tokens=context) == pytest.approx(
        1.25 * compute_step_s(model, num_decodes=decodes, context_tokens=context)
    )
