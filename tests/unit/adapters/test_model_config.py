"""config.json files of the families that are known, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from optiinfra.adapters.model_config import read_model_config
from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.errors import InputError

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
MIXTRAL = {
    **LLAMA,
    "model_type": "mixtral",
    "max_position_embeddings": 32768,
    "num_experts_per_tok": 2,
    "num_local_experts": 8,
    "sliding_window": None,
    "vocab_size": 32000,
}
QWEN3_MOE = {
    "model_type": "qwen3_moe",
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "tie_word_embeddings": False,
    "v_head_dim": 128,
    "vocab_size": 129280,
}


def write(folder: Path, config: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (LLAMA, "meta-llama/Llama-3.1-8B"),
        (MIXTRAL, "mistralai/Mixtral-8x7B-v0.1"),
        (QWEN3_MOE, "Qwen/Qwen3-30B-A3B"),
        (DEEPSEEK_V3, "deepseek-ai/DeepSeek-V3"),
    ],
)
def test_equals_the_catalogue(tmp_path: Path, config: dict[str, Any], name: str) -> None:
    known, read = get_architecture(name), read_model_config(write(tmp_path, config))
    ours = {"name", "source", "notes"}
    fields = [field for field in known.__dataclass_fields__ if field not in ours]
    assert {f: getattr(read, f) for f in fields} == {f: getattr(known, f) for f in fields}


def test_name_does_not_depend_on_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    write(folder, LLAMA)
    assert read_model_config(folder).name == "my-model"
    write(folder, {**LLAMA, "_name_or_path": "someone/finetune"})
    assert read_model_config(folder / "config.json").name == "someone/finetune"


def test_a_part_for_language_is_taken_alone(tmp_path: Path) -> None:
    gemma = {
        "model_type": "gemma3",
        "text_config": {**LLAMA, "model_type": "gemma3_text", "head_dim": 256},
    }
    del gemma["text_config"]["tie_word_embeddings"]  # type: ignore[attr-defined]
    model = read_model_config(write(tmp_path, gemma))
    assert model.is_embedding_tied
    assert model.head_dim == 256
    assert "full attention" in model.notes[1]
    assert "image encoder" in model.notes[0]


@pytest.mark.parametrize(
    ("changes", "windowed"),
    [
        ({"model_type": "mistral"}, 32),
        ({"model_type": "gemma2"}, 16),
        ({"model_type": "gemma3_text"}, 27),  # layers 6, 12, 18, 24 and 30 see everything
        ({"model_type": "gemma3_text", "sliding_window_pattern": 4}, 24),
        ({"layer_types": ["sliding_attention", "full_attention"] * 16}, 16),
        ({"use_sliding_window": False}, 0),
        ({"sliding_window": 1_000_000}, 0),
    ],
)
def test_a_sliding_window_has_its_layers(
    tmp_path: Path, changes: dict[str, Any], windowed: int
) -> None:
    model = read_model_config(write(tmp_path, {**LLAMA, "sliding_window": 4096, **changes}))
    assert model.num_windowed_layers == windowed
    assert model.attention_window == (4096 if windowed else 0)
    assert model.notes == ()


def test_gpt_oss_has_its_experts_alone_in_four_bits(tmp_path: Path) -> None:
    config = {
        **LLAMA,
        "model_type": "gpt_oss",
        "num_hidden_layers": 36,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_attention_heads": 64,
        "head_dim": 64,
        "vocab_size": 201088,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "quantization_config": {"quant_method": "mxfp4"},
    }
    model = read_model_config(write(tmp_path, config))
    known = get_architecture("openai/gpt-oss-120b")
    assert model.total_params == known.total_params
    assert model.num_windowed_layers == known.num_windowed_layers
    assert (model.native_quantization, model.is_quantized_in_experts_alone) == ("fp4", True)


@pytest.mark.parametrize(
    ("quantization", "native"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "int4",
        ),
    ],
)
def test_quantization(tmp_path: Path, quantization: dict[str, Any], native: str) -> None:
    config = {**LLAMA, "quantization_config": quantization}
    assert read_model_config(write(tmp_path, config)).native_quantization == native


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_type": "mamba"}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers"),
        ({"num_attention_heads": -1}, "num_attention_heads"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"model_type": "qwen3_moe"}, "num_experts"),
        ({"kv_lora_rank": 512}, "qk_rope_head_dim"),
        ({"quantization_config": {"quant_method": "secret"}}, "quantization_config.quant_method"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors"}},
            "quantization_config.quant_method",
        ),
    ],
)
def test_what_is_refused_names_file_and_key(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path = write(tmp_path, {**LLAMA, **change})
    with pytest.raises(InputError) as caught:
        read_model_config(path)
    assert caught.value.file == str(path)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b" " * 2_000_000, "larger than"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_model_config(path)
    assert caught.value.file == str(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_model_config(tmp_path / "config.json")
