"""How far predictions without an anchor err, by engine and GPU generation.

Groups differ in it: those on GPUs with FP4 units, the newest generation, err about twice as far as
the others. What few groups say is drawn to the spread that all have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_LOG_SPREAD = 1.5
# Prior standard deviation of one effect over that of a group's own log spread.
PRIOR_RATIO = 0.5
SPREAD_QUANTILE = 0.9  # of a group's absolute residuals, which is its spread
UNITS = ("with_fp4", "without_fp4")
_EMPTY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Spread:
    """Log of a kind's spread over the common one; what is not named has the common one."""

    engine: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    units: Mapping[str, float] = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        for name, value in {**self.engine, **self.units}.items():
            if not abs(value) <= MAX_LOG_SPREAD:
                message = f"the log spread of {name} is {value}, beyond {MAX_LOG_SPREAD}"
                raise ValueError(message)
        if not set(self.units) <= set(UNITS):
            message = f"units are {' or '.join(UNITS)}, not {', '.join(sorted(self.units))}"
            raise ValueError(message)

    def get_factor(self, engine: str, *, has_fp4: bool) -> float:
        """What an interval's log bounds are multiplied with."""
        unit = UNITS[0] if has_fp4 else UNITS[1]
        return float(np.exp(self.engine.get(engine, 0.0) + self.units.get(unit, 0.0)))


def fit_spread(
    engines: Sequence[str], has_fp4: Sequence[bool], spreads: NDArray[np.float64]
) -> Spread:
    """Effects of a ridge regression of each group's log spread, every group weighing the same.

    `spreads` float64[groups] are the groups' own, all positive.
    """
    names = sorted(set(engines))
    design = np.array(
        [
            [*(float(engine == name) for name in names), float(fp4)]
            for engine, fp4 in zip(engines, has_fp4, strict=True)
        ]
    )
    mean = design.mean(axis=0)
    logs = np.log(spreads)
    centred = design - mean
    penalty = np.eye(mean.size) / PRIOR_RATIO**2
    effects = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (logs - logs.mean()))
    effects = np.clip(effects, -MAX_LOG_SPREAD / 2, MAX_LOG_SPREAD / 2)
    common = float(mean[:-1] @ effects[:-1])
    fp4 = float(effects[-1])
    engine = {name: float(v) - common for name, v in zip(names, effects, strict=False)}
    units = {UNITS[0]: fp4 * (1.0 - mean[-1]), UNITS[1]: -fp4 * mean[-1]}
    return Spread(
        engine=MappingProxyType(engine),
        units=MappingProxyType({name: float(value) for name, value in units.items()}),
    )
