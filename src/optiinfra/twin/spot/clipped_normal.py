"""On and off as a normal variable above or below a threshold, and back (Emrich and Piedmonte 1991).

Two zones are up together as often as two normal variables with some correlation are both below
their thresholds. That correlation, not the one of the ones and zeros, can be split into shares and
summed, so paths are made of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_CORRELATIONS = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 1025))[1:-1]


def find_threshold(probability: float) -> float:
    """The value below which a standard normal variable lies that often."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def compute_joint_probability(
    low: float, high: float, correlation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(X < low and Y < high) of standard normal X and Y, float64[n] for n correlations in -1..1.

    The derivative by the correlation is the density at the thresholds (Plackett 1954); it is
    integrated over the arc sine of the correlation by Gauss and Legendre.
    """
    from scipy.special import ndtr

    angle = np.arcsin(correlation)[:, None]
    at = angle * (_NODES + 1) / 2
    density = np.exp(-(low**2 + high**2 - 2 * low * high * np.sin(at)) / (2 * np.cos(at) ** 2))
    # summed by numpy, not by BLAS, whose order of adding depends on the number of cores
    integral = (density * _WEIGHTS).sum(axis=1) * angle[:, 0] / 2
    return np.asarray(ndtr(low) * ndtr(high) + integral / (2 * np.pi), np.float64)


def find_correlation(low: float, high: float, joint_probability: float) -> float:
    """The correlation of the normal variables for which both are below that often."""
    probabilities = compute_joint_probability(low, high, _CORRELATIONS)
    return float(np.interp(joint_probability, probabilities, _CORRELATIONS))
