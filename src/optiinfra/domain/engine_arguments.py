"""Arguments of a serving engine under one set of names, whatever the engine calls them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Engine(StrEnum):
    """Serving engines whose flags are understood."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """What the engine was started with; every value is resolved, none is left to a default.

    Names are vLLM's. `quantization` is None (weights in `dtype`) or the engine's word for it;
    `kv_cache_dtype` is "auto" (as `dtype`) or an fp8 form. `assumed` names the fields that
    the user did not give and that took the default of `version` on this GPU.
    """

    engine: Engine
    version: str
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    has_expert_parallel: bool = False
    max_model_len: int | None = None
    block_size: int = 16
    dtype: str = "bfloat16"
    kv_cache_dtype: str = "auto"
    quantization: str | None = None
    has_prefix_caching: bool = True
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = (
            self.max_num_seqs,
            self.max_num_batched_tokens,
            self.tensor_parallel_size,
            self.pipeline_parallel_size,
            self.data_parallel_size,
            self.block_size,
        )
        if min(counts) < 1:
            message = "every count among the engine arguments is at least 1"
            raise ValueError(message)
        if not 0 < self.gpu_memory_utilization <= 1:
            message = "gpu_memory_utilization lies in (0, 1]"
            raise ValueError(message)

    @property
    def num_gpus(self) -> int:
        """GPUs that one replica occupies."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size
