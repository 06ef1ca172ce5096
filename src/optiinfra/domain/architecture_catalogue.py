"""Open models known by their Hugging Face names, from their published config.json."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from optiinfra.domain.architectures import Architecture
from optiinfra.domain.errors import InputError

_LLAMA_3_1_8B = Architecture(
    name="meta-llama/Llama-3.1-8B",
    num_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=14336,
    vocab_size=128256,
    max_position_embeddings=131072,
    source="config.json of meta-llama/Llama-3.1-8B",
)
_LLAMA_3_1_70B = Architecture(
    name="meta-llama/Llama-3.1-70B",
    num_layers=80,
    hidden_size=8192,
    num_attention_heads=64,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=28672,
    vocab_size=128256,
    max_position_embeddings=131072,
    source="config.json of meta-llama/Llama-3.1-70B",
)
_LLAMA_3_1_405B = Architecture(
    name="meta-llama/Llama-3.1-405B",
    num_layers=126,
    hidden_size=16384,
    num_attention_heads=128,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=53248,
    vocab_size=128256,
    max_position_embeddings=131072,
    source="config.json of meta-llama/Llama-3.1-405B",
)
_LLAMA_3_2_1B = Architecture(
    name="meta-llama/Llama-3.2-1B",
    num_layers=16,
    hidden_size=2048,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=64,
    intermediate_size=8192,
    vocab_size=128256,
    max_position_embeddings=131072,
    is_embedding_tied=True,
    source="config.json of meta-llama/Llama-3.2-1B (from memory; size checked)",
)
_LLAMA_3_2_3B = Architecture(
    name="meta-llama/Llama-3.2-3B",
    num_layers=28,
    hidden_size=3072,
    num_attention_heads=24,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=8192,
    vocab_size=128256,
    max_position_embeddings=131072,
    is_embedding_tied=True,
    source="config.json of meta-llama/Llama-3.2-3B",
)
_QWEN2_5_7B = Architecture(
    name="Qwen/Qwen2.5-7B-Instruct",
    num_layers=28,
    hidden_size=3584,
    num_attention_heads=28,
    num_kv_heads=4,
    head_dim=128,
    intermediate_size=18944,
    vocab_size=152064,
    max_position_embeddings=32768,
    source="config.json of Qwen/Qwen2.5-7B-Instruct",
)
_QWEN2_5_32B = Architecture(
    name="Qwen/Qwen2.5-32B-Instruct",
    num_layers=64,
    hidden_size=5120,
    num_attention_heads=40,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=27648,
    vocab_size=152064,
    max_position_embeddings=32768,
    source="config.json of Qwen/Qwen2.5-32B-Instruct",
)
_QWEN2_5_72B = Architecture(
    name="Qwen/Qwen2.5-72B-Instruct",
    num_layers=80,
    hidden_size=8192,
    num_attention_heads=64,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=29568,
    vocab_size=152064,
    max_position_embeddings=32768,
    source="config.json of Qwen/Qwen2.5-72B-Instruct",
)
_QWEN3_8B = Architecture(
    name="Qwen/Qwen3-8B",
    num_layers=36,
    hidden_size=4096,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=12288,
    vocab_size=151936,
    max_position_embeddings=40960,
    source="config.json of Qwen/Qwen3-8B (from memory; size checked)",
)
_QWEN3_32B = Architecture(
    name="Qwen/Qwen3-32B",
    num_layers=64,
    hidden_size=5120,
    num_attention_heads=64,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=25600,
    vocab_size=151936,
    max_position_embeddings=40960,
    source="config.json of Qwen/Qwen3-32B",
)
_QWEN3_30B_A3B = Architecture(
    name="Qwen/Qwen3-30B-A3B",
    num_layers=48,
    hidden_size=2048,
    num_attention_heads=32,
    num_kv_heads=4,
    head_dim=128,
    intermediate_size=6144,
    vocab_size=151936,
    max_position_embeddings=40960,
    num_experts=128,
    num_experts_per_token=8,
    moe_intermediate_size=768,
    num_moe_layers=48,
    source="config.json of Qwen/Qwen3-30B-A3B",
)
_QWEN3_235B_A22B = Architecture(
    name="Qwen/Qwen3-235B-A22B",
    num_layers=94,
    hidden_size=4096,
    num_attention_heads=64,
    num_kv_heads=4,
    head_dim=128,
    intermediate_size=12288,
    vocab_size=151936,
    max_position_embeddings=40960,
    num_experts=128,
    num_experts_per_token=8,
    moe_intermediate_size=1536,
    num_moe_layers=94,
    source="config.json of Qwen/Qwen3-235B-A22B",
)
_MIXTRAL_8X7B = Architecture(
    name="mistralai/Mixtral-8x7B-Instruct-v0.1",
    num_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=14336,
    vocab_size=32000,
    max_position_embeddings=32768,
    num_experts=8,
    num_experts_per_token=2,
    moe_intermediate_size=14336,
    num_moe_layers=32,
    source="config.json of mistralai/Mixtral-8x7B-Instruct-v0.1",
)
_MISTRAL_7B = Architecture(
    name="mistralai/Mistral-7B-Instruct-v0.3",
    num_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=14336,
    vocab_size=32768,
    max_position_embeddings=32768,
    source="config.json of mistralai/Mistral-7B-Instruct-v0.3 (from memory; size checked)",
)
_MISTRAL_SMALL_24B = Architecture(
    name="mistralai/Mistral-Small-24B-Instruct-2501",
    num_layers=40,
    hidden_size=5120,
    num_attention_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=32768,
    vocab_size=131072,
    max_position_embeddings=32768,
    source="config.json of mistralai/Mistral-Small-24B-Instruct-2501 (from memory; size checked)",
)
_PHI_4 = Architecture(
    name="microsoft/phi-4",
    num_layers=40,
    hidden_size=5120,
    num_attention_heads=40,
    num_kv_heads=10,
    head_dim=128,
    intermediate_size=17920,
    vocab_size=100352,
    max_position_embeddings=16384,
    source="config.json of microsoft/phi-4",
)
_DEEPSEEK_V3 = Architecture(
    name="deepseek-ai/DeepSeek-V3",
    num_layers=61,
    hidden_size=7168,
    num_attention_heads=128,
    num_kv_heads=128,
    head_dim=192,
    intermediate_size=18432,
    vocab_size=129280,
    max_position_embeddings=163840,
    num_experts=256,
    num_experts_per_token=8,
    num_shared_experts=1,
    moe_intermediate_size=2048,
    num_moe_layers=58,
    kv_lora_rank=512,
    q_lora_rank=1536,
    qk_rope_head_dim=64,
    qk_nope_head_dim=128,
    v_head_dim=128,
    native_quantization="fp8",
    source="config.json of deepseek-ai/DeepSeek-V3",
    notes=("its multi-token prediction layer is not loaded",),
)
_DEEPSEEK_V2_LITE = Architecture(
    name="deepseek-ai/DeepSeek-V2-Lite",
    num_layers=27,
    hidden_size=2048,
    num_attention_heads=16,
    num_kv_heads=16,
    head_dim=192,
    intermediate_size=10944,
    vocab_size=102400,
    max_position_embeddings=163840,
    num_experts=64,
    num_experts_per_token=6,
    num_shared_experts=2,
    moe_intermediate_size=1408,
    num_moe_layers=26,
    kv_lora_rank=512,
    qk_rope_head_dim=64,
    qk_nope_head_dim=128,
    v_head_dim=128,
    source="config.json of deepseek-ai/DeepSeek-V2-Lite",
)


def _rename(base: Architecture, *names: str) -> tuple[Architecture, ...]:
    """The same shapes under other names: fine-tunes of `base`."""
    return tuple(replace(base, name=name, source=f"{base.source} (same shapes)") for name in names)


ARCHITECTURES: tuple[Architecture, ...] = (
    _LLAMA_3_1_8B,
    *_rename(_LLAMA_3_1_8B, "meta-llama/Llama-3.1-8B-Instruct"),
    _LLAMA_3_1_70B,
    *_rename(
        _LLAMA_3_1_70B, "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"
    ),
    _LLAMA_3_1_405B,
    *_rename(_LLAMA_3_1_405B, "meta-llama/Llama-3.1-405B-Instruct"),
    _LLAMA_3_2_1B,
    *_rename(_LLAMA_3_2_1B, "meta-llama/Llama-3.2-1B-Instruct"),
    _LLAMA_3_2_3B,
    *_rename(_LLAMA_3_2_3B, "meta-llama/Llama-3.2-3B-Instruct"),
    _QWEN2_5_7B,
    _QWEN2_5_32B,
    _QWEN2_5_72B,
    _QWEN3_8B,
    _QWEN3_32B,
    _QWEN3_30B_A3B,
    replace(
        _QWEN3_30B_A3B,
        name="Qwen/Qwen3-30B-A3B-Instruct-2507",
        max_position_embeddings=262144,
        source="config.json of Qwen/Qwen3-30B-A3B-Instruct-2507",
    ),
    _QWEN3_235B_A22B,
    replace(
        _QWEN3_235B_A22B,
        name="Qwen/Qwen3-235B-A22B-Instruct-2507",
        max_position_embeddings=262144,
        source="config.json of Qwen/Qwen3-235B-A22B-Instruct-2507",
    ),
    _MIXTRAL_8X7B,
    *_rename(_MIXTRAL_8X7B, "mistralai/Mixtral-8x7B-v0.1"),
    _MISTRAL_7B,
    _MISTRAL_SMALL_24B,
    _PHI_4,
    _DEEPSEEK_V3,
    *_rename(_DEEPSEEK_V3, "deepseek-ai/DeepSeek-R1"),
    _DEEPSEEK_V2_LITE,
    *_rename(_DEEPSEEK_V2_LITE, "deepseek-ai/DeepSeek-V2-Lite-Chat"),
)

# Names under which the same repository was published before, or is mirrored.
_ALIASES = MappingProxyType(
    {
        "meta-llama/meta-llama-3.1-8b": "meta-llama/Llama-3.1-8B",
        "meta-llama/meta-llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/meta-llama-3.1-70b": "meta-llama/Llama-3.1-70B",
        "meta-llama/meta-llama-3.1-70b-instruct": "meta-llama/Llama-3.1-70B-Instruct",
        "meta-llama/meta-llama-3.1-405b": "meta-llama/Llama-3.1-405B",
        "meta-llama/meta-llama-3.1-405b-instruct": "meta-llama/Llama-3.1-405B-Instruct",
    }
)
_BY_LOWER_NAME = MappingProxyType({a.name.lower(): a for a in ARCHITECTURES})


def find_architecture(name: str) -> Architecture | None:
    """The model of that Hugging Face name, or None.

    Case does not matter; the organisation may be left out where that is unambiguous.
    """
    lower = name.strip().lower()
    lower = _ALIASES.get(lower, lower).lower()
    if lower in _BY_LOWER_NAME or "/" in lower:
        return _BY_LOWER_NAME.get(lower)
    matches = [a for key, a in _BY_LOWER_NAME.items() if key.split("/")[1] == lower]
    return matches[0] if len(matches) == 1 else None


def list_close_model_names(name: str) -> tuple[str, ...]:
    """Up to three catalogue names that look like `name`, closest first."""
    lower = name.strip().lower()
    by_tail = {key.split("/")[1]: a.name for key, a in _BY_LOWER_NAME.items()}
    return tuple(by_tail[key] for key in get_close_matches(lower.split("/")[-1], by_tail, n=3))


def get_architecture(name: str) -> Architecture:
    """The model of that Hugging Face name; InputError with the closest names."""
    architecture = find_architecture(name)
    if architecture is None:
        close = list_close_model_names(name)
        hint = f"Closest: {', '.join(close)}. " if close else ""
        raise InputError(
            f"The catalogue has no model '{name}'.",
            remedy=f"{hint}Any other model can be given by the path of its config.json.",
            field="model",
        )
    return architecture
