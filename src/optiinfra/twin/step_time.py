"""The step-time model: how long one engine step takes for a given batch.

A step runs `num_decodes` requests for one token each and a number of prefill tokens. Its time is

    t = t0 + tau * sequences + T_linear + T_attention + T_communication

    T_linear = ((weight bytes / bandwidth)^4 + (FLOPs / compute)^4)^(1/4)

a smooth maximum of the two roofs of the roofline model (Williams, Waterman, Patterson 2009); the
attention of decodes is bound by reading the KV cache, that of prefills by its FLOPs; tensor
parallelism adds two all-reduces a layer. `docs/twin.md` recomputes one step by hand.

The model is linear in the tokens that decode attention reads. The simulator relies on that: a
stretch of steps with the same requests then takes a time in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.gpus import GPU

GIB = 1024**3

# Bytes a weight occupies under each quantization; 4-bit formats carry scales (about 12 %).
WEIGHT_BYTES = {
    "fp8": 1.0,
    "int8": 1.0,
    "awq": 0.56,
    "gptq": 0.56,
    "int4": 0.56,
    "fp4": 0.56,
}
ACTIVATION_BYTES = 2  # bf16 or fp16
SMOOTHNESS = 4.0


@dataclass(frozen=True, slots=True)
class StepConstants:
    """What the roofline leaves open. Nothing here is fitted; each value has its source beside it.

    The shares are of a GPU's kernel-table rates: end to end, engines were seen to reach an MFU of
    0.5-0.65 and an MBU of 0.77-0.85 where the kernels alone reach 0.78 and 0.88 (H100).
    `benchmarks/silicon_points.py` measures how far the model built on them is off.
    """

    fixed_s: float = 1.5e-3  # scheduler and launch of one step; engines: 1-2.5 ms
    per_sequence_s: float = 20e-6  # schedule, sample, detokenise one sequence; 16-25 us
    flops_share: float = 0.80  # of the kernels' GEMM rate: 0.62 / 0.78
    bandwidth_share: float = 0.95  # of the kernels' bandwidth: 0.84 / 0.88
    attention_bandwidth_ratio: float = 0.80  # of peak; kernel tables say 0.69-0.89
    attention_flops_share: float = 0.55  # of the GEMM rate; 0.5-0.6 is usual
    allreduce_nvlink_s: float = 8e-6  # latency of a small all-reduce; from memory, verify
    allreduce_pcie_s: float = 25e-6  # likewise over PCIe


DEFAULT_CONSTANTS = StepConstants()


@dataclass(frozen=True, slots=True)
class StepTimeModel:
    """Coefficients of the step time of one rank group, in seconds (ratios where named so).

    `scale` multiplies the whole step; it carries the model's own uncertainty through simulations.
    """

    fixed_s: float
    per_sequence_s: float
    dense_weights_s: float  # read all weights that every token passes
    routed_weights_s: float  # read every routed expert once
    expert_miss_ratio: float  # probability that one token does not choose a given expert
    expert_tokens_factor: float  # ranks that share the experts (data parallel with expert parallel)
    per_token_s: float  # FLOPs of the body, for one token
    per_logit_s: float  # FLOPs of the head, for one sequence
    per_context_token_s: float  # decode attention, for one cached token
    per_attention_pair_s: float  # prefill attention, for one (query, key) pair
    communication_fixed_s: float
    communication_per_token_s: float
    scale: float = 1.0

    def scaled(self, factor: float) -> StepTimeModel:
        """The same model with every step `factor` times as long."""
        return replace(self, scale=self.scale * factor)

    def to_array(self) -> NDArray[np.float64]:
        """Coefficients for the compiled simulator; shape (12,), `scale` multiplied in."""
        s = self.scale
        return np.array(
            [
                self.fixed_s * s,
                self.per_sequence_s * s,
                self.dense_weights_s * s,
                self.routed_weights_s * s,
                self.expert_miss_ratio,
                self.expert_tokens_factor,
                self.per_token_s * s,
                self.per_logit_s * s,
                self.per_context_token_s * s,
                self.per_attention_pair_s * s,
                self.communication_fixed_s * s,
                self.communication_per_token_s * s,
            ],
            dtype=np.float64,
        )


def compute_step_s(
    model: StepTimeModel,
    *,
    num_decodes: int,
    context_tokens: int,
    prefill_tokens: int = 0,
    num_prefills: int = 0,
    attention_pairs: float = 0.0,
) -> float:
    """Seconds of one step, in plain Python; the simulator's compiled twin must equal it.

    `context_tokens` are the cached tokens that attention reads in this step, all requests together;
    `attention_pairs` is the sum over prefill chunks of q * (past + q / 2).
    """
    tokens = num_decodes + prefill_tokens
    sequences = num_decodes + num_prefills
    routed = 0.0
    if model.routed_weights_s > 0:
        chosen = 1.0 - model.expert_miss_ratio ** (tokens * model.expert_tokens_factor)
        routed = model.routed_weights_s * chosen
    read_s = model.dense_weights_s + routed
    flops_s = model.per_token_s * tokens + model.per_logit_s * sequences
    linear_s: float = (read_s**SMOOTHNESS + flops_s**SMOOTHNESS) ** (1.0 / SMOOTHNESS)
    attention_s = (
        model.per_context_token_s * context_tokens + model.per_attention_pair_s * attention_pairs
    )
    communication_s = model.communication_fixed_s + model.communication_per_token_s * tokens
    overhead_s = model.fixed_s + model.per_sequence_s * sequences
    return model.scale * (overhead_s + linear_s + attention_s + communication_s)


def get_weight_bytes(architecture: Architecture, arguments: EngineArguments) -> float:
    """Bytes of one weight: of the engine's quantization, else of the model's own, else 2.

    Raises ValueError for a quantization that is not known.
    """
    quantization = arguments.quantization or architecture.native_quantization
    if quantization is None:
        return 2.0
    key = quantization.lower().replace("_marlin", "").replace("-", "_")
    for name, size in WEIGHT_BYTES.items():
        if key.startswith(name) or key.endswith(name):
            return size
    message = f"quantization {quantization} is not known; known: {', '.join(WEIGHT_BYTES)}"
    raise ValueError(message)


def compute_dense_bytes(architecture: Architecture, arguments: EngineArguments) -> float:
    """Bytes of the weights that every token passes, all ranks together.

    The head stays in 16 bits: engines quantise the linear layers, not the head.
    """
    body = architecture.dense_params - architecture.head_params
    return body * get_weight_bytes(architecture, arguments) + architecture.head_params * 2.0


def get_kv_bytes_per_token(architecture: Architecture, arguments: EngineArguments) -> float:
    """KV cache bytes of one token on one rank.

    Heads are split over ranks down to one a rank; the latent of MLA is held by every rank.
    """
    value_bytes = 1 if arguments.kv_cache_dtype.startswith("fp8") else ACTIVATION_BYTES
    total = architecture.kv_values_per_token * value_bytes / arguments.pipeline_parallel_size
    if architecture.is_mla:
        return total
    return total / min(arguments.tensor_parallel_size, architecture.num_kv_heads)


def build_step_time_model(
    architecture: Architecture,
    gpu: GPU,
    arguments: EngineArguments,
    constants: StepConstants = DEFAULT_CONSTANTS,
) -> StepTimeModel:
    """Coefficients for one replica (one rank group when it is data parallel).

    Formulas: FLOPs 2 per weight and token; attention 4 * heads * head_dim per pair and layer;
    all-reduce of n tokens 2 * (t - 1) / t * n * hidden bytes; expected experts read
    E * (1 - (1 - k / E)^n). Raises ValueError for an unknown quantization.
    """
    tp = arguments.tensor_parallel_size
    weight_bytes = get_weight_bytes(architecture, arguments)
    bandwidth = gpu.memory_bytes_per_s * gpu.achievable_bandwidth_ratio * constants.bandwidth_share
    flops_peak = gpu.bf16_flops
    if weight_bytes == 1.0 and gpu.fp8_flops is not None:
        flops_peak = gpu.fp8_flops
    flops = flops_peak * gpu.achievable_flops_ratio * constants.flops_share
    head_flops = gpu.bf16_flops * gpu.achievable_flops_ratio * constants.flops_share
    active = architecture.dense_params - architecture.head_params
    active += (
        architecture.num_moe_layers
        * architecture.num_experts_per_token
        * architecture.expert_params
    )
    expert_ranks = arguments.data_parallel_size if arguments.has_expert_parallel else 1
    miss = (
        1.0 - architecture.num_experts_per_token / architecture.num_experts
        if architecture.is_moe
        else 0.0
    )
    fixed_s, per_token_s = _get_communication(architecture, gpu, arguments, constants)
    return StepTimeModel(
        fixed_s=constants.fixed_s,
        per_sequence_s=constants.per_sequence_s,
        dense_weights_s=compute_dense_bytes(architecture, arguments) / tp / bandwidth,
        routed_weights_s=architecture.routed_params
        * weight_bytes
        / (tp * expert_ranks)
        / bandwidth,
        expert_miss_ratio=miss,
        expert_tokens_factor=float(expert_ranks),
        per_token_s=2.0 * active / tp / flops,
        per_logit_s=2.0 * architecture.head_params / tp / head_flops,
        per_context_token_s=_get_decode_attention_s(architecture, gpu, arguments, constants),
        per_attention_pair_s=_get_pair_flops(architecture)
        / tp
        / (gpu.bf16_flops * gpu.achievable_flops_ratio * constants.attention_flops_share),
        communication_fixed_s=fixed_s,
        communication_per_token_s=per_token_s,
    )


def _get_pair_flops(architecture: Architecture) -> float:
    """FLOPs of prefill attention for one (query, key) pair, all layers and heads."""
    if architecture.is_mla:
        qk_dim = architecture.qk_nope_head_dim + architecture.qk_rope_head_dim
        per_head = 2.0 * (qk_dim + architecture.v_head_dim)
    else:
        per_head = 4.0 * architecture.head_dim
    return architecture.num_layers * architecture.num_attention_heads * per_head


def _get_decode_attention_s(
    architecture: Architecture, gpu: GPU, arguments: EngineArguments, constants: StepConstants
) -> float:
    """Seconds a cached token costs a decode step: memory, smoothly bounded by FLOPs for MLA."""
    kv_bytes = get_kv_bytes_per_token(architecture, arguments)
    read_s = kv_bytes / (gpu.memory_bytes_per_s * constants.attention_bandwidth_ratio)
    if not architecture.is_mla:
        return read_s
    latent = 2 * architecture.kv_lora_rank + architecture.qk_rope_head_dim
    pair_flops = 2.0 * architecture.num_layers * architecture.num_attention_heads * latent
    rate = gpu.bf16_flops * gpu.achievable_flops_ratio * constants.attention_flops_share
    flops_s = pair_flops / arguments.tensor_parallel_size / rate
    return math.hypot(read_s, flops_s)


def _get_communication(
    architecture: Architecture, gpu: GPU, arguments: EngineArguments, constants: StepConstants
) -> tuple[float, float]:
    """Fixed and per-token seconds of all-reduces and of expert exchange between ranks."""
    latency_s = constants.allreduce_nvlink_s if gpu.is_nvlink else constants.allreduce_pcie_s
    token_bytes = architecture.hidden_size * ACTIVATION_BYTES
    fixed_s = per_token_s = 0.0
    tp = arguments.tensor_parallel_size
    if tp > 1:
        count = 2 * architecture.num_layers
        fixed_s += count * latency_s
        per_token_s += count * token_bytes * 2.0 * (tp - 1) / tp / gpu.link_bytes_per_s
    dp = arguments.data_parallel_size
    if arguments.has_expert_parallel and dp > 1 and architecture.is_moe:
        # Gather every rank's tokens before the experts and scatter the results after them.
        count = 2 * architecture.num_moe_layers
        fixed_s += count * latency_s
        per_token_s += count * token_bytes * (dp - 1) / gpu.link_bytes_per_s
    return fixed_s, per_token_s
