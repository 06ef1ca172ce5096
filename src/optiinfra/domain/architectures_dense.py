"""Dense open models by their Hugging Face names, from their published config.json."""

from __future__ import annotations

from dataclasses import replace

from optiinfra.domain.architectures import Architecture, rename

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


def _make(  # noqa: PLR0917  one column a figure of config.json
    name: str,
    num_layers: int,
    hidden_size: int,
    heads: tuple[int, int, int],
    intermediate_size: int,
    vocab_size: int,
    max_position_embeddings: int,
    *,
    is_tied: bool = False,
    window: tuple[int, int] = (0, 0),
) -> Architecture:
    """One row: `heads` are (attention, KV, width of one), `window` is (tokens, layers)."""
    return Architecture(
        name=name,
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_attention_heads=heads[0],
        num_kv_heads=heads[1],
        head_dim=heads[2],
        intermediate_size=intermediate_size,
        vocab_size=vocab_size,
        max_position_embeddings=max_position_embeddings,
        is_embedding_tied=is_tied,
        attention_window=window[0],
        num_windowed_layers=window[1],
        source=f"config.json of {name} (from memory; size checked)",
    )


_ROWS = (
    _make("Qwen/Qwen2.5-0.5B-Instruct", 24, 896, (14, 2, 64), 4864, 151936, 32768, is_tied=True),
    _make("Qwen/Qwen2.5-1.5B-Instruct", 28, 1536, (12, 2, 128), 8960, 151936, 32768, is_tied=True),
    _make("Qwen/Qwen2.5-3B-Instruct", 36, 2048, (16, 2, 128), 11008, 151936, 32768, is_tied=True),
    _make("Qwen/Qwen2.5-14B-Instruct", 48, 5120, (40, 8, 128), 13824, 152064, 32768),
    _make("Qwen/Qwen3-0.6B", 28, 1024, (16, 8, 128), 3072, 151936, 40960, is_tied=True),
    _make("Qwen/Qwen3-1.7B", 28, 2048, (16, 8, 128), 6144, 151936, 40960, is_tied=True),
    _make("Qwen/Qwen3-4B", 36, 2560, (32, 8, 128), 9728, 151936, 40960, is_tied=True),
    _make("Qwen/Qwen3-14B", 40, 5120, (40, 8, 128), 17408, 151936, 40960),
    _make("meta-llama/Llama-2-7b-hf", 32, 4096, (32, 32, 128), 11008, 32000, 4096),
    _make("meta-llama/Llama-2-13b-hf", 40, 5120, (40, 40, 128), 13824, 32000, 4096),
    _make("meta-llama/Llama-2-70b-hf", 80, 8192, (64, 8, 128), 28672, 32000, 4096),
    _make("meta-llama/Meta-Llama-3-8B", 32, 4096, (32, 8, 128), 14336, 128256, 8192),
    _make("meta-llama/Meta-Llama-3-70B", 80, 8192, (64, 8, 128), 28672, 128256, 8192),
    _make(
        *("google/gemma-2-9b-it", 42, 3584, (16, 8, 256), 14336, 256000, 8192),
        is_tied=True,
        window=(4096, 21),
    ),
    _make(
        *("google/gemma-2-27b-it", 46, 4608, (32, 16, 128), 36864, 256000, 8192),
        is_tied=True,
        window=(4096, 23),
    ),
    _make(
        *("google/gemma-3-4b-it", 34, 2560, (8, 4, 256), 10240, 262208, 131072),
        is_tied=True,
        window=(1024, 29),
    ),
    _make(
        *("google/gemma-3-12b-it", 48, 3840, (16, 8, 256), 15360, 262208, 131072),
        is_tied=True,
        window=(1024, 40),
    ),
    _make(
        *("google/gemma-3-27b-it", 62, 5376, (32, 16, 128), 21504, 262208, 131072),
        is_tied=True,
        window=(1024, 52),
    ),
    _make(*("mistralai/Mistral-Nemo-Instruct-2407", 40, 5120, (32, 8, 128), 14336, 131072, 131072)),
    _make(
        *("mistralai/Mistral-Large-Instruct-2407", 88, 12288, (96, 8, 128), 28672, 32768, 131072)
    ),
    _make("microsoft/Phi-3.5-mini-instruct", 32, 3072, (32, 32, 96), 8192, 32064, 131072),
)

DENSE: tuple[Architecture, ...] = (
    _LLAMA_3_1_8B,
    *rename(
        _LLAMA_3_1_8B,
        "meta-llama/Llama-3.1-8B-Instruct",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    ),
    _LLAMA_3_1_70B,
    *rename(
        _LLAMA_3_1_70B,
        "meta-llama/Llama-3.1-70B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
        "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF",
    ),
    _LLAMA_3_1_405B,
    *rename(_LLAMA_3_1_405B, "meta-llama/Llama-3.1-405B-Instruct"),
    _LLAMA_3_2_1B,
    *rename(_LLAMA_3_2_1B, "meta-llama/Llama-3.2-1B-Instruct"),
    _LLAMA_3_2_3B,
    *rename(_LLAMA_3_2_3B, "meta-llama/Llama-3.2-3B-Instruct"),
    _QWEN2_5_7B,
    _QWEN2_5_32B,
    *rename(_QWEN2_5_32B, "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"),
    replace(
        _QWEN2_5_32B,
        name="Qwen/QwQ-32B",
        max_position_embeddings=40960,
        source="config.json of Qwen/QwQ-32B (from memory; shapes of Qwen2.5-32B)",
    ),
    _QWEN2_5_72B,
    _QWEN3_8B,
    _QWEN3_32B,
    _MISTRAL_7B,
    _MISTRAL_SMALL_24B,
    _PHI_4,
    *_ROWS,
)
