"""What engines, GPU types and models have in common beyond the step-time model, shrunk to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import Group

MAX_LOG_EFFECT = 1.0
LEVELS = ("engine", "gpu", "model")
# Prior standard deviation of one level's effect over that of a group's own residual: the fewer
# groups share a level, the closer its effect stays to none.
PRIOR_RATIO = 0.3
_EMPTY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Effects:
    """log(measured / predicted) TPOT by engine, GPU type and model; what is not named has none."""

    engine: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    gpu: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    model: Mapping[str, float] = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        for level in LEVELS:
            for name, value in getattr(self, level).items():
                if not abs(value) <= MAX_LOG_EFFECT:
                    message = f"the effect of {level} {name} is {value}, beyond {MAX_LOG_EFFECT}"
                    raise ValueError(message)

    def get_factor(self, group: Group) -> float:
        """What multiplies a predicted TPOT of that group."""
        total = sum(getattr(self, level).get(getattr(group, level), 0.0) for level in LEVELS)
        return float(np.exp(total))


def fit_effects(
    groups: Sequence[Group], residuals: NDArray[np.float64], *, prior_ratio: float = PRIOR_RATIO
) -> Effects:
    """Effects of a ridge regression of each group's median residual, float64[len(groups)].

    Every group weighs the same; of what one group alone shows a tenth is kept, since measured
    against held-out groups more is worse.
    """
    if not groups:
        return Effects()
    columns = [
        (level, name)
        for level in LEVELS
        for name in sorted({getattr(group, level) for group in groups})
    ]
    design = np.array(
        [[float(getattr(group, level) == name) for level, name in columns] for group in groups]
    )
    penalty = np.eye(len(columns)) / prior_ratio**2
    values = np.linalg.solve(design.T @ design + penalty, design.T @ residuals)
    values = np.clip(values, -MAX_LOG_EFFECT, MAX_LOG_EFFECT)
    parts: dict[str, dict[str, float]] = {level: {} for level in LEVELS}
    for (level, name), value in zip(columns, values, strict=True):
        parts[level][name] = float(value)
    return Effects(**{level: MappingProxyType(part) for level, part in parts.items()})
