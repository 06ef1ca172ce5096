"""The Azure week of May 2024, reconstructed from a plot of its first four days. Pure.

Microsoft published a week of two services (Azure/AzurePublicDataset, `AzureLLMInferenceTrace_conv`
and `_code`, 10 May 2024 and after, CC-BY-4.0; Stojkovic et al., HPCA 2025). What is here starts
from points read off the plots of requests per minute: one each 7.2 minutes for the first four days,
with the lowest and the highest minute in each. **It is a reconstruction, not the trace**:

- The rate at a point is the middle between its lowest and highest minute, straight between points.
- The first day is a Friday (10 May 2024; the code service is idle on the second and third day), so
  Tuesday, Wednesday and Thursday are missing. They repeat the Monday, times one factor for both
  services that makes the week's total the published 44.1 million requests.
- Within the minutes of a point the rate wavers: noise with a memory of 60 s, of the variance that
  the distances of lowest and highest minute have on average, Poisson spread taken out. The width of
  the plotted line is in those distances, so the noise is rather too large.
- Bursts shorter than a minute were not plotted. Gaps vary as within a minute of Azure's
  conversation trace of 2023-11-16 (`CONVERSATION_GAP_CV`).
- Lengths are those of that conversation trace for both services, because here no others are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.provenance import Provenance
from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.conversation import CONVERSATION_GAP_CV, CONVERSATION_LENGTHS
from optiinfra.twin.workload.fit import WorkloadFit
from optiinfra.twin.workload.rate import RateCurve

SECONDS_A_DAY = 86_400.0
NUM_DAYS_MEASURED = 4
NUM_DAYS = 7
NUM_REQUESTS_PUBLISHED = 44_100_000
LABEL = "reconstructed Azure week of May 2024"
_MINUTE_S = 60.0
_NOISE_SCALE_S = 60.0
# Mean range of n = 7 normal values over their standard deviation (Tippett 1925), the 7 minutes of a
# point; the range of correlated values is that much larger than their spread around their mean too.
_RANGE_OF_SEVEN = 2.704


@dataclass(frozen=True)
class PlottedRate:
    """A service's requests per second as read off a plot, one entry a point, float64[n] each.

    `at_s` is the middle of the point in seconds of the week; `lowest_per_s` and `highest_per_s` are
    the rates of the lowest and the highest minute in it.
    """

    at_s: NDArray[np.float64]
    lowest_per_s: NDArray[np.float64]
    highest_per_s: NDArray[np.float64]

    @property
    def middle_per_s(self) -> NDArray[np.float64]:
        """Halfway between lowest and highest."""
        return (self.lowest_per_s + self.highest_per_s) / 2


def reconstruct_azure_week(
    services: Mapping[str, PlottedRate], *, num_requests: float | None = NUM_REQUESTS_PUBLISHED
) -> WorkloadFit:
    """Seven days from Friday 0:00 on, from the points of four; the rule is this module's docstring.

    `num_requests` is the total that the missing days are scaled to; None leaves them like Monday,
    which is what a part of the services needs.

    Raises ValueError where the measured days alone already hold more.
    """
    plots = list(services.values())
    at_s = plots[0].at_s
    if any(not np.array_equal(plot.at_s, at_s) for plot in plots):
        message = "the services have the same points"
        raise ValueError(message)
    middle_per_s = np.sum([plot.middle_per_s for plot in plots], axis=0)
    is_monday = at_s >= (NUM_DAYS_MEASURED - 1) * SECONDS_A_DAY
    measured, monday = (
        _count_requests(at_s, middle_per_s, first_day, NUM_DAYS_MEASURED)
        for first_day in (0, NUM_DAYS_MEASURED - 1)
    )
    num_missing = NUM_DAYS - NUM_DAYS_MEASURED
    factor = 1.0 if num_requests is None else (num_requests - measured) / (num_missing * monday)
    if factor <= 0:
        message = f"the measured days alone hold {measured:.0f} requests, of {num_requests} in all"
        raise ValueError(message)
    days = range(1, num_missing + 1)
    rate = RateCurve(
        np.concatenate((at_s, *(at_s[is_monday] + day * SECONDS_A_DAY for day in days))),
        np.concatenate((middle_per_s, *(middle_per_s[is_monday] * factor for _ in days))),
        NUM_DAYS * SECONDS_A_DAY,
    )
    return WorkloadFit(
        rate=rate,
        bursts=Bursts(CONVERSATION_GAP_CV, (_NOISE_SCALE_S,), (_compute_variance(plots),)),
        lengths=CONVERSATION_LENGTHS,
        prefixes=None,
        provenance=Provenance(
            source=LABEL,
            digest=_compute_digest(services),
            num_rows=at_s.size,
            span_s=NUM_DAYS_MEASURED * SECONDS_A_DAY,
            is_synthetic=True,
            notes=(
                f"{LABEL} of {' and '.join(services)}: rates read off plots of Friday to Monday",
                f"{LABEL}: Tuesday to Thursday repeat Monday times {factor:.3f}",
                "lengths after the Azure conversation trace of 2023-11-16 (CC-BY-4.0)",
            ),
        ),
    )


def _compute_digest(services: Mapping[str, PlottedRate]) -> str:
    sha = hashlib.sha256(f"optiinfra-plotted-week-1 {tuple(services)}".encode())
    for plot in services.values():
        for column in (plot.at_s, plot.lowest_per_s, plot.highest_per_s):
            sha.update(np.ascontiguousarray(column).tobytes())
    return sha.hexdigest()


def _count_requests(
    at_s: NDArray[np.float64], rate_per_s: NDArray[np.float64], first_day: int, last_day: int
) -> float:
    """Requests from the start of one measured day to the end of the day before another."""
    start_s, end_s = first_day * SECONDS_A_DAY, last_day * SECONDS_A_DAY
    inside = at_s[(at_s > start_s) & (at_s < end_s)]
    knots = np.concatenate(([start_s], inside, [end_s]))
    return float(np.trapezoid(np.interp(knots, at_s, rate_per_s), knots))


def _compute_variance(plots: list[PlottedRate]) -> float:
    """Variance of the noise, as a share of the squared rate, that gives the plotted ranges.

    A service's seven minute counts spread by s = range / 2.704. The Poisson part has s² = mean; the
    rest is noise, whose minute means keep `within` of its variance around the mean of seven.
    Several services waver independently, so their absolute variances add.
    """
    within = _compute_variance_within_seven(_MINUTE_S / _NOISE_SCALE_S)
    absolute = 0.0
    for plot in plots:
        spread_per_s = (plot.highest_per_s - plot.lowest_per_s) / _RANGE_OF_SEVEN
        excess = spread_per_s**2 - plot.middle_per_s / _MINUTE_S
        absolute += max(float(np.mean(excess)), 0.0) / within
    middle_per_s = np.sum([plot.middle_per_s for plot in plots], axis=0)
    return absolute / float(np.mean(middle_per_s**2))


def _compute_variance_within_seven(x: float) -> float:
    """Mean sample variance of 7 successive window means of unit noise, `x` scales a window long."""
    own = 2 * (x - 1 + np.exp(-x)) / x**2
    lags = np.arange(1, 7)
    shared = ((1 - np.exp(-x)) / x) ** 2 * np.exp(-(lags - 1) * x)
    return float(own - (2 * (7 - lags) * shared).sum() / (7 * 6))
