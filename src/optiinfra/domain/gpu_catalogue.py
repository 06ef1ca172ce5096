"""GPU types known by name, and by the spellings that drivers, clouds and people use."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from types import MappingProxyType

from optiinfra.domain.errors import InputError
from optiinfra.domain.gpu_datasheets import GPUS
from optiinfra.domain.gpus import GPU

# Other spellings, normalised by `_normalize`. Those that could be two types (a bare "A100") are
# left out, except where clouds mean one form by the bare name.
_ALIASES = MappingProxyType(
    {
        "h100": "H100-SXM",
        "h10080gb": "H100-SXM",
        "h100hbm3": "H100-SXM",
        "h10080gbhbm3": "H100-SXM",
        "h100sxm5": "H100-SXM",
        "h100sxm580gb": "H100-SXM",
        "h10080gbsxm": "H100-SXM",
        "h10080gbsxm5": "H100-SXM",
        "h100hgx": "H100-SXM",
        "h10080gbpcie": "H100-PCIe",
        "h200": "H200-SXM",
        "h200141gb": "H200-SXM",
        "h200sxm5": "H200-SXM",
        "b200": "B200-SXM",
        "b300": "B300-SXM",
        "gb200nvl72": "GB200",
        "h20sxm": "H20",
        "b300sxm6ac": "B300-SXM",
        "a10040gb": "A100-40-SXM",
        "a100sxm440gb": "A100-40-SXM",
        "a100sxm40gb": "A100-40-SXM",
        "a100sxm480gb": "A100-80-SXM",
        "a100sxm80gb": "A100-80-SXM",
        "a10080gbsxm": "A100-80-SXM",
        "a10080gbsxm4": "A100-80-SXM",
        "a10080gbpcie": "A100-80-PCIe",
        "a100pcie80gb": "A100-80-PCIe",
        "teslat4": "T4",
        "v100sxm216gb": "V100-16-SXM",
        "teslav100sxm216gb": "V100-16-SXM",
        "v100sxm232gb": "V100-32-SXM",
        "teslav100sxm232gb": "V100-32-SXM",
        "rtxpro6000blackwell": "RTX-PRO-6000",
        "rtxpro6000blackwellworkstationedition": "RTX-PRO-6000",
        "instinctmi300x": "MI300X",
    }
)


def _normalize(name: str) -> str:
    """Letters and digits in lower case, without the maker's name."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(nvidia|amd)[\s_-]+", "", name.strip().lower()))


_BY_NORMAL_NAME = MappingProxyType({_normalize(gpu.name): gpu for gpu in GPUS})


def find_gpu(name: str) -> GPU | None:
    """The GPU type of that name or of an unambiguous other spelling, or None."""
    normal = _normalize(name)
    alias = _ALIASES.get(normal)
    return _BY_NORMAL_NAME.get(_normalize(alias) if alias else normal)


def get_nearest_gpu(
    *, memory_bytes_per_s: float, bf16_flops: float, has_fp8: bool, has_bf16: bool
) -> GPU:
    """The catalogue GPU with the same number formats whose bandwidth and FLOPs are closest.

    Distance is in log ratios, so that twice and half are equally far.
    """
    same = [g for g in GPUS if (g.fp8_flops is not None) == has_fp8 and g.has_bf16 == has_bf16]
    return min(
        same or GPUS,
        key=lambda g: (
            abs(math.log(g.memory_bytes_per_s / memory_bytes_per_s))
            + abs(math.log(g.bf16_flops / bf16_flops))
        ),
    )


def list_close_gpu_names(name: str) -> tuple[str, ...]:
    """Catalogue names that look like `name`, closest first; all of them when none does."""
    by_normal = {normal: gpu.name for normal, gpu in _BY_NORMAL_NAME.items()}
    normal = _normalize(name)
    prefixed = [known for key, known in by_normal.items() if normal and key.startswith(normal)]
    close = [by_normal[key] for key in get_close_matches(normal, by_normal, n=3, cutoff=0.5)]
    return tuple(dict.fromkeys([*prefixed, *close])) or tuple(gpu.name for gpu in GPUS)


def get_gpu(name: str) -> GPU:
    """The GPU type of that name or spelling; InputError with the closest names."""
    gpu = find_gpu(name)
    if gpu is None:
        names = ", ".join(list_close_gpu_names(name))
        raise InputError(
            f"No GPU type is called '{name}' without doubt.",
            remedy=f"Closest: {names}. Any other GPU can be given by its datasheet under `gpus`.",
            field="gpu",
        )
    return gpu
