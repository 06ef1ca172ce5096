"""A Hugging Face `config.json` read into an Architecture, by the keys that model families share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.architectures import Architecture
from optiinfra.domain.errors import InputError

_DENSE = {"llama", "mistral", "qwen2", "qwen3", "phi3", "granite", "olmo2"}
_GEMMA = {"gemma", "gemma2", "gemma3", "gemma3_text"}
_MOE = {"mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2"}
_MOE |= {"gpt_oss", "glm4_moe", "minimax_m2"}
SUPPORTED = tuple(sorted(_DENSE | _GEMMA | _MOE | {"mistral3"}))
_MAX_FIGURE = 10**7
_GEMMA3_PERIOD = 6  # every sixth layer attends to everything


def read_model_config(path: Path) -> Architecture:
    """The architecture that a config.json describes; InputError with the file and the key.

    The name is `_name_or_path` where that is a Hugging Face name, else that of the file's folder.
    """
    if path.is_dir():
        path = path / "config.json"
    text = read_text_file(path, what="model configuration")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"This is not JSON: {error}.",
            remedy="Give the config.json that lies beside the model's weights.",
            file=str(path),
            line=getattr(error, "lineno", None),
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            "The model configuration is not a JSON object.",
            remedy="Give the config.json that lies beside the model's weights.",
            file=str(path),
        )
    return _ConfigReader(path, document).read()


class _ConfigReader:
    """Reads one document; `keys` is the part about the language model."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document
        nested = document.get("text_config")
        self.prefix = "text_config." if isinstance(nested, dict) else ""
        self.keys: dict[str, Any] = nested if isinstance(nested, dict) else document
        self.notes: list[str] = []
        if self.prefix:
            self.notes.append("the language model alone is simulated, without its image encoder")

    def read(self) -> Architecture:
        """The whole architecture."""
        model_type = self._get_model_type()
        heads = self._get_count("num_attention_heads")
        hidden = self._get_count("hidden_size")
        num_layers = self._get_count("num_hidden_layers")
        positions = self._get_count("max_position_embeddings")
        latent = self._read_latent()
        head_dim = (
            latent["qk_nope_head_dim"] + latent["qk_rope_head_dim"]
            if latent
            else self._find_count("head_dim") or hidden // heads
        )
        values: dict[str, Any] = {
            **latent,
            **self._read_experts(model_type, num_layers),
            **self._read_window(model_type, num_layers, positions),
            "num_layers": num_layers,
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_kv_heads": self._find_count("num_key_value_heads") or heads,
            "head_dim": head_dim,
            "intermediate_size": self._get_count("intermediate_size"),
            "vocab_size": self._get_count("vocab_size"),
            "max_position_embeddings": positions,
            "is_embedding_tied": self._get_tied(model_type),
            "native_quantization": self._read_quantization(),
            "is_quantized_in_experts_alone": model_type == "gpt_oss",
        }
        return Architecture(
            name=self._get_name(),
            source="config.json given by the user",
            notes=tuple(self.notes),
            **values,
        )

    def _refuse(self, key: str, problem: str, remedy: str) -> InputError:
        """An error at one key."""
        return InputError(problem, remedy=remedy, file=str(self.path), field=f"{self.prefix}{key}")

    def _get_name(self) -> str:
        """A name for reports that does not depend on where the file lies."""
        name = self.document.get("_name_or_path")
        if isinstance(name, str) and name.count("/") == 1 and not name.startswith(("/", ".")):
            return name
        return self.path.resolve().parent.name or "model"

    def _get_model_type(self) -> str:
        """The family, when it is one whose layers are known."""
        model_type = self.keys.get("model_type") or self.document.get("model_type")
        if model_type not in SUPPORTED:
            raise self._refuse(
                "model_type",
                "It names no `model_type`: this is not a model's configuration."
                if model_type is None
                else f"Models of type {model_type!r} are not known here.",
                f"Known types: {', '.join(SUPPORTED)}.",
            )
        return str(model_type)

    def _find_count(self, key: str) -> int | None:
        """A whole number, None where the key is missing or null."""
        value = self.keys.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_FIGURE:
            raise self._refuse(
                key, f"`{key}` is {value!r}.", "It must be a whole number, 0 or more."
            )
        return value

    def _get_count(self, key: str) -> int:
        """A whole number of 1 or more."""
        value = self._find_count(key)
        if not value:
            raise self._refuse(
                key, f"`{key}` is missing or 0.", "Give the model's complete config.json."
            )
        return value

    def _get_tied(self, model_type: str) -> bool:
        """Whether input and output embeddings are one matrix; by family where not said."""
        value = self.keys.get("tie_word_embeddings", self.document.get("tie_word_embeddings"))
        return model_type in _GEMMA if value is None else bool(value)

    def _read_window(self, model_type: str, num_layers: int, positions: int) -> dict[str, int]:
        """The sliding window and the layers that have it, {} where every layer sees everything."""
        window = self.keys.get("sliding_window")
        is_used = self.keys.get("use_sliding_window", True)
        if window is None and model_type in {"gemma2", "gemma3", "gemma3_text"}:
            self.notes.append("its sliding window is not given and simulated as full attention")
        if not isinstance(window, int) or not 0 < window < positions or not is_used:
            return {}
        listed = self.keys.get("layer_types")
        period = self.keys.get("sliding_window_pattern")
        if isinstance(listed, list):
            count = sum(kind == "sliding_attention" for kind in listed[:num_layers])
        elif isinstance(period, int) and period > 0:
            count = num_layers - num_layers // period
        elif model_type in {"gemma3", "gemma3_text"}:
            count = num_layers - num_layers // _GEMMA3_PERIOD
        elif model_type == "gemma2":
            count = (num_layers + 1) // 2
        else:
            count = num_layers
        return {"attention_window": window, "num_windowed_layers": count}

    def _read_latent(self) -> dict[str, int]:
        """Sizes of multi-head latent attention, {} for ordinary heads."""
        rank = self._find_count("kv_lora_rank")
        if not rank:
            return {}
        return {
            "kv_lora_rank": rank,
            "q_lora_rank": self._find_count("q_lora_rank") or 0,
            "qk_rope_head_dim": self._get_count("qk_rope_head_dim"),
            "qk_nope_head_dim": self._get_count("qk_nope_head_dim"),
            "v_head_dim": self._get_count("v_head_dim"),
        }

    def _read_experts(self, model_type: str, num_layers: int) -> dict[str, int]:
        """Experts and the layers that have them, {} for a dense model."""
        if model_type not in _MOE:
            return {}
        num_experts = next(
            (
                count
                for key in ("num_local_experts", "num_experts", "n_routed_experts")
                if (count := self._find_count(key))
            ),
            None,
        )
        if num_experts is None:
            raise self._refuse(
                "num_experts",
                "The number of experts is missing.",
                "It is called num_experts, num_local_experts or n_routed_experts.",
            )
        size = self._find_count("moe_intermediate_size") or self._get_count("intermediate_size")
        shared = self._find_count("n_shared_experts") or 0
        shared_size = self._find_count("shared_expert_intermediate_size") or 0
        return {
            "num_experts": num_experts,
            "num_experts_per_token": self._get_count("num_experts_per_tok"),
            "num_shared_experts": shared or round(shared_size / size),
            "moe_intermediate_size": size,
            "num_moe_layers": self._count_moe_layers(num_layers),
        }

    def _count_moe_layers(self, num_layers: int) -> int:
        """Layers with experts: after the first dense ones, every n-th, but for those listed."""
        first = self._find_count("first_k_dense_replace") or 0
        frequency = self._find_count("moe_layer_freq") or 1
        step = self._find_count("decoder_sparse_step") or 1
        listed = self.keys.get("mlp_only_layers") or []
        dense = {layer for layer in listed if isinstance(layer, int)}
        return sum(
            layer >= first
            and layer % frequency == 0
            and (layer + 1) % step == 0
            and layer not in dense
            for layer in range(num_layers)
        )

    def _read_quantization(self) -> str | None:
        """The format of the published weights, None for 16 bits."""
        config = self.document.get("quantization_config") or self.keys.get("quantization_config")
        if not isinstance(config, dict):
            return None
        method = str(config.get("quant_method", "")).lower()
        bits = config.get("bits", config.get("w_bit", 4))
        if method in {"awq", "gptq"}:
            return method if bits == 4 else "int8"  # noqa: PLR2004  # bits of a weight
        simple = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "fp4"}.get(method)
        if method == "bitsandbytes":
            simple = "int4" if config.get("load_in_4bit") else "int8"
        elif method == "modelopt":
            simple = {"FP8": "fp8", "NVFP4": "fp4"}.get(str(config.get("quant_algo")))
        elif method == "compressed-tensors":
            simple = _read_compressed_tensors(config)
        if simple is None:
            raise self._refuse(
                "quantization_config.quant_method",
                f"Weights quantized by '{method}' are not known here.",
                "Known: awq, bitsandbytes, compressed-tensors, fp8, gptq, modelopt, mxfp4.",
            )
        return simple


def _read_compressed_tensors(config: dict[str, Any]) -> str | None:
    """The weight format of the first group of a compressed-tensors checkpoint."""
    groups = config.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        return None
    key = (str(weights.get("type", "int")), int(weights.get("num_bits", 0)))
    return {("float", 8): "fp8", ("int", 8): "int8", ("int", 4): "int4", ("float", 4): "fp4"}.get(
        key
    )
