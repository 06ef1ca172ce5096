"""A generated conversation workload: real lengths, a slow wave of load, short bursts. Pure.

The lengths are quantile tables of `AzureLLMInferenceTrace_conv.csv` (Azure/AzurePublicDataset at
b469a113, licence CC-BY-4.0; 19,366 requests of a conversation service on 2023-11-16): the prompt's
own quantiles, and the output's quantiles in each tenth of the prompts, because in that trace
mid-sized prompts get the long answers. Drawn means agree within 0.5 %. The load is not that trace's
curve but has its statistics over 58 minutes: minute counts vary by 22 %, counts of 10 s by 27 %,
and gaps within a minute have a coefficient of variation of 1.03.
"""

from __future__ import annotations

import numpy as np

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.lengths import JointLengths
from optiinfra.twin.workload.rate import MAX_KNOTS, RateCurve
from optiinfra.twin.workload.stream import RequestStream

# fmt: off
CONVERSATION_LENGTHS = JointLengths(
    prompt_levels=np.array([*np.linspace(0.0, 0.975, 40), 0.99, 0.995, 0.999, 1.0]),
    prompt_tokens=np.array([
    2, 120, 181, 200, 207, 235, 372, 379, 387, 393, 396, 400, 403, 407, 414, 428, 703, 922, 984,
    1005, 1020, 1034, 1045, 1058, 1071, 1083, 1097, 1112, 1130, 1153, 1189, 1277, 1315, 1434, 1876,
    2309, 2734, 4075, 4083, 4092, 4142, 4831, 6179, 14050,
    ], np.float64),
    output_levels=np.array([
    0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 0.99, 1.0]),
    output_tokens=np.array([  # a row for each tenth of the prompts, the shortest first
    [11, 12, 67, 101, 122, 144, 161, 169, 182, 204, 217, 223, 295, 1000],
    [7, 14, 18, 53, 62, 69, 76, 82, 92, 110, 162, 217, 217, 436],
    [24, 59, 80, 86, 89, 92, 96, 100, 106, 114, 131, 147, 171, 200],
    [25, 57, 81, 87, 91, 95, 99, 103, 109, 121, 140, 159, 200, 739],
    [10, 42, 82, 104, 373, 389, 395, 401, 411, 423, 448, 534, 609, 921],
    [33, 84, 379, 391, 396, 399, 406, 414, 420, 431, 477, 564, 667, 1000],
    [28, 78, 377, 388, 396, 398, 407, 414, 426, 438, 500, 588, 662, 1000],
    [26, 45, 92, 157, 207, 383, 396, 401, 412, 424, 452, 547, 643, 992],
    [15, 36, 50, 63, 75, 85, 95, 108, 126, 149, 191, 243, 421, 918],
    [17, 27, 35, 41, 46, 51, 58, 68, 79, 100, 132, 164, 256, 757],
    ], np.float64),
)
# fmt: on
CONVERSATION_GAP_CV = 1.03  # of gaps within a minute
_BURST_S = 30.0  # memory of a burst
_KNOTS_A_WAVE = 60


def generate_conversation(
    *,
    seed: int,
    num_requests: int,
    rate_per_s: float,
    wave_ratio: float = 0.3,
    wave_period_s: float = 3600.0,
    burst_ratio: float = 0.1,
    gap_cv: float = CONVERSATION_GAP_CV,
) -> Trace:
    """A synthetic trace of `num_requests` over `num_requests / rate_per_s` seconds.

    `wave_ratio` is the swing of the slow wave and `burst_ratio` the spread of the bursts, as shares
    of the mean rate; gaps are gamma-distributed with `gap_cv` under that curve. The same arguments
    give the same trace.
    """
    is_usable = (
        num_requests >= 1
        and rate_per_s > 0
        and 0 <= wave_ratio < 1
        and 0 <= burst_ratio < 1
        and wave_period_s > 0
        and gap_cv > 0
    )
    if not is_usable:
        message = "counts, rates and periods are positive; ratios are in 0..1"
        raise ValueError(message)
    span_s = num_requests / rate_per_s
    load_note = (
        f"{rate_per_s:g} requests/s with a wave of ±{wave_ratio:.0%} over {wave_period_s:g} s "
        f"and bursts of ±{burst_ratio:.0%}"
    )
    stream = RequestStream(
        rate=_make_wave(rate_per_s, span_s, wave_ratio=wave_ratio, wave_period_s=wave_period_s),
        lengths=CONVERSATION_LENGTHS,
        seed=seed,
        source="generated conversation",
        bursts=Bursts(gap_cv, (_BURST_S,), (float(np.expm1(burst_ratio**2)),)),
        num_requests=num_requests,
        notes=("lengths after the Azure conversation trace of 2023-11-16 (CC-BY-4.0)", load_note),
    )
    return stream.to_trace()


def _make_wave(
    rate_per_s: float, span_s: float, *, wave_ratio: float, wave_period_s: float
) -> RateCurve:
    """A cosine around the mean, lowest at the start, so that a demo sees the rise and the fall."""
    num_knots = min(int(np.ceil(_KNOTS_A_WAVE * span_s / wave_period_s)) + 1, MAX_KNOTS)
    knot_s = np.linspace(0.0, span_s, max(num_knots, 2))
    wave = 1.0 - wave_ratio * np.cos(2 * np.pi * knot_s / wave_period_s)
    return RateCurve(knot_s, rate_per_s * wave, span_s)
