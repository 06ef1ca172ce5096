"""The work of a step on one GPU: bytes and FLOPs, in seconds at the datasheet's rates.

Everything here follows from the model's config.json, the datasheet and the parallel sizes; what
share of the rates an engine reaches is left to `step_time.StepConstants`. Fields are numbers, or
arrays of one shape for many deployments at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from optiinfra.twin.performance.precision import (
    ACTIVATION_BYTES,
    WEIGHT_BYTES,
    WeightFormat,
    get_flops,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.gpus import GPU

Number: TypeAlias = "float | NDArray[np.float64]"

USUAL_CHOSEN = 8  # experts that a token chooses in most models
HEAD_BYTES = 2.0  # engines quantise the linear layers, not the head


@dataclass(frozen=True, slots=True)
class Layout:
    """How one replica is spread over GPUs, and the formats it is held in.

    Attention and dense layers are split over `tensor_parallel_size` ranks and repeated
    `data_parallel_size` times; experts are split over `expert_ranks` GPUs in all.
    """

    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    expert_ranks: int = 1
    is_expert_parallel: bool = False
    dense_format: WeightFormat = WeightFormat.BF16
    expert_format: WeightFormat = WeightFormat.BF16
    kv_value_bytes: int = ACTIVATION_BYTES

    def __post_init__(self) -> None:
        sizes = (
            self.tensor_parallel_size,
            self.data_parallel_size,
            self.pipeline_parallel_size,
            self.expert_ranks,
        )
        if min(sizes) < 1:
            message = "every parallel size is at least 1"
            raise ValueError(message)

    @property
    def num_gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel_size * self.data_parallel_size * self.pipeline_parallel_size


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds at datasheet rates, per rank, unless named otherwise."""

    dense_read_s: Number  # read the weights that every token passes
    experts_read_s: Number  # read every routed expert once
    expert_miss_ratio: Number  # probability that one token does not choose a given expert
    expert_tokens_factor: Number  # ranks whose tokens meet at the experts
    dense_token_s: Number  # FLOPs of the dense body, for one token
    expert_token_s: Number  # FLOPs of the chosen experts, for one token
    logit_s: Number  # FLOPs of the head, for one sequence
    context_read_s: Number  # read the KV cache of one token, layers that attend to all tokens
    context_flops_s: Number  # FLOPs of latent attention for one cached token, such layers
    window_read_s: Number  # the same two for one token in the layers with a window
    window_flops_s: Number
    window_tokens: Number  # tokens such layers attend to at most
    pair_s: Number  # FLOPs of one (query, key) pair of a prefill, layers without a window
    window_pair_s: Number  # the same, layers with a window
    state_read_s: Number  # read and write the state of one sequence
    num_layers: Number
    num_moe_units: Number  # layers of experts; half of such a layer grows with the chosen, 8 is 1
    num_exchanges: Number  # all-reduces and exchanges between experts in one step
    exchange_token_s: Number  # bytes that one token sends through them, at the link's rate
    is_nvlink: Number  # 1 or 0


def stack(works: Sequence[Work]) -> Work:
    """One Work whose fields are float64[len(works)]."""
    names = [field.name for field in fields(Work)]
    return Work(**{n: np.array([getattr(w, n) for w in works], np.float64) for n in names})


