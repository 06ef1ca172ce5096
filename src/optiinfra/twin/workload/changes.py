"""What can be changed about a workload on purpose, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class LoadBurst:
    """From `at_s` on, for `lasts_s` seconds, `factor` times the requests; below 1 it is a lull."""

    at_s: float
    lasts_s: float
    factor: float

    def __post_init__(self) -> None:
        _check_seconds(self.at_s)
        _check_seconds(self.lasts_s, is_zero_allowed=False)
        check_factor(self.factor, is_zero_allowed=True)

    @property
    def ends_at_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def describe(self) -> str:
        """One line for the notes of what was changed."""
        factor, kind = f"{self.factor:g}", "burst" if self.factor > 1 else "lull"
        return f"{kind}: {factor} times the requests for {self.lasts_s:g} s at {self.at_s:g} s"


@dataclass(frozen=True, slots=True)
class RegimeChange:
    """From `at_s` on, for good: another rate, and other prompt and output lengths."""

    at_s: float
    rate_factor: float = 1.0
    prompt_factor: float = 1.0
    output_factor: float = 1.0

    def __post_init__(self) -> None:
        _check_seconds(self.at_s)
        for factor in (self.rate_factor, self.prompt_factor, self.output_factor):
            check_factor(factor)

    def describe(self) -> str:
        """One line for the notes of what was changed."""
        return (
            f"regime from {self.at_s:g} s on: rate times {self.rate_factor:g}, prompts times "
            f"{self.prompt_factor:g}, outputs times {self.output_factor:g}"
        )


@dataclass(frozen=True)
class TimeWarp:
    """Where each instant goes: from `from_s[k]` to `to_s[k]`, straight between; both rise from 0.

    Beyond the last pair time passes as before.
    """

    from_s: NDArray[np.float64]
    to_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        for instants in (self.from_s, self.to_s):
            is_rising = instants.size > 0 and instants[0] == 0 and np.all(np.diff(instants) > 0)
            if not (is_rising and np.all(np.isfinite(instants))):
                message = "the instants of a warp are finite and rise from 0 s"
                raise ValueError(message)
        if self.from_s.shape != self.to_s.shape:
            message = "a warp has an instant to for every instant from"
            raise ValueError(message)

    def describe(self) -> str:
        """One line for the notes of what was changed."""
        pairs = zip(self.from_s.tolist(), self.to_s.tolist(), strict=True)
        return f"time warped: {', '.join(f'{a:g} s to {b:g} s' for a, b in pairs)}"

    def move(self, at_s: ArrayLike) -> NDArray[np.float64]:
        """Where some instants go."""
        at = np.asarray(at_s, np.float64)
        beyond = np.maximum(at - self.from_s[-1], 0.0)
        return np.asarray(np.interp(at, self.from_s, self.to_s) + beyond, np.float64)


def check_factor(factor: float, *, is_zero_allowed: bool = False) -> None:
    """Raise ValueError where nothing can be scaled by this."""
    if not (np.isfinite(factor) and (factor > 0 or (factor == 0 and is_zero_allowed))):
        message = f"a scale factor is positive, not {factor}"
        raise ValueError(message)


def _check_seconds(seconds: float, *, is_zero_allowed: bool = True) -> None:
    if not (np.isfinite(seconds) and (seconds > 0 or (seconds == 0 and is_zero_allowed))):
        message = f"a time in the workload is a positive number of seconds, not {seconds}"
        raise ValueError(message)
