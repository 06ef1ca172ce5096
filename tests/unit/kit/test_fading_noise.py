"""Noise with a memory: its spread and its correlations."""

from __future__ import annotations

import numpy as np
import pytest

from optiinfra.kit.fading_noise import draw_fading_noise


def test_noise_fades_as_its_memory() -> None:
    noise = draw_fading_noise(np.random.default_rng(1), 0.9, 200_000)
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    for lag in (1, 5, 20):
        assert np.mean(noise[lag:] * noise[:-lag]) == pytest.approx(0.9**lag, abs=0.02)


def test_the_start_is_like_the_rest() -> None:
    starts = [draw_fading_noise(np.random.default_rng(k), 0.99, 3) for k in range(4_000)]
    assert np.std(starts, axis=0) == pytest.approx(1.0, abs=0.04)
    assert draw_fading_noise(np.random.default_rng(1), 0.5, 1).size == 1
