"""What a pool serves by how many requests one replica holds, measured request by request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.trace import RequestChunk, Trace
from optiinfra.twin.fleet.pools import SimulatedDeployment
from optiinfra.twin.fleet.scaling import FixedScaler
from optiinfra.twin.fleet.simulate import simulate_fleet
from optiinfra.twin.replicas import simulate_clients
from optiinfra.twin.service import compute_attainment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from optiinfra.domain.fleet import SLOTarget
    from optiinfra.twin.fleet.pools import Pool

SHARES = (
    *(0.02, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0),
    *(1.025, 1.05, 1.075, 1.1, 1.125, 1.15, 1.175, 1.2, 1.25, 1.3),
)
NUM_REPLICAS = 8  # enough that routing among them is what it is among more
RAMP_SHARE = 0.25  # of the requests, in which the replicas fill and which are not judged
STEADY_SHARE = 0.97  # of the arrivals are completed as they come: the rate is borne
CROWDS = (1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)  # times the last that is borne


@dataclass(frozen=True)
class ServiceCurve:
    """Completions, attainment and draining by requests in one replica, running or waiting.

    num_present float64[k], rising from 0; completions_per_s float64[k], never falling;
    slo_attainment_ratio float64[k]; drain_s float64[k]: how long a replica that gets no more
    requests takes to end its last one. Beyond the last point more only wait longer.
    """

    num_present: NDArray[np.float64]
    completions_per_s: NDArray[np.float64]
    slo_attainment_ratio: NDArray[np.float64]
    drain_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        if (
            self.num_present.size < 2  # noqa: PLR2004
            or self.num_present[0] != 0
            or np.any(np.diff(self.num_present) <= 0)
            or np.any(np.diff(self.completions_per_s) < 0)
            or self.completions_per_s[1] <= 0
        ):
            message = "a service curve rises from no request on"
            raise ValueError(message)

    @property
    def capacity_per_s(self) -> float:
        """The most that one replica completes."""
        return float(self.completions_per_s[-1])

    def compute_drain_s(self, num_present: float) -> float:
        """How long a replica with so many requests drains."""
        return float(np.interp(num_present, self.num_present, self.drain_s))


def measure_service_curve(
    pool: Pool, slo: SLOTarget, trace: Trace, *, sustainable_per_s: float, seed: int = 0
) -> ServiceCurve:
    """The curve of a pool for requests as long as the trace's.

    Up to the rate that is just borne: Poisson arrivals over eight replicas behind a power-of-two
    router, at shares of `sustainable_per_s`, one replica's sustainable rate; a first quarter fills
    the batches and is not judged. Beyond it there is no steady state: so many clients in a closed
    loop on one replica.
    """
    rows = [(0.0, 0.0, 1.0, 0.0)]
    for share in SHARES:
        row, is_borne = _measure_open(pool, slo, trace, share * sustainable_per_s, seed)
        if not is_borne:
            break
        rows.append(row)
    last = rows[-1]
    for crowd in CROWDS:
        num_clients = round(max(last[0], 4.0) * crowd)
        rows.append(_measure_closed(pool, slo, trace, num_clients, last))
    table = np.array(rows)
    rising = np.flatnonzero(np.diff(np.maximum.accumulate(table[:, 0]), prepend=-1.0) > 0)
    table = table[rising]
    return ServiceCurve(
        num_present=table[:, 0],
        completions_per_s=np.maximum.accumulate(table[:, 1]),
        slo_attainment_ratio=table[:, 2],
        drain_s=table[:, 3],
    )


_Row = tuple[float, float, float, float]


def _measure_open(
    pool: Pool, slo: SLOTarget, trace: Trace, rate_per_s: float, seed: int
) -> tuple[_Row, bool]:
    n = trace.num_requests
    gaps = np.random.default_rng(seed).standard_exponential(n)
    arrival_s = np.cumsum(gaps) / (rate_per_s * NUM_REPLICAS)
    chunk = RequestChunk(arrival_s, trace.prompt_tokens, trace.output_tokens)

    def chunks() -> Iterator[RequestChunk]:
        yield chunk

    fixed = replace(
        pool, num_initial=NUM_REPLICAS, max_replicas=NUM_REPLICAS, cold_start_s=0.0, spot=None
    )
    deployment = SimulatedDeployment(
        name="curve", pools=(fixed,), slo=slo, chunks=chunks, scaler=FixedScaler(),
        num_outcomes=n, max_waiting=n, seed=seed,
    )  # fmt: skip
    (answer,) = simulate_fleet([deployment])
    found = answer.outcomes
    assert found is not None  # noqa: S101  asked for above
    judged = slice(int(n * RAMP_SHARE), n)
    first_s, finished_s = found[judged, 1], found[judged, 2]
    num_gaps = trace.output_tokens[judged] - 1
    tpot_s = (finished_s - first_s) / np.maximum(num_gaps, 1)
    is_met = (first_s - arrival_s[judged] <= slo.ttft_s) & (
        (tpot_s <= slo.tpot_s) | (num_gaps == 0)
    )
    residence_s = float((finished_s - arrival_s[judged]).mean())
    start_s, last_s = float(arrival_s[judged.start]), float(arrival_s[-1])
    num_ended = int(((found[:, 2] > start_s) & (found[:, 2] <= last_s)).sum())
    ends = [float(found[found[:, 4] == r, 2].max(initial=last_s)) for r in range(NUM_REPLICAS)]
    row = (
        rate_per_s * residence_s,
        rate_per_s,
        float(is_met.mean()),
        float(np.mean(np.maximum(np.array(ends) - last_s, 0.0))),
    )
    return row, num_ended >= STEADY_SHARE * (n - judged.start)


def _measure_closed(pool: Pool, slo: SLOTarget, trace: Trace, num_clients: int, last: _Row) -> _Row:
    """A replica that always holds so many; drained at the pace at which it completes."""
    at_once = replace(trace, arrival_s=np.zeros(trace.num_requests), prefix_hashes=None)
    found = simulate_clients(
        at_once, pool.model, pool.plan, pool.arguments, num_clients=num_clients
    )
    assert found.arrival_s is not None  # noqa: S101  always set by a closed loop
    order = np.argsort(found.arrival_s, kind="stable")
    # neither the first fill nor the last clients, who have the replica for themselves
    order = order[min(2 * num_clients, order.size // 2) : max(order.size - num_clients, 1)]
    span_s = float(np.ptp(found.arrival_s[order])) if order.size > 1 else 0.0
    rate_per_s = (order.size - 1) / span_s if span_s > 0 else last[1]
    shifted = found.arrival_s[order] - found.arrival_s[order[0]]
    judged = replace(
        at_once,
        arrival_s=shifted,
        prompt_tokens=trace.prompt_tokens[order],
        output_tokens=trace.output_tokens[order],
    )
    part = replace(
        found,
        first_token_s=found.first_token_s[order] - found.arrival_s[order[0]],
        finished_s=found.finished_s[order] - found.arrival_s[order[0]],
    )
    attained = compute_attainment(judged, part, slo)
    waiting_s = max(num_clients - last[0], 0.0) / max(rate_per_s, 1e-9)
    return float(num_clients), rate_per_s, attained, last[3] + waiting_s
