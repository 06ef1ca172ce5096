"""The fluid tier: a deployment minute by minute, for search; the request tier confirms it.

Replicas live as they do in the request tier (cold starts, draining, billing from launch, the same
scalers asked at the same instants), but requests are a fluid: as many are in the system as came and
were not completed, spread evenly over the ready replicas; what these complete and attain follows
the pool's curve by how many each holds (`service_curve`, `flow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.errors import InputError
from optiinfra.twin.fleet.flow import MET, NUM_FLOW, PRESENT, flow
from optiinfra.twin.fleet.lives import SECONDS_PER_HOUR
from optiinfra.twin.fleet.scaling import DeploymentView, PoolView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.fleet.pools import Pool
    from optiinfra.twin.fleet.scaling import Scaler
    from optiinfra.twin.fleet.service_curve import ServiceCurve

MAX_EPOCHS = 1_000_000


@dataclass(frozen=True)
class FluidAnswer:
    """Totals of the fluid tier; ready replicas and requests in the system, float64[epochs]."""

    gpu_hours: float
    slo_attainment_ratio: float
    num_requests: float
    num_launched: int
    num_ready: NDArray[np.float64]
    num_present: NDArray[np.float64]
    is_unstable: bool  # at the end more came than is completed, and replicas were full


@dataclass(slots=True)
class _State:
    num_ready: int
    starting: list[float]  # when each will be ready
    fluid: NDArray[np.float64]  # see `flow`
    billed_s: float = 0.0
    num_launched: int = 0


def simulate_fluid(
    num_arrivals: NDArray[np.float64],
    pool: Pool,
    curve: ServiceCurve,
    scaler: Scaler,
    *,
    epoch_s: float = 60.0,
    tokens_a_request: float = 0.0,
) -> FluidAnswer:
    """Serve so many arrivals an epoch, float64[epochs], with one pool under a scaler.

    Raises InputError for arrivals that are negative or not numbers, or more than a million epochs.
    """
    _check(num_arrivals, epoch_s)
    scaler = scaler.start()
    state = _State(pool.num_initial, [], np.zeros(NUM_FLOW), num_launched=pool.num_initial)
    ready = np.zeros(num_arrivals.size)
    present = np.zeros(num_arrivals.size)
    rate_per_s = 0.0
    for index, count in enumerate(num_arrivals.tolist()):
        rate_per_s, start_s, end_s = count / epoch_s, index * epoch_s, (index + 1) * epoch_s
        _serve(state, curve, rate_per_s, (start_s, end_s))
        ready[index], present[index] = state.num_ready, state.fluid[PRESENT]
        view = _view(
            state, pool, curve,
            rate_per_s=rate_per_s, at_s=end_s, epoch_s=epoch_s, tokens_a_request=tokens_a_request,
        )  # fmt: skip
        wanted = scaler.decide(view).get(pool.name, state.num_ready + len(state.starting))
        _scale(state, pool, curve, min(max(wanted, 0), pool.max_replicas), at_s=end_s)
    total = float(num_arrivals.sum())
    left = float(state.fluid[PRESENT])
    crowd = left / state.num_ready if state.num_ready else left
    attained = float(np.interp(crowd, curve.num_present, curve.slo_attainment_ratio))
    met = float(state.fluid[MET]) + (left * attained if state.num_ready else 0.0)
    return FluidAnswer(
        gpu_hours=state.billed_s * pool.arguments.num_gpus / SECONDS_PER_HOUR,
        slo_attainment_ratio=min(met / total, 1.0) if total else 1.0,
        num_requests=total,
        num_launched=state.num_launched,
        num_ready=ready,
        num_present=present,
        is_unstable=rate_per_s > curve.capacity_per_s * state.num_ready and left > 1.0,
    )


def _check(num_arrivals: NDArray[np.float64], epoch_s: float) -> None:
    is_fine = num_arrivals.size and np.all(np.isfinite(num_arrivals)) and num_arrivals.min() >= 0
    if not is_fine or num_arrivals.size > MAX_EPOCHS or not 0 < epoch_s < float("inf"):
        raise InputError(
            f"{num_arrivals.size} epochs of {epoch_s} s cannot be served.",
            remedy=f"Give 1 to {MAX_EPOCHS:,} counts of arrivals, none negative or unknown.",
            field="num_arrivals",
        )


def _serve(
    state: _State, curve: ServiceCurve, rate_per_s: float, span: tuple[float, float]
) -> None:
    """One epoch from one instant to another, cut where replicas become ready."""
    at_s, end_s = span
    while at_s < end_s:
        state.starting.sort()
        while state.starting and state.starting[0] <= at_s:
            state.starting.pop(0)
            state.num_ready += 1
        until_s = min(end_s, state.starting[0]) if state.starting else end_s
        state.billed_s += (until_s - at_s) * (state.num_ready + len(state.starting))
        flow(
            state.fluid, curve.num_present, curve.completions_per_s, curve.slo_attainment_ratio,
            state.num_ready, rate_per_s, until_s - at_s,
        )  # fmt: skip
        at_s = until_s
    while state.starting and state.starting[0] <= end_s:
        state.starting.pop(0)
        state.num_ready += 1


def _view(
    state: _State,
    pool: Pool,
    curve: ServiceCurve,
    *,
    rate_per_s: float,
    at_s: float,
    epoch_s: float,
    tokens_a_request: float,
) -> DeploymentView:
    present = float(state.fluid[PRESENT])
    room = pool.arguments.max_num_seqs * state.num_ready
    usage = rate_per_s / (curve.capacity_per_s * state.num_ready) if state.num_ready else 0.0
    return DeploymentView(
        at_s=at_s,
        epoch_s=epoch_s,
        num_arrivals=round(rate_per_s * epoch_s),
        num_tokens=round(rate_per_s * epoch_s * tokens_a_request),
        num_held=0 if state.num_ready else round(present),
        pools=(
            PoolView(
                name=pool.name,
                num_ready=state.num_ready,
                num_starting=len(state.starting),
                num_draining=0,
                num_running=round(min(present, room)),
                num_waiting=round(max(present - room, 0.0)) if state.num_ready else 0,
                kv_cache_usage_ratio=min(usage, 1.0),
                max_replicas=pool.max_replicas,
            ),
        ),
    )


def _scale(state: _State, pool: Pool, curve: ServiceCurve, wanted: int, *, at_s: float) -> None:
    """Launch, or give up what starts and then drain, to the count wanted."""
    present = state.num_ready + len(state.starting)
    for _ in range(wanted - present):
        state.starting.append(at_s + pool.cold_start_s)
        state.num_launched += 1
    for _ in range(present - wanted):
        if state.starting:
            state.starting.pop()
            continue
        crowd = float(state.fluid[PRESENT]) / max(state.num_ready, 1)
        state.num_ready -= 1
        state.billed_s += curve.compute_drain_s(crowd)
