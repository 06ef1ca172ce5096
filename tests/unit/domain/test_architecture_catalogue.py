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
}
PUBLISHED_ACTIVE_PARAMS = {
    "Qwen/Qwen3-30B-A3B": 3.3e9,
    "Qwen/Qwen3-235B-A22B": 22e9,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 12.9e9,
    "deepseek-ai/DeepSeek-V3": 37e9,
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
    for architecture in ARCHITECTURES:
        assert get_architecture(architecture.name) is architecture
        assert "config.json" in architecture.source


def test_an_unknown_model_is_refused_with_the_closest() -> None:
    with pytest.raises(InputError) as caught:
        get_architecture("meta-llama/Llama-3.1-9B-Instruct")
    assert caught.value.field == "model"
    assert "Llama-3.1-8B-Instruct" in caught.value.remedy
    assert "config.json" in caught.value.remedy
