"""The curve that any model must beat: through the two anchors, with no model at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiinfra.twin.performance.anchors import Prediction, find_anchors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

TPOT_EXPONENT = 0.8
TTFT_EXPONENT = 1.0


def predict_model_free(table: PointTable) -> Prediction:
    """TPOT linear in concurrency^0.8 and TTFT in concurrency, both through the two anchors."""
    return Prediction(
        tpot_s=_interpolate(table, table.tpot_s, TPOT_EXPONENT),
        ttft_s=_interpolate(table, table.ttft_s, TTFT_EXPONENT),
    )


def _interpolate(
    table: PointTable, values: NDArray[np.float64], exponent: float
) -> NDArray[np.float64]:
    anchors = find_anchors(table, 2)
    low, high = anchors.low, anchors.high
    axis = table.concurrency**exponent
    span = axis[high] - axis[low]
    weight = (axis - axis[low]) / (span + (span == 0))
    result: NDArray[np.float64] = values[low] + weight * (values[high] - values[low])
    result[~anchors.is_scored] = float("nan")
    return result
