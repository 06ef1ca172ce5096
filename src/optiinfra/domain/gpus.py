"""GPU types by their datasheet figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GPU:
    """One GPU type. All compute figures are dense (no sparsity), per GPU.

    `memory_bytes` is what the driver reports. `link_bytes_per_s` is one direction between two GPUs
    of one instance. `fp8_flops`, `int8_flops` and `fp4_flops` are None where the GPU has no units
    for the format. `achievable_flops_ratio` (MFU of large bf16 GEMMs) and
    `achievable_bandwidth_ratio` (MBU of weight-bound GEMMs) come from kernel tables where there are
    some, see `source`; a GPU given by its datasheet gets the values of the nearest family and says
    so in `source`.
    """

    name: str
    memory_bytes: int
    memory_bytes_per_s: float
    bf16_flops: float
    link_bytes_per_s: float
    power_w: float
    achievable_flops_ratio: float
    achievable_bandwidth_ratio: float
    fp8_flops: float | None = None
    int8_flops: float | None = None
    fp4_flops: float | None = None
    has_bf16: bool = True
    is_nvlink: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        figures = (
            self.memory_bytes,
            self.memory_bytes_per_s,
            self.bf16_flops,
            self.link_bytes_per_s,
            self.power_w,
        )
        if not all(0 < figure < float("inf") for figure in figures):
            message = f"{self.name}: every datasheet figure is positive and finite"
            raise ValueError(message)
        for ratio in (self.achievable_flops_ratio, self.achievable_bandwidth_ratio):
            if not 0 < ratio <= 1:
                message = f"{self.name}: achievable shares lie in (0, 1]"
                raise ValueError(message)
