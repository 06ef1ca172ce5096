"""Datasheet figures of GPU types, and the shares of them that real kernels reach.

Peak figures are dense (no sparsity). Memory is what the driver reports, in MiB, which is below the
marketing figure. `achievable_flops_ratio` is the median of large (m >= 4096) bf16 GEMMs in vLLM's
kernel tables; `achievable_bandwidth_ratio` is the 90th percentile of weight-bound (m <= 16) GEMMs.
A type without a table takes those of the nearest family and says so in `source`.
"""

from __future__ import annotations

from optiinfra.domain.gpus import GPU

_MIB = 2**20
_TERA = 1e12
_GIGA = 1e9

# (MFU at m >= 4096, p50; MBU at m <= 16, p90) in the kernel tables shipped with vLLM.
_AMPERE_KERNELS = (0.89, 0.74)  # A100 SXM, vLLM 0.14
_H100_KERNELS = (0.78, 0.88)  # H100 SXM, vLLM 0.24
_H200_KERNELS = (0.76, 0.84)
_ADA_KERNELS = (0.59, 0.84)  # L40S
_BLACKWELL_KERNELS = (0.68, 0.80)  # B200


def _make_gpu(
    name: str,
    *,
    memory_mib: int,
    memory_gbytes_per_s: float,
    bf16_tflops: float,
    link_gbytes_per_s: float,
    power_w: float,
    kernels: tuple[float, float],
    source: str,
    fp8_tflops: float | None = None,
    int8_tflops: float | None = None,
    fp4_tflops: float | None = None,
    has_bf16: bool = True,
    is_nvlink: bool = False,
) -> GPU:
    """A GPU from figures in a datasheet's units."""
    return GPU(
        name=name,
        memory_bytes=memory_mib * _MIB,
        memory_bytes_per_s=memory_gbytes_per_s * _GIGA,
        bf16_flops=bf16_tflops * _TERA,
        link_bytes_per_s=link_gbytes_per_s * _GIGA,
        power_w=power_w,
        achievable_flops_ratio=kernels[0],
        achievable_bandwidth_ratio=kernels[1],
        fp8_flops=None if fp8_tflops is None else fp8_tflops * _TERA,
        int8_flops=None if int8_tflops is None else int8_tflops * _TERA,
        fp4_flops=None if fp4_tflops is None else fp4_tflops * _TERA,
        has_bf16=has_bf16,
        is_nvlink=is_nvlink,
        source=source,
    )


