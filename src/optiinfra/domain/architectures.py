"""Model architectures: what the twin must know of a model to time one engine step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only transformer by its Hugging Face name.

    Dense: `num_experts` 0 and every layer has an MLP of `intermediate_size`. Mixture of experts:
    `num_moe_layers` layers have `num_experts` experts of `moe_intermediate_size`, of which
    `num_experts_per_token` run for a token, plus `num_shared_experts` that always run; the
    other layers are dense. MLA (DeepSeek): `kv_lora_rank` > 0, KV cache holds
    kv_lora_rank + qk_rope_head_dim values a token and layer; `q_lora_rank` 0: no query compression.

    `num_windowed_layers` attend to the last `attention_window` tokens at most (a sliding window, or
    the chosen tokens of sparse attention). `num_linear_layers` keep a state of a fixed
    `state_bytes_per_linear_layer` for each sequence instead of a KV cache, behind projections of
    `linear_layer_params` weights. `moe_latent_size`: experts work in a space of that many values.
    """

    name: str
    num_layers: int
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    is_embedding_tied: bool = False
    num_experts: int = 0
    num_experts_per_token: int = 0
    num_shared_experts: int = 0
    moe_intermediate_size: int = 0
    num_moe_layers: int = 0
    kv_lora_rank: int = 0
    q_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    is_mlp_gated: bool = True  # SwiGLU: three matrices; else two
    is_attention_gated: bool = False  # a gate as wide as the queries multiplies attention's output
    attention_window: int = 0
    num_windowed_layers: int = 0
    num_linear_layers: int = 0
    linear_layer_params: int = 0
    state_bytes_per_linear_layer: int = 0
    moe_latent_size: int = 0
    native_quantization: str | None = None  # e.g. "fp8": published weights are quantised
    is_quantized_in_experts_alone: bool = False  # attention and dense MLPs stay in 16 bits
    source: str = ""
    notes: tuple[str, ...] = ()  # e.g. "sliding window is simulated as full attention"

    @property
    def is_moe(self) -> bool:
        """Whether some layers choose among experts."""
        return self.num_experts > 0

    @property
    def is_mla(self) -> bool:
        """Whether the KV cache holds a compressed latent (multi-head latent attention)."""
        return self.kv_lora_rank > 0

    @property
    def attention_params_per_layer(self) -> int:
        """Weights of one layer's attention projections."""
        hidden, heads = self.hidden_size, self.num_attention_heads
        if self.is_mla:
            qk_dim = self.qk_nope_head_dim + self.qk_rope_head_dim
            query = (
                hidden * self.q_lora_rank + self.q_lora_rank * heads * qk_dim
                if self.q_lora_rank
                else hidden * heads * qk_dim
            )
            latent = hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
            up = self.kv_lora_rank * heads * (self.qk_nope_head_dim + self.v_head_dim)
            return query + latent + up + heads * self.v_head_dim * hidden
        width = heads * self.head_dim
        matrices = 3 if self.is_attention_gated else 2
        return matrices * hidden * width + 2 * hidden * self.num_kv_heads * self.head_dim

    @property
    def num_attention_layers(self) -> int:
        """Layers with a KV cache."""
        return self.num_layers - self.num_linear_layers

    @property
    def num_dense_layers(self) -> int:
        """Layers with an ordinary MLP."""
        return self.num_layers - self.num_moe_layers

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices of one MLP: 3 when gated, else 2."""
        return 3 if self.is_mlp_gated else 2

    @property
    def expert_params(self) -> int:
        """Weights of one expert of one layer."""
        width = self.moe_latent_size or self.hidden_size
        return self.mlp_matrices * width * self.moe_intermediate_size

    @property
    def dense_params(self) -> int:
        """Weights that every token passes: attention, dense MLPs, shared experts, router, head."""
        mlp = self.num_dense_layers * self.mlp_matrices * self.hidden_size * self.intermediate_size
        shared = self.mlp_matrices * self.hidden_size * self.moe_intermediate_size
        in_moe_layers = self.num_moe_layers * (
            self.num_shared_experts * shared
            + self.hidden_size * self.num_experts
            + 2 * self.hidden_size * self.moe_latent_size
        )
        attention = self.num_attention_layers * self.attention_params_per_layer
        linear = self.num_linear_layers * self.linear_layer_params
        return attention + linear + mlp + in_moe_layers + self.head_params

    @property
    def head_params(self) -> int:
        """Weights of the head, which turns a sequence's last token into logits."""
        return self.vocab_size * self.hidden_size

    @property
    def routed_params(self) -> int:
        """Weights of all routed experts of all layers."""
        return self.num_moe_layers * self.num_experts * self.expert_params

    @property
    def embedding_params(self) -> int:
        """Input embedding, where it is not the head's own matrix; looked up, never multiplied."""
        return 0 if self.is_embedding_tied else self.vocab_size * self.hidden_size

    @property
    def total_params(self) -> int:
        """All weights, without norms and biases (below 0.1 %)."""
        return self.dense_params + self.routed_params + self.embedding_params

    @property
    def kv_values_per_token(self) -> int:
        """Values the KV cache holds for one token, all layers, before any split over ranks."""
        if self.is_mla:
            return self.num_attention_layers * (self.kv_lora_rank + self.qk_rope_head_dim)
        return 2 * self.num_attention_layers * self.num_kv_heads * self.head_dim

    @property
    def state_bytes_per_sequence(self) -> int:
        """Bytes that layers without a KV cache hold for one sequence, whatever its length."""
        return self.num_linear_layers * self.state_bytes_per_linear_layer


def rename(base: Architecture, *names: str) -> tuple[Architecture, ...]:
    """The same shapes under other names: fine-tunes and later releases of `base`."""
    return tuple(replace(base, name=name, source=f"{base.source} (same shapes)") for name in names)


def rename_changed(base: Architecture, *names: str, **values: Any) -> tuple[Architecture, ...]:
    """Models that differ from `base` in `values` alone."""
    return tuple(
        replace(base, name=name, source=f"config.json of {name} (from memory)", **values)
        for name in names
    )
