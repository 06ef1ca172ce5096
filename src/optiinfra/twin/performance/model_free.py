"""The curve that any model must beat: through the two anchors, with no model at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiinfra.twin.performance.anchor_points import Anchors, Prediction, find_anchors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

TPOT_EXPONENT = 0.8
TTFT_EXPONENT = 1.0


def predict_model_free(table: PointTable) -> Prediction:
    """TPOT linear in concurrency^0.8 and TTFT in concurrency, both through the two anchors."""
    anchors = find_anchors(table, 2)
    tpot_s = draw_curve(table, table.tpot_s, anchors, exponent=TPOT_EXPONENT)
    ttft_s = draw_curve(table, table.ttft_s, anchors, exponent=TTFT_EXPONENT)
    tpot_s[~anchors.is_scored] = float("nan")
    ttft_s[~anchors.is_scored] = float("nan")
    return Prediction(tpot_s=tpot_s, ttft_s=ttft_s)


def draw_curve(
    table: PointTable, values: NDArray[np.float64], anchors: Anchors, *, exponent: float
) -> NDArray[np.float64]:
    """Values linear in concurrency^exponent through both anchors of each curve, float64[n]."""
    low, high = anchors.low, anchors.high
    axis = table.concurrency**exponent
    span = axis[high] - axis[low]
    weight = (axis - axis[low]) / (span + (span == 0))
    drawn: NDArray[np.float64] = values[low] + weight * (values[high] - values[low])
    return drawn
