"""A measured run replayed: its requests, at their instants, through the simulator.

Built-in constants predict it unseen. Or the first requests of the run are its calibration: five
scales on the step's parts, each within the bounds of an online correction, fitted to what those
requests met and drawn to 1; the rest is then a prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import least_squares

from optiinfra.twin.replicas import simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.measurement import MeasuredRequests
    from optiinfra.twin.memory import MemoryPlan
    from optiinfra.twin.step_time import StepTimeModel

MAX_SCALE: Final = 2.0  # and its inverse, as for any online correction
DRAW: Final = 0.15  # weight of a scale's distance from 1 beside one mean log error
UNQUEUED_S: Final = 0.1  # requests that waited less are scored for TTFT
TTFT_RATIO: Final = 0.15
TTFT_S: Final = 0.05
SCALES: Final = ("overhead", "reading", "attention", "compute", "communication")


@dataclass(frozen=True)
class Replay:
    """What each request met, float64[n] seconds; TPOT NaN for one token."""

    queue_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReplayScore:
    """Errors of a replay over the scored requests.

    Errors are predicted over measured, less 1. Those of TTFT are over the requests queued under
    0.1 s: `ttft_within_ratio` is the share of them within the larger of 15 % and 50 ms,
    `service_within_ratio` leaves the queue's error out. The error of one request holds the phase of
    the step in which it arrived, up to a whole step; that of the mean does not.
    """

    num_requests: int
    e2e_mape: float
    e2e_mean_error: float
    tpot_mean_error: float
    tpot_mape: float
    queue_mean_measured_s: float
    queue_mean_predicted_s: float
    num_unqueued: int
    ttft_mean_error: float | None
    ttft_mean_absolute_error_s: float | None
    ttft_within_ratio: float | None
    service_within_ratio: float | None
    ttft_median_error: float | None


def replay(
    requests: MeasuredRequests, model: StepTimeModel, plan: MemoryPlan, arguments: EngineArguments
) -> Replay:
    """The run simulated on one replica. Raises DoesNotFitError."""
    trace = requests.trace
    result = simulate(trace, model, plan, arguments, num_replicas=1)
    gaps = np.maximum(trace.output_tokens - 1, 1)
    decode_s = (result.finished_s - result.first_token_s) / gaps
    return Replay(
        queue_s=result.first_scheduled_s - trace.arrival_s,
        ttft_s=result.first_token_s - trace.arrival_s,
        tpot_s=np.where(trace.output_tokens > 1, decode_s, np.nan),
        e2e_s=result.finished_s - trace.arrival_s,
    )


def score_replay(
    requests: MeasuredRequests, predicted: Replay, is_scored: NDArray[np.bool_]
) -> ReplayScore:
    """Errors over the requests of `is_scored` bool[n]. Raises ValueError where there is none."""
    if not is_scored.any():
        message = "there are no requests to score"
        raise ValueError(message)
    e2e_s, tpot_s = requests.e2e_s[is_scored], requests.tpot_s[is_scored]
    own_e2e_s, own_tpot_s = predicted.e2e_s[is_scored], predicted.tpot_s[is_scored]
    is_unqueued = is_scored & (requests.queue_s < UNQUEUED_S)
    within = service_within = median = mean = absolute_s = None
    if is_unqueued.any():
        measured_s = requests.ttft_s[is_unqueued]
        allowed_s = np.maximum(TTFT_RATIO * measured_s, TTFT_S)
        error_s = predicted.ttft_s[is_unqueued] - measured_s
        queue_error_s = predicted.queue_s[is_unqueued] - requests.queue_s[is_unqueued]
        within = float((np.abs(error_s) <= allowed_s).mean())
        service_within = float((np.abs(error_s - queue_error_s) <= allowed_s).mean())
        median = float(np.median(np.abs(error_s) / measured_s))
        mean = float(error_s.mean() / measured_s.mean())
        absolute_s = float(np.abs(error_s).mean())
    return ReplayScore(
        num_requests=int(is_scored.sum()),
        e2e_mape=float(np.abs(own_e2e_s / e2e_s - 1).mean()),
        e2e_mean_error=float(own_e2e_s.mean() / e2e_s.mean() - 1),
        tpot_mean_error=float(np.nanmean(own_tpot_s) / np.nanmean(tpot_s) - 1),
        tpot_mape=float(np.nanmean(np.abs(own_tpot_s / tpot_s - 1))),
        queue_mean_measured_s=float(requests.queue_s[is_scored].mean()),
        queue_mean_predicted_s=float(predicted.queue_s[is_scored].mean()),
        num_unqueued=int(is_unqueued.sum()),
        ttft_mean_error=mean,
        ttft_mean_absolute_error_s=absolute_s,
        ttft_within_ratio=within,
        service_within_ratio=service_within,
        ttft_median_error=median,
    )


def scale_parts(model: StepTimeModel, scales: NDArray[np.float64]) -> StepTimeModel:
    """The model with its parts multiplied by scales float64[5], in the order of SCALES."""
    overhead, reading, attention, compute, communication = (float(s) for s in scales)
    return replace(
        model,
        fixed_s=model.fixed_s * overhead,
        per_sequence_s=model.per_sequence_s * overhead,
        prefill_step_s=model.prefill_step_s * overhead,
        dense_weights_s=model.dense_weights_s * reading,
        routed_weights_s=model.routed_weights_s * reading,
        per_context_token_s=model.per_context_token_s * attention,
        per_token_s=model.per_token_s * compute,
        per_logit_s=model.per_logit_s * compute,
        per_expert_token_s=model.per_expert_token_s * compute,
        per_attention_pair_s=model.per_attention_pair_s * compute,
        communication_fixed_s=model.communication_fixed_s * communication,
        communication_per_token_s=model.communication_per_token_s * communication,
    )


def calibrate_replay(
    requests: MeasuredRequests,
    model: StepTimeModel,
    plan: MemoryPlan,
    arguments: EngineArguments,
    *,
    num_requests: int,
) -> tuple[StepTimeModel, dict[str, float]]:
    """The model fitted to the first `num_requests` requests, and its scales by name.

    The trace (instants and lengths) is known as a whole; of what was measured only these requests'
    TPOT, service to the first token and end-to-end time are looked at.
    """
    is_used = np.arange(requests.trace.num_requests) < num_requests
    has_tpot = is_used & (requests.trace.output_tokens > 1)
    limit = np.log(MAX_SCALE)

    def compute_residuals(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        predicted = replay(requests, scale_parts(model, np.exp(vector)), plan, arguments)
        tpot = np.log(predicted.tpot_s / requests.tpot_s)[has_tpot]
        service = np.log(
            np.maximum(predicted.ttft_s - predicted.queue_s, 1e-6)
            / np.maximum(requests.ttft_s - requests.queue_s, 1e-6)
        )[is_used]
        end = np.log(predicted.e2e_s / requests.e2e_s)[is_used]
        return np.concatenate(
            [
                tpot / np.sqrt(tpot.size),
                0.3 * np.clip(service, -1.0, 1.0) / np.sqrt(service.size),
                end / np.sqrt(end.size),
                DRAW * vector,
            ]
        )

    result = least_squares(
        compute_residuals,
        np.zeros(len(SCALES)),
        bounds=(-limit, limit),
        diff_step=0.05,  # a step less is often no other schedule
        x_scale=0.2,
        max_nfev=25,
    )
    scales = np.exp(result.x)
    named = {name: float(value) for name, value in zip(SCALES, scales, strict=True)}
    return scale_parts(model, scales), named