_DATASHEET = "NVIDIA datasheet"
GPUS: tuple[GPU, ...] = (
    _make_gpu(
        "H100-SXM",
        memory_mib=81_559,
        memory_gbytes_per_s=3350,
        bf16_tflops=989,
        fp8_tflops=1978,
        int8_tflops=1978,
        link_gbytes_per_s=450,
        power_w=700,
        kernels=_H100_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table H100 SXM; memory nvidia-smi",
    ),
    _make_gpu(
        "H100-PCIe",
        memory_mib=81_559,
        memory_gbytes_per_s=2000,
        bf16_tflops=756.5,
        fp8_tflops=1513,
        int8_tflops=1513,
        link_gbytes_per_s=64,
        power_w=350,
        kernels=_H100_KERNELS,
        source=f"{_DATASHEET}; kernel table of H100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "H200-SXM",
        memory_mib=143_771,
        memory_gbytes_per_s=4800,
        bf16_tflops=989,
        fp8_tflops=1978,
        int8_tflops=1978,
        link_gbytes_per_s=450,
        power_w=700,
        kernels=_H200_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table H200; memory nvidia-smi",
    ),
    _make_gpu(
        "B200-SXM",
        memory_mib=183_359,
        memory_gbytes_per_s=7700,
        bf16_tflops=2250,
        fp8_tflops=4500,
        int8_tflops=4500,
        fp4_tflops=9000,
        link_gbytes_per_s=900,
        power_w=1000,
        kernels=_BLACKWELL_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table B200; memory nvidia-smi",
    ),
    _make_gpu(
        "B300-SXM",
        memory_mib=275_040,
        memory_gbytes_per_s=7750,
        bf16_tflops=2250,
        fp8_tflops=4500,
        fp4_tflops=14000,
        link_gbytes_per_s=900,
        power_w=1100,
        kernels=_BLACKWELL_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table of B200 taken; memory nvidia-smi",
    ),
    _make_gpu(
        "GB200",
        memory_mib=189_471,
        memory_gbytes_per_s=8000,
        bf16_tflops=2500,
        fp8_tflops=5000,
        int8_tflops=5000,
        fp4_tflops=10_000,
        link_gbytes_per_s=900,
        power_w=1200,
        kernels=_BLACKWELL_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table of B200 taken; memory from memory, verify",
    ),
    _make_gpu(
        "H20",
        memory_mib=97_871,
        memory_gbytes_per_s=4000,
        bf16_tflops=148,
        fp8_tflops=296,
        int8_tflops=296,
        link_gbytes_per_s=450,
        power_w=400,
        kernels=_H100_KERNELS,
        is_nvlink=True,
        source="figures from memory, verify; kernel table of H100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "A100-40-SXM",
        memory_mib=40_960,
        memory_gbytes_per_s=1555,
        bf16_tflops=312,
        int8_tflops=624,
        link_gbytes_per_s=300,
        power_w=400,
        kernels=_AMPERE_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table A100 SXM; memory nvidia-smi",
    ),
    _make_gpu(
        "A100-80-SXM",
        memory_mib=81_920,
        memory_gbytes_per_s=2039,
        bf16_tflops=312,
        int8_tflops=624,
        link_gbytes_per_s=300,
        power_w=400,
        kernels=_AMPERE_KERNELS,
        is_nvlink=True,
        source=f"{_DATASHEET}; kernel table A100 SXM; memory nvidia-smi",
    ),
    _make_gpu(
        "A100-80-PCIe",
        memory_mib=81_920,
        memory_gbytes_per_s=1935,
        bf16_tflops=312,
        int8_tflops=624,
        link_gbytes_per_s=32,
        power_w=300,
        kernels=_AMPERE_KERNELS,
        source=f"{_DATASHEET}; kernel table of A100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "L4",
        memory_mib=23_034,
        memory_gbytes_per_s=300,
        bf16_tflops=121,
        fp8_tflops=242,
        int8_tflops=242,
        link_gbytes_per_s=32,
        power_w=72,
        kernels=_ADA_KERNELS,
        source=f"{_DATASHEET}; kernel table of L40S taken; memory nvidia-smi",
    ),
    _make_gpu(
        "L40S",
        memory_mib=46_068,
        memory_gbytes_per_s=864,
        bf16_tflops=362,
        fp8_tflops=733,
        int8_tflops=733,
        link_gbytes_per_s=32,
        power_w=350,
        kernels=_ADA_KERNELS,
        source=f"{_DATASHEET}; kernel table L40S; memory nvidia-smi",
    ),
    _make_gpu(
        "A30",
        memory_mib=24_576,
        memory_gbytes_per_s=933,
        bf16_tflops=165,
        int8_tflops=330,
        link_gbytes_per_s=32,
        power_w=165,
        kernels=_AMPERE_KERNELS,
        source=f"{_DATASHEET}; kernel table of A100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "A10G",
        memory_mib=23_028,
        memory_gbytes_per_s=600,
        bf16_tflops=70,
        int8_tflops=140,
        link_gbytes_per_s=32,
        power_w=300,
        kernels=_AMPERE_KERNELS,
        source=(
            "no public datasheet: figures of the AWS variant from memory, verify; kernel table of "
            "A100 SXM taken; memory nvidia-smi"
        ),
    ),
    _make_gpu(
        "T4",
        memory_mib=15_360,
        memory_gbytes_per_s=320,
        bf16_tflops=65,
        int8_tflops=130,
        link_gbytes_per_s=16,
        power_w=70,
        kernels=_ADA_KERNELS,
        has_bf16=False,
        source=f"{_DATASHEET} (fp16 figure); kernel table of L40S taken; memory nvidia-smi",
    ),
    _make_gpu(
        "V100-16-SXM",
        memory_mib=16_384,
        memory_gbytes_per_s=900,
        bf16_tflops=125,
        link_gbytes_per_s=150,
        power_w=300,
        kernels=_AMPERE_KERNELS,
        has_bf16=False,
        is_nvlink=True,
        source=f"{_DATASHEET} (fp16 figure); kernel table of A100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "V100-32-SXM",
        memory_mib=32_768,
        memory_gbytes_per_s=900,
        bf16_tflops=125,
        link_gbytes_per_s=150,
        power_w=300,
        kernels=_AMPERE_KERNELS,
        has_bf16=False,
        is_nvlink=True,
        source=f"{_DATASHEET} (fp16 figure); kernel table of A100 SXM taken; memory nvidia-smi",
    ),
    _make_gpu(
        "RTX-PRO-6000",
        memory_mib=97_887,
        memory_gbytes_per_s=1792,
        bf16_tflops=468,
        fp8_tflops=936,
        int8_tflops=936,
        fp4_tflops=1872,
        link_gbytes_per_s=64,
        power_w=600,
        kernels=_BLACKWELL_KERNELS,
        source=(
            f"{_DATASHEET}, workstation edition; kernel table of B200 taken; memory nvidia-smi; "
            "the server edition has 1597 GB/s: give it by its datasheet"
        ),
    ),
    _make_gpu(
        "MI300X",
        memory_mib=196_592,
        memory_gbytes_per_s=5300,
        bf16_tflops=1307,
        fp8_tflops=2615,
        int8_tflops=2615,
        link_gbytes_per_s=64,
        power_w=750,
        kernels=_H100_KERNELS,
        is_nvlink=False,
        source=(
            "AMD datasheet (one link of seven to each neighbour); kernel table of H100 SXM taken; "
            "memory rocm-smi"
        ),
    ),
)
