"""The model catalogue against published sizes and hand-computed KV caches."""

import pytest

from optiinfra.domain.architecture_catalogue import (
    ARCHITECTURES,
    find_architecture,
    get_architecture,
)
from optiinfra.domain.errors import InputError

PUBLISHED_PARAMS = {
    "meta-llama/Llama-3.1-8B": 8.03e9,
    "meta-llama/Llama-3.1-70B": 70.6e9,
    "meta-llama/Llama-3.1-405B": 406e9,
    "meta-llama/Llama-3.2-1B": 1.24e9,
    "meta-llama/Llama-3.2-3B": 3.21e9,
    "meta-llama/Llama-3.3-70B-Instruct": 70.6e9,
    "Qwen/Qwen2.5-7B-Instruct": 7.62e9,
    "Qwen/Qwen2.5-32B-Instruct": 32.8e9,
    "Qwen/Qwen2.5-72B-Instruct": 72.7e9,
    "Qwen/Qwen3-8B": 8.2e9,
    "Qwen/Qwen3-32B": 32.8e9,
    "Qwen/Qwen3-30B-A3B": 30.5e9,
    "Qwen/Qwen3-30B-A3B-Instruct-2507": 30.5e9,
    "Qwen/Qwen3-235B-A22B": 235e9,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46.7e9,
    "mistralai/Mistral-7B-Instruct-v0.3": 7.25e9,
    "mistralai/Mistral-Small-24B-Instruct-2501": 23.6e9,
    "microsoft/phi-4": 14.7e9,
    "deepseek-ai/DeepSeek-V3": 671e9,
    "deepseek-ai/DeepSeek-R1": 671e9,
    "deepseek-ai/DeepSeek-V2-Lite": 15.7e9,
    "Qwen/Qwen2.5-0.5B-Instruct": 0.49e9,
    "Qwen/Qwen2.5-1.5B-Instruct": 1.54e9,
    "Qwen/Qwen2.5-3B-Instruct": 3.09e9,
    "Qwen/Qwen2.5-14B-Instruct": 14.7e9,
    "Qwen/Qwen3-0.6B": 0.6e9,
    "Qwen/Qwen3-1.7B": 1.7e9,
    "Qwen/Qwen3-4B": 4.0e9,
    "Qwen/Qwen3-14B": 14.8e9,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 480e9,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 79.67e9,
    "Qwen/Qwen3.5-397B-A17B": 397e9,
    "Qwen/Qwen3.5-122B-A10B": 122e9,
    "Qwen/Qwen3.5-35B-A3B": 35e9,
    "meta-llama/Llama-2-7b-hf": 6.74e9,
    "meta-llama/Llama-2-13b-hf": 13.0e9,
    "meta-llama/Llama-2-70b-hf": 69.0e9,
    "meta-llama/Meta-Llama-3-8B": 8.03e9,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 108e9,
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": 400e9,
    "google/gemma-2-9b-it": 9.24e9,
    "google/gemma-2-27b-it": 27.2e9,
    "google/gemma-3-4b-it": 3.88e9,
    "google/gemma-3-12b-it": 11.8e9,
    "google/gemma-3-27b-it": 27.0e9,
    "mistralai/Mistral-Nemo-Instruct-2407": 12.2e9,
    "mistralai/Mistral-Large-Instruct-2407": 123e9,
    "mistralai/Mixtral-8x22B-Instruct-v0.1": 141e9,
    "microsoft/Phi-3.5-mini-instruct": 3.82e9,
    "microsoft/Phi-3.5-MoE-instruct": 41.9e9,
    "deepseek-ai/DeepSeek-V2": 236e9,
    "moonshotai/Kimi-K2-Instruct": 1026e9,
    "openai/gpt-oss-120b": 116.8e9,
    "openai/gpt-oss-20b": 20.9e9,
    "zai-org/GLM-4.5": 355e9,
    "zai-org/GLM-4.5-Air": 106e9,
    "zai-org/GLM-5": 744e9,
    "MiniMaxAI/MiniMax-M2": 229e9,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 31.6e9,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 120.7e9,
}
PUBLISHED_ACTIVE_PARAMS = {
    "Qwen/Qwen3-30B-A3B": 3.3e9,
    "Qwen/Qwen3-235B-A22B": 22e9,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 12.9e9,
    "deepseek-ai/DeepSeek-V3": 37e9,
    "Qwen/Qwen3.5-397B-A17B": 17e9,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 17e9,
    "moonshotai/Kimi-K2-Instruct": 32e9,
    "openai/gpt-oss-120b": 5.1e9,
    "openai/gpt-oss-20b": 3.6e9,
    "zai-org/GLM-4.5": 32e9,
    "zai-org/GLM-5": 40e9,
    "MiniMaxAI/MiniMax-M2": 10e9,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 12e9,
}


