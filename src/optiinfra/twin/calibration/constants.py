"""The constants that are fitted, as a vector in log space within their physical bounds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import numpy as np

from optiinfra.twin.performance.closed_loop import LOOP_BOUNDS, LoopConstants
from optiinfra.twin.step_time import BOUNDS, StepConstants

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a fit begins and what it is drawn to: the ranges of the literature in StepConstants.
START: Final = StepConstants(
    fixed_s=1e-3,
    per_layer_s=10e-6,
    per_moe_layer_s=20e-6,
    per_sequence_s=8e-6,
    prefill_step_s=2e-3,
    prefill_layer_s=60e-6,
    prefill_moe_layer_s=60e-6,
    flops_share=0.75,
    bandwidth_share=0.9,
    expert_flops_share=0.5,
    expert_bandwidth_share=0.8,
    expert_spread_ratio=0.95,
    attention_bandwidth_ratio=0.8,
    attention_flops_share=0.4,
    latent_flops_share=0.4,
    link_share=0.7,
)
LOOP_START: Final = LoopConstants()
_FIXED = ("allreduce_pcie_s",)  # no measured point has GPUs without NVLink
STEP_NAMES: Final = tuple(name for name in BOUNDS if name not in _FIXED)
TPOT_LOOP_NAMES: Final = ("prefill_sharing_ratio",)
CROSS_LOOP_NAMES: Final = ("model_share",)  # judged on groups that a fit did not see
TTFT_LOOP_NAMES: Final = tuple(
    name for name in LOOP_BOUNDS if name not in (*TPOT_LOOP_NAMES, *CROSS_LOOP_NAMES)
)


def to_vector(values: dict[str, float], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Logarithms of the named values, float64[len(names)]."""
    return np.log([values[name] for name in names])


def get_log_bounds(names: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of the lower and upper bounds."""
    bounds = {**BOUNDS, **LOOP_BOUNDS}
    low, high = np.log([bounds[name] for name in names]).T
    return low, high


def get_start(names: tuple[str, ...]) -> NDArray[np.float64]:
    """Where the fit of these constants begins, float64[len(names)]."""
    return to_vector({**asdict(START), **asdict(LOOP_START)}, names)


def to_step(vector: NDArray[np.float64], names: tuple[str, ...]) -> StepConstants:
    """Step constants with those of the vector set."""
    values = {name: float(np.exp(v)) for name, v in zip(names, vector, strict=True)}
    step = {name: value for name, value in values.items() if name in BOUNDS}
    return StepConstants(**{**asdict(StepConstants()), **step})


def to_loop(
    vector: NDArray[np.float64], names: tuple[str, ...], base: LoopConstants
) -> LoopConstants:
    """Loop constants with those of the vector set."""
    values = {name: float(np.exp(v)) for name, v in zip(names, vector, strict=True)}
    loop = {name: value for name, value in values.items() if name in LOOP_BOUNDS}
    return LoopConstants(**{**asdict(base), **loop})


def list_at_bounds(step: StepConstants, loop: LoopConstants) -> tuple[str, ...]:
    """Constants that a fit pushed to a bound: each hints at a mechanism that is missing."""
    values = {**asdict(step), **asdict(loop)}
    return tuple(
        name
        for name, (low, high) in {**BOUNDS, **LOOP_BOUNDS}.items()
        if not low * 1.01 < values[name] < high / 1.01
    )
