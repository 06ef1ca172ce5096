"""The GPU catalogue: figures in order, names found, unknown names refused with the closest."""

import pytest

from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_catalogue import (
    find_gpu,
    get_gpu,
    get_nearest_gpu,
    list_close_gpu_names,
)
from optiinfra.domain.gpu_datasheets import GPUS


def test_names_are_unique_and_found_by_themselves() -> None:
    assert len({gpu.name for gpu in GPUS}) == len(GPUS) == 19
    for gpu in GPUS:
        assert get_gpu(gpu.name) is gpu
        assert get_gpu(gpu.name.lower()) is gpu


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("h100", "H100-SXM"),
        ("H100-80GB-HBM3", "H100-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H200", "H200-SXM"),
        ("NVIDIA B200", "B200-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80-SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100-40-SXM"),
        ("NVIDIA A100 80GB PCIe", "A100-80-PCIe"),
        ("a10g", "A10G"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-32GB", "V100-32-SXM"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_other_spellings(spelling: str, name: str) -> None:
    assert get_gpu(spelling).name == name


@pytest.mark.parametrize("name", ["a100", "v100", "A100-80GB", ""])
def test_an_ambiguous_name_is_not_guessed(name: str) -> None:
    assert find_gpu(name) is None


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(InputError) as caught:
        get_gpu("H10O-SXM")
    assert caught.value.field == "gpu"
    assert "H100-SXM" in caught.value.remedy
    assert list_close_gpu_names("a100") == ("A100-40-SXM", "A100-80-SXM", "A100-80-PCIe", "A10G")
    assert list_close_gpu_names("zzz") == tuple(gpu.name for gpu in GPUS)


def test_figures_are_consistent() -> None:
    for gpu in GPUS:
        assert gpu.fp8_flops is None or 1.9 < gpu.fp8_flops / gpu.bf16_flops < 2.1, gpu.name
        assert gpu.has_bf16 or gpu.fp8_flops is None, gpu.name
        assert gpu.source
        assert 10**10 < gpu.memory_bytes < 4 * 10**11, gpu.name


@pytest.mark.parametrize(
    ("name", "memory_mib"),
    [("H100-SXM", 81_559), ("H200-SXM", 143_771), ("L40S", 46_068), ("B300-SXM", 275_040)],
)
def test_memory_is_what_the_driver_reports(name: str, memory_mib: int) -> None:
    assert get_gpu(name).memory_bytes == memory_mib * 2**20


def test_nearest_gpu_has_the_same_formats() -> None:
    h100 = get_gpu("H100-SXM")
    nearest = get_nearest_gpu(
        memory_bytes_per_s=h100.memory_bytes_per_s * 1.1,
        bf16_flops=h100.bf16_flops,
        has_fp8=True,
        has_bf16=True,
    )
    assert nearest is h100
    assert not get_nearest_gpu(
        memory_bytes_per_s=3e11, bf16_flops=6e13, has_fp8=False, has_bf16=False
    ).has_bf16
