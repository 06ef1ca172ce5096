"""The step-time model: how long one engine step takes for a given batch.

A step runs `num_decodes` requests for one token each and a number of prefill tokens. Its time is

    t = overhead + T_dense + T_experts + T_attention + T_communication

    T_dense = ((weight bytes / bandwidth)^4 + (FLOPs / compute)^4)^(1/4)

a smooth maximum of the two roofs of the roofline model (Williams, Waterman, Patterson 2009), and
likewise T_experts over the experts that are chosen; the attention of decodes is bound by reading
the KV cache, that of prefills by its FLOPs; tensor parallelism adds two all-reduces a layer.
`docs/twin.md` recomputes one step by hand.

The model is linear in the tokens that decode attention reads. The simulator relies on that: a
stretch of steps with the same requests then takes a time in closed form. So a sliding window counts
as full for every sequence: a little too slow for contexts that are shorter.

All functions take numbers, or arrays of one shape for many deployments at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from optiinfra.twin.performance.precision import (
    WEIGHT_BYTES,
    WeightFormat,
    get_kv_value_bytes,
    get_weight_format,
)
from optiinfra.twin.performance.work import (
    HEAD_BYTES,
    Layout,
    Number,
    Work,
    compute_kv_bytes_per_token_and_layer,
    compute_work,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.gpus import GPU

GIB = 1024**3
N = TypeVar("N", float, "NDArray[np.float64]")
SMOOTHNESS = 4.0


@dataclass(frozen=True, slots=True)
class StepConstants:
    """What the roofline leaves open. The values here are not fitted; each has its source beside it.

    The shares are of a GPU's kernel-table rates: end to end, engines were seen to reach an MFU of
    0.5-0.65 and an MBU of 0.77-0.85 where the kernels alone reach 0.78 and 0.88 (H100).
    `optiinfra twin evaluate` measures how far the model built on them is off.
    """

    fixed_s: float = 1.5e-3  # scheduler and launch of one step; engines: 1-2.5 ms
    per_layer_s: float = 0.0  # launches and small kernels of one layer
    per_moe_layer_s: float = 0.0  # routing, sorting and small kernels of one layer of experts
    per_sequence_s: float = 20e-6  # schedule, sample, detokenise one sequence; 16-25 us
    prefill_step_s: float = 0.0  # a step with prompts in it: eager launches instead of a graph
    prefill_layer_s: float = 0.0  # the same, of one layer
    prefill_moe_layer_s: float = 0.0  # the same, of one layer of experts
    flops_share: float = 0.80  # of the kernels' GEMM rate: 0.62 / 0.78
    bandwidth_share: float = 0.95  # of the kernels' bandwidth: 0.84 / 0.88
    expert_flops_share: float = 0.80  # the same two for the experts
    expert_bandwidth_share: float = 0.95
    expert_spread_ratio: float = 1.0  # tokens that choose experts independently, of all tokens
    attention_bandwidth_ratio: float = 0.80  # of peak; kernel tables say 0.69-0.89
    attention_flops_share: float = 0.55  # of the GEMM rate; 0.5-0.6 is usual
    latent_flops_share: float = 0.55  # the same for decodes with latent attention
    allreduce_nvlink_s: float = 8e-6  # latency of a small all-reduce; from memory, verify
    allreduce_pcie_s: float = 25e-6  # likewise over PCIe
    link_share: float = 1.0  # of the link's rate, in a large all-reduce


# Fitted to measured points of closed loops: the shipped prior, adapters/calibration/prior.json,
# with its provenance and held-out score. A test holds the two equal.
DEFAULT_CONSTANTS = StepConstants(
    fixed_s=0.000557554923,
    per_layer_s=1.35235112e-05,
    per_moe_layer_s=7.49947918e-05,
    per_sequence_s=6.87265768e-06,
    prefill_step_s=0.00240826426,
    prefill_layer_s=0.000103085842,
    prefill_moe_layer_s=6.86667313e-05,
    flops_share=0.995683962,
    bandwidth_share=0.892480868,
    expert_flops_share=0.297019889,
    expert_bandwidth_share=1.0,
    expert_spread_ratio=0.745295868,
    attention_bandwidth_ratio=0.95,
    attention_flops_share=0.459055784,
    latent_flops_share=0.559013687,
    allreduce_nvlink_s=1.53470527e-05,
    allreduce_pcie_s=2.5e-05,
    link_share=0.42923891,
)

# Physical bounds: a fit that wants to leave them misses a mechanism.
BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "fixed_s": (0.2e-3, 6e-3),
    "per_layer_s": (0.5e-6, 60e-6),
    "per_moe_layer_s": (0.5e-6, 100e-6),
    "per_sequence_s": (1e-6, 100e-6),
    "prefill_step_s": (0.05e-3, 30e-3),
    "prefill_layer_s": (1e-6, 400e-6),
    "prefill_moe_layer_s": (1e-6, 400e-6),
    "flops_share": (0.3, 1.0),
    "bandwidth_share": (0.6, 1.0),
    "expert_flops_share": (0.1, 1.0),
    "expert_bandwidth_share": (0.2, 1.0),
    "expert_spread_ratio": (0.3, 1.0),
    "attention_bandwidth_ratio": (0.4, 0.95),
    "attention_flops_share": (0.15, 0.9),
    "latent_flops_share": (0.1, 0.9),
    "allreduce_nvlink_s": (2e-6, 30e-6),
    "allreduce_pcie_s": (8e-6, 80e-6),
    "link_share": (0.2, 1.0),
}


@dataclass(frozen=True, slots=True)
class StepTimeModel:
    """Coefficients of the step time of one rank group, in seconds (ratios where named so).

    `scale` multiplies the whole step; it carries the model's own uncertainty through simulations.
    """

    fixed_s: Number
    per_sequence_s: Number
    dense_weights_s: Number  # read all weights that every token passes
    routed_weights_s: Number  # read every routed expert once
    expert_miss_ratio: Number  # probability that one token does not choose a given expert
    expert_tokens_factor: Number  # ranks that share the experts (data parallel, expert parallel)
    per_token_s: Number  # FLOPs of the dense body, for one token
    per_logit_s: Number  # FLOPs of the head, for one sequence
    per_context_token_s: Number  # decode attention, for one cached token
    per_attention_pair_s: Number  # prefill attention, for one (query, key) pair
    communication_fixed_s: Number
    communication_per_token_s: Number
    per_expert_token_s: Number = 0.0  # FLOPs of the chosen experts, for one token
    prefill_step_s: Number = 0.0  # what a step with prompts in it costs more
    scale: float = 1.0

    def scaled(self, factor: float) -> StepTimeModel:
        """The same model with every step `factor` times as long."""
        return replace(self, scale=self.scale * factor)

    def to_array(self) -> NDArray[np.float64]:
        """Coefficients for the compiled simulator; shape (14,), `scale` multiplied in."""
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
                self.per_expert_token_s * s,
                self.prefill_step_s * s,
            ],
            dtype=np.float64,
        )


def compute_step_s(
    model: StepTimeModel,
    *,
    num_decodes: N,
    context_tokens: N,
    prefill_tokens: Number = 0,
    num_prefills: Number = 0,
    attention_pairs: Number = 0.0,
) -> N:
    """Seconds of one step, in plain Python; the simulator's compiled twin must equal it.

    `context_tokens` are the cached tokens that attention reads in this step, all requests together;
    `attention_pairs` is the sum over prefill chunks of q * (past + q / 2).
    """
    tokens = num_decodes + prefill_tokens
    sequences = num_decodes + num_prefills
    chosen = 1.0 - model.expert_miss_ratio ** (tokens * model.expert_tokens_factor)
    dense_s = _compute_smooth_maximum(
        model.dense_weights_s, model.per_token_s * tokens + model.per_logit_s * sequences
    )
    experts_s = _compute_smooth_maximum(
        model.routed_weights_s * chosen, model.per_expert_token_s * tokens
    )
    attention_s = (
        model.per_context_token_s * context_tokens + model.per_attention_pair_s * attention_pairs
    )
    communication_s = model.communication_fixed_s + model.communication_per_token_s * tokens
    has_prefill = np.minimum(num_prefills, 1)
    overhead_s = (
        model.fixed_s + model.per_sequence_s * sequences + model.prefill_step_s * has_prefill
    )
    seconds: N = model.scale * (overhead_s + dense_s + experts_s + attention_s + communication_s)  # type: ignore[assignment]  # as wide as its arguments
    return seconds


def _compute_smooth_maximum(a: Number, b: Number) -> Number:
    """(a^p + b^p)^(1/p) with p = SMOOTHNESS."""
    result: Number = (a**SMOOTHNESS + b**SMOOTHNESS) ** (1.0 / SMOOTHNESS)
    return result


def get_layout(architecture: Architecture, arguments: EngineArguments) -> Layout:
    """How the engine's arguments spread and store the model.

    Raises ValueError for an unknown quantization.
    """
    weight_format = get_weight_format(architecture, arguments)
    is_dense_wide = architecture.is_quantized_in_experts_alone and not arguments.quantization
    tp, dp = arguments.tensor_parallel_size, arguments.data_parallel_size
    return Layout(
        tensor_parallel_size=tp,
        data_parallel_size=dp,
        pipeline_parallel_size=arguments.pipeline_parallel_size,
        expert_ranks=tp * dp if arguments.has_expert_parallel else tp,
        is_expert_parallel=arguments.has_expert_parallel,
        dense_format=WeightFormat.BF16 if is_dense_wide else weight_format,
        expert_format=weight_format,
        kv_value_bytes=get_kv_value_bytes(arguments),
    )


def compute_dense_bytes(architecture: Architecture, arguments: EngineArguments) -> float:
    """Bytes of the weights that every token passes, all ranks together.

    The head stays in 16 bits: engines quantise the linear layers, not the head.
    """
    body = architecture.dense_params - architecture.head_params
    weight_bytes = WEIGHT_BYTES[get_layout(architecture, arguments).dense_format]
    return body * weight_bytes + architecture.head_params * HEAD_BYTES


def get_kv_bytes_per_token(architecture: Architecture, arguments: EngineArguments) -> float:
    """KV cache bytes of one token on one rank, all its attention layers.

    Heads are split over ranks down to one a rank; the latent of MLA is held by every rank.
    """
    layout = get_layout(architecture, arguments)
    per_layer = compute_kv_bytes_per_token_and_layer(architecture, layout)
    return per_layer * architecture.num_attention_layers / arguments.pipeline_parallel_size


def build_step_time_model(
    architecture: Architecture,
    gpu: GPU,
    arguments: EngineArguments,
    constants: StepConstants = DEFAULT_CONSTANTS,
) -> StepTimeModel:
    """Coefficients for one replica (one rank group when it is data parallel).

    Raises ValueError for an unknown quantization.
    """
    work = compute_work(architecture, gpu, get_layout(architecture, arguments))
    return compose_step_time_model(
        work,
        constants,
        flops_ratio=gpu.achievable_flops_ratio,
        bandwidth_ratio=gpu.achievable_bandwidth_ratio,
    )


def compose_step_time_model(
    work: Work, constants: StepConstants, *, flops_ratio: Number, bandwidth_ratio: Number
) -> StepTimeModel:
    """Work divided by the shares of the datasheet's rates that are reached.

    `flops_ratio` and `bandwidth_ratio` are what kernels reach on the GPU; `constants` what an
    engine keeps of that.
    """
    c = constants
    bandwidth = bandwidth_ratio * c.bandwidth_share
    flops = flops_ratio * c.flops_share
    attention = c.attention_bandwidth_ratio
    pair_share = flops_ratio * c.attention_flops_share
    latent_share = flops_ratio * c.latent_flops_share
    window_s = np.hypot(work.window_read_s / attention, work.window_flops_s / latent_share)
    context_s = np.hypot(work.context_read_s / attention, work.context_flops_s / latent_share)
    latency_s = work.is_nvlink * c.allreduce_nvlink_s + (1.0 - work.is_nvlink) * c.allreduce_pcie_s
    return StepTimeModel(
        fixed_s=c.fixed_s
        + c.per_layer_s * work.num_layers
        + c.per_moe_layer_s * work.num_moe_units,
        per_sequence_s=c.per_sequence_s
        + window_s * work.window_tokens
        + work.state_read_s / attention,
        dense_weights_s=work.dense_read_s / bandwidth,
        routed_weights_s=work.experts_read_s / (bandwidth_ratio * c.expert_bandwidth_share),
        expert_miss_ratio=work.expert_miss_ratio,
        expert_tokens_factor=work.expert_tokens_factor * c.expert_spread_ratio,
        per_token_s=work.dense_token_s / flops
        + work.window_pair_s * work.window_tokens / pair_share,
        per_logit_s=work.logit_s / flops,
        per_context_token_s=context_s,
        per_attention_pair_s=work.pair_s / pair_share,
        communication_fixed_s=work.num_exchanges * latency_s,
        communication_per_token_s=work.exchange_token_s / c.link_share,
        per_expert_token_s=work.expert_token_s / (flops_ratio * c.expert_flops_share),
        prefill_step_s=c.prefill_step_s
        + c.prefill_layer_s * work.num_layers
        + c.prefill_moe_layer_s * work.num_moe_units,
    )