@pytest.mark.parametrize("name", PUBLISHED_PARAMS)
def test_total_params_are_the_published_ones(name: str) -> None:
    assert get_architecture(name).total_params == pytest.approx(PUBLISHED_PARAMS[name], rel=0.015)


@pytest.mark.parametrize("name", PUBLISHED_ACTIVE_PARAMS)
def test_active_params_are_near_the_published_ones(name: str) -> None:
    a = get_architecture(name)
    active = a.dense_params + a.num_moe_layers * a.num_experts_per_token * a.expert_params
    assert active == pytest.approx(PUBLISHED_ACTIVE_PARAMS[name], rel=0.08)


@pytest.mark.parametrize(
    ("name", "kv_bytes"),
    [
        ("meta-llama/Llama-3.1-8B", 131_072),
        ("meta-llama/Llama-3.1-70B", 327_680),
        ("Qwen/Qwen3-32B", 262_144),
        ("deepseek-ai/DeepSeek-V3", 70_272),
        ("Qwen/Qwen3.5-397B-A17B", 15 * 2 * 2 * 256 * 2),  # one layer in four has a KV cache
    ],
)
def test_kv_cache_bytes_of_a_token(name: str, kv_bytes: int) -> None:
    assert get_architecture(name).kv_values_per_token * 2 == kv_bytes


def test_names() -> None:
    assert len({a.name.lower() for a in ARCHITECTURES}) == len(ARCHITECTURES)
    assert get_architecture("llama-3.1-8b-instruct").name == "meta-llama/Llama-3.1-8B-Instruct"
    old = get_architecture("meta-llama/Meta-Llama-3.1-70B-Instruct")
    assert old.name == "meta-llama/Llama-3.1-70B-Instruct"
    assert find_architecture("someone/Llama-3.1-8B-Instruct") is None
    assert find_architecture("someone/Llama-3.1-8B-Instruct-FP8") is None
    for architecture in ARCHITECTURES:
        assert get_architecture(architecture.name) is architecture
        assert "config.json" in architecture.source


def test_an_unknown_model_is_refused_with_the_closest() -> None:
    with pytest.raises(InputError) as caught:
        get_architecture("meta-llama/Llama-3.1-9B-Instruct")
    assert caught.value.field == "model"
    assert "Llama-3.1-8B-Instruct" in caught.value.remedy
    assert "config.json" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "base", "quantization"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B-Instruct", "fp8"),
        ("Qwen/Qwen3-235B-A22B-FP8", "Qwen/Qwen3-235B-A22B", "fp8"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek-ai/DeepSeek-R1", "fp4"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct", "awq"),
        ("RedHatAI/Qwen3-8B-quantized.w8a8", "Qwen/Qwen3-8B", "int8"),
    ],
)
def test_a_quantised_copy_has_the_shapes_of_its_base(
    name: str, base: str, quantization: str
) -> None:
    copy = get_architecture(name)
    assert copy.name == name
    assert copy.native_quantization == quantization
    assert copy.total_params == get_architecture(base).total_params


def test_layers_without_a_kv_cache_hold_a_state() -> None:
    """Qwen3.5-397B: 45 delta nets of 64 heads, 128 x 128 values of 4 bytes each."""
    hybrid = get_architecture("Qwen/Qwen3.5-397B-A17B")
    assert hybrid.state_bytes_per_sequence == 45 * 64 * 128 * 128 * 4
    assert hybrid.num_attention_layers == 15
    assert get_architecture("Qwen/Qwen3-8B").state_bytes_per_sequence == 0
