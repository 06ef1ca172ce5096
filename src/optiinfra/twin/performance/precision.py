"""Number formats of weights: what a weight occupies and on which units it is multiplied."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.gpus import GPU

ACTIVATION_BYTES = 2  # bf16 or fp16


class WeightFormat(StrEnum):
    """How a weight is stored."""

    BF16 = "bf16"  # or fp16
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"  # 4-bit integers with scales (AWQ, GPTQ): multiplied in 16 bits
    FP4 = "fp4"  # NVFP4, MXFP4: multiplied in 4 bits where the GPU has such units


# Bytes a weight occupies; 4-bit formats carry scales (about 12 %).
WEIGHT_BYTES = {
    WeightFormat.BF16: 2.0,
    WeightFormat.FP8: 1.0,
    WeightFormat.INT8: 1.0,
    WeightFormat.INT4: 0.56,
    WeightFormat.FP4: 0.56,
}
_WORDS = {
    "fp8": WeightFormat.FP8,
    "int8": WeightFormat.INT8,
    "awq": WeightFormat.INT4,
    "gptq": WeightFormat.INT4,
    "int4": WeightFormat.INT4,
    "fp4": WeightFormat.FP4,
}


def get_weight_format(architecture: Architecture, arguments: EngineArguments) -> WeightFormat:
    """The format of the engine's quantization, else of the model's own, else 16 bits.

    Raises ValueError for a quantization that is not known.
    """
    quantization = arguments.quantization or architecture.native_quantization
    if quantization is None:
        return WeightFormat.BF16
    key = quantization.lower().replace("_marlin", "").replace("-", "_")
    for word, weight_format in _WORDS.items():
        if key.startswith(word) or key.endswith(word):
            return weight_format
    message = f"quantization {quantization} is not known; known: {', '.join(_WORDS)}"
    raise ValueError(message)


def get_weight_bytes(architecture: Architecture, arguments: EngineArguments) -> float:
    """Bytes of one quantised weight. Raises ValueError for a quantization that is not known."""
    return WEIGHT_BYTES[get_weight_format(architecture, arguments)]


def get_flops(gpu: GPU, weight_format: WeightFormat) -> float:
    """Peak FLOPs a second of the units that multiply such weights.

    Where the GPU has no units for the format, weights are widened and multiplied in 16 bits.
    """
    rates = {
        WeightFormat.FP8: gpu.fp8_flops,
        WeightFormat.INT8: gpu.int8_flops,
        WeightFormat.FP4: gpu.fp4_flops,
    }
    return rates.get(weight_format) or gpu.bf16_flops


def get_kv_value_bytes(arguments: EngineArguments) -> int:
    """Bytes of one value in the KV cache."""
    return 1 if arguments.kv_cache_dtype.startswith("fp8") else ACTIVATION_BYTES
