"""Memory of a replica: weights, reserve, and how many tokens the KV cache holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiinfra.twin.performance.precision import get_weight_bytes
from optiinfra.twin.step_time import GIB, compute_dense_bytes, get_kv_bytes_per_token

if TYPE_CHECKING:
    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.gpus import GPU

CONTEXT_BYTES = 1.0 * GIB  # CUDA context, libraries and captured graphs
COLLECTIVES_BYTES = 0.39 * GIB  # NCCL buffers, where there is more than one rank (aiconfigurator)
LOGITS_BYTES_PER_VALUE = 10  # bf16 logits, their float32 copy and the sampler's sorted copy


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on each rank, and the KV cache in blocks; no positive `num_kv_blocks`: no fit."""

    weight_bytes: float
    reserve_bytes: float
    kv_bytes_per_token: float
    num_kv_blocks: int
    block_size: int

    @property
    def kv_capacity_tokens(self) -> int:
        """Tokens the KV cache holds, in whole blocks."""
        return max(0, self.num_kv_blocks) * self.block_size


def compute_memory_plan(
    architecture: Architecture, gpu: GPU, arguments: EngineArguments
) -> MemoryPlan:
    """KV blocks = (utilization * memory - weights - reserve) / bytes of a block, rounded down.

    The reserve holds the context, activations of the largest batch and the sampler's logits,
    which is what vLLM's profiling run measures at start. Raises ValueError for an unknown
    quantization.
    """
    tp, pp = arguments.tensor_parallel_size, arguments.pipeline_parallel_size
    expert_ranks = arguments.data_parallel_size if arguments.has_expert_parallel else 1
    weight = get_weight_bytes(architecture, arguments)
    embedding = architecture.embedding_params * 2.0
    weights = (
        compute_dense_bytes(architecture, arguments)
        + architecture.routed_params * weight / expert_ranks
    ) / (tp * pp) + embedding / tp
    width = (
        6 * architecture.hidden_size
        + 2
        * max(
            architecture.intermediate_size,
            architecture.moe_intermediate_size * max(1, architecture.num_experts_per_token),
        )
        / tp
    )
    activations = arguments.max_num_batched_tokens * width * 2.0
    logits = arguments.max_num_seqs * architecture.vocab_size * LOGITS_BYTES_PER_VALUE / tp
    reserve = CONTEXT_BYTES + activations + logits
    if arguments.num_gpus > 1:
        reserve += COLLECTIVES_BYTES
    kv_bytes = get_kv_bytes_per_token(architecture, arguments)
    free = arguments.gpu_memory_utilization * gpu.memory_bytes - weights - reserve
    return MemoryPlan(
        weight_bytes=weights,
        reserve_bytes=reserve,
        kv_bytes_per_token=kv_bytes,
        num_kv_blocks=int(free // (kv_bytes * arguments.block_size)),
        block_size=arguments.block_size,
    )