def compute_work(architecture: Architecture, gpu: GPU, layout: Layout) -> Work:
    """The work of one rank.

    Sources: FLOPs 2 a weight and token; attention 4 * heads * head_dim a pair and layer, all-reduce
    2 (t - 1) / t * bytes (ring); see docs/twin.md.
    """
    a, tp = architecture, layout.tensor_parallel_size
    bandwidth = gpu.memory_bytes_per_s
    body = a.dense_params - a.head_params
    dense_bytes = body * WEIGHT_BYTES[layout.dense_format] + a.head_params * HEAD_BYTES
    chosen = a.num_moe_layers * a.num_experts_per_token * a.expert_params
    num_windowed = min(a.num_windowed_layers, a.num_attention_layers)
    num_full = a.num_attention_layers - num_windowed
    read_s, flops_s = _compute_cached_token_s(a, gpu, layout)
    pair_s = _compute_pair_flops(a) / tp / gpu.bf16_flops
    num_exchanges, exchange_s = _compute_exchange(a, gpu, layout)
    return Work(
        dense_read_s=dense_bytes / tp / bandwidth,
        experts_read_s=a.routed_params
        * WEIGHT_BYTES[layout.expert_format]
        / layout.expert_ranks
        / bandwidth,
        expert_miss_ratio=1.0 - a.num_experts_per_token / a.num_experts if a.is_moe else 0.0,
        expert_tokens_factor=max(1.0, layout.expert_ranks / tp),
        dense_token_s=2.0 * body / tp / get_flops(gpu, layout.dense_format),
        expert_token_s=2.0 * chosen / tp / get_flops(gpu, layout.expert_format),
        logit_s=2.0 * a.head_params / tp / gpu.bf16_flops,
        context_read_s=num_full * read_s,
        context_flops_s=num_full * flops_s,
        window_read_s=num_windowed * read_s,
        window_flops_s=num_windowed * flops_s,
        window_tokens=float(a.attention_window),
        pair_s=num_full * pair_s,
        window_pair_s=num_windowed * pair_s,
        state_read_s=2.0 * a.state_bytes_per_sequence / tp / bandwidth,
        num_layers=float(a.num_layers),
        num_moe_units=a.num_moe_layers * (0.5 + 0.5 * a.num_experts_per_token / USUAL_CHOSEN),
        num_exchanges=num_exchanges,
        exchange_token_s=exchange_s,
        is_nvlink=float(gpu.is_nvlink),
    )


def compute_kv_bytes_per_token_and_layer(architecture: Architecture, layout: Layout) -> float:
    """KV cache bytes of one token in one attention layer on one rank.

    Heads are split over ranks down to one a rank; the latent of MLA is held by every rank.
    """
    if architecture.is_mla:
        values = float(architecture.kv_lora_rank + architecture.qk_rope_head_dim)
    else:
        ranks = min(layout.tensor_parallel_size, architecture.num_kv_heads)
        values = 2.0 * architecture.num_kv_heads * architecture.head_dim / ranks
    return values * layout.kv_value_bytes


def _compute_cached_token_s(
    architecture: Architecture, gpu: GPU, layout: Layout
) -> tuple[float, float]:
    """Seconds to read one cached token of one layer, and for its FLOPs where attention is latent.

    Latent attention multiplies every head with the whole latent, so that FLOPs count too.
    """
    read_s = compute_kv_bytes_per_token_and_layer(architecture, layout) / gpu.memory_bytes_per_s
    if not architecture.is_mla:
        return read_s, 0.0
    latent = 2 * architecture.kv_lora_rank + architecture.qk_rope_head_dim
    flops = 2.0 * architecture.num_attention_heads * latent / layout.tensor_parallel_size
    return read_s, flops / gpu.bf16_flops


def _compute_pair_flops(architecture: Architecture) -> float:
    """FLOPs of prefill attention for one (query, key) pair of one layer, all heads."""
    if architecture.is_mla:
        qk_dim = architecture.qk_nope_head_dim + architecture.qk_rope_head_dim
        per_head = 2.0 * (qk_dim + architecture.v_head_dim)
    else:
        per_head = 4.0 * architecture.head_dim
    return architecture.num_attention_heads * per_head


def _compute_exchange(architecture: Architecture, gpu: GPU, layout: Layout) -> tuple[float, float]:
    """Exchanges in a step, and seconds that one token's values need on the link in all of them."""
    token_s = architecture.hidden_size * ACTIVATION_BYTES / gpu.link_bytes_per_s
    tp, dp = layout.tensor_parallel_size, layout.data_parallel_size
    count = seconds = 0.0
    if tp > 1:
        count += 2 * architecture.num_layers
        seconds += 2 * architecture.num_layers * token_s * 2.0 * (tp - 1) / tp
    if layout.is_expert_parallel and dp > 1 and architecture.is_moe:
        # Gather every rank's tokens before the experts and scatter the results after them.
        count += 2 * architecture.num_moe_layers
        seconds += 2 * architecture.num_moe_layers * token_s * (dp - 1)
    if layout.pipeline_parallel_size > 1:
        count += layout.pipeline_parallel_size - 1
        seconds += (layout.pipeline_parallel_size - 1) * token_s
    return count, seconds
