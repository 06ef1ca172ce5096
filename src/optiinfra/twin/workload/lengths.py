"""Prompt and output lengths that belong together, as quantiles. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_TABLE_SIZE = 2**16
_PROMPT_LEVELS = np.array([*np.linspace(0.0, 0.995, 200), 0.998, 0.999, 0.9995, 1.0])
_OUTPUT_LEVELS = np.array([0.0, 0.02, *np.linspace(0.05, 0.95, 19), 0.98, 0.99, 1.0])
_FEW_IN_CLASS = 200
_MAX_CLASSES = 20
_GOLDEN = (5**0.5 - 1) / 2  # its multiples fill 0..1 evenly, whatever their number


@dataclass(frozen=True)
class JointLengths:
    """Quantiles of prompts, and of outputs within each of equally filled classes of prompts.

    prompt_levels float64[p] and prompt_tokens float64[p]: the quantile function, straight between
    levels, from level 0 to level 1. output_levels float64[q]; output_tokens float64[c, q]: row i is
    the quantile function of the outputs of the i-th of c classes of prompts, shortest first.
    """

    prompt_levels: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    output_levels: NDArray[np.float64]
    output_tokens: NDArray[np.float64]

    def __post_init__(self) -> None:
        rows = np.atleast_2d(self.output_tokens)
        for levels, tokens in (
            (self.prompt_levels, self.prompt_tokens[None, :]),
            (self.output_levels, rows),
        ):
            if levels.ndim != 1 or tokens.shape[1:] != levels.shape:
                message = "there is a length for each level"
                raise ValueError(message)
            if levels[0] != 0 or levels[-1] != 1 or not np.all(np.diff(levels) > 0):
                message = "levels rise from 0 to 1"
                raise ValueError(message)
            if not np.all(np.isfinite(tokens) & (tokens >= 1)) or np.any(np.diff(tokens) < 0):
                message = "quantiles of lengths are at least 1 token and do not fall"
                raise ValueError(message)

    @cached_property
    def table(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """65,536 equally likely pairs of prompt and output tokens, int32 each.

        The levels are spread evenly, not drawn: means and quantiles are those of the fit, and a
        request costs one draw of 16 bits.
        """
        rank = np.arange(_TABLE_SIZE, dtype=np.float64)
        return self.compute_tokens((rank + 0.5) / _TABLE_SIZE, (rank * _GOLDEN) % 1.0)

    def compute_tokens(
        self, prompt_level: NDArray[np.float64], output_level: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Prompt and output tokens at levels in 0..1, below 1, of the one and then of the other."""
        prompts = np.interp(prompt_level, self.prompt_levels, self.prompt_tokens)
        row = (prompt_level * len(self.output_tokens)).astype(np.int64)
        left = np.searchsorted(self.output_levels, output_level, side="right") - 1
        weight = (output_level - self.output_levels[left]) / np.diff(self.output_levels)[left]
        outputs = (
            self.output_tokens[row, left] * (1 - weight)
            + self.output_tokens[row, left + 1] * weight
        )
        return np.rint(prompts).astype(np.int32), np.rint(outputs).astype(np.int32)


def fit_lengths(prompts: NDArray[np.int32], outputs: NDArray[np.int32]) -> JointLengths:
    """The joint quantiles of measured lengths: as many classes of prompts as have 200 requests."""
    order = np.argsort(prompts, kind="stable")
    num_classes = min(max(prompts.size // _FEW_IN_CLASS, 1), _MAX_CLASSES)
    rows = [
        np.quantile(part, _OUTPUT_LEVELS) for part in np.array_split(outputs[order], num_classes)
    ]
    return JointLengths(
        prompt_levels=_PROMPT_LEVELS,
        prompt_tokens=np.quantile(prompts, _PROMPT_LEVELS),
        output_levels=_OUTPUT_LEVELS,
        output_tokens=np.array(rows),
    )
