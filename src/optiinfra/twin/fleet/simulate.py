"""Deployments of many replicas under autoscaling, simulated request by request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.analysis import Distribution
from optiinfra.domain.errors import InputError
from optiinfra.twin.fleet import routing as compiled
from optiinfra.twin.fleet.answers import DeploymentAnswer, FleetSeries
from optiinfra.twin.fleet.deployment_run import DeploymentRun
from optiinfra.twin.itl import list_itl_edges_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from optiinfra.twin.fleet.pools import Pool, SimulatedDeployment
    from optiinfra.twin.fleet.scaling import DeploymentView

EPOCH_S = 60.0
GRACE_S = 3_600.0  # after the last arrival, for requests that no replica is ready for


def simulate_fleet(
    deployments: Sequence[SimulatedDeployment],
    *,
    epoch_s: float = EPOCH_S,
    until_s: float | None = None,
    gpu_limits: Mapping[str, int] | None = None,
    num_threads: int = 1,
) -> tuple[DeploymentAnswer, ...]:
    """Serve every deployment's traffic; the same input gives the same answer on any threads.

    At the end of each epoch scalers are asked, deployments in order; a launch is billed from then
    on and ready after its cold start. `gpu_limits` bound the GPUs of a type over all deployments.
    Replicas are billed until `until_s`, or to the end of the epoch of the last arrival, and until
    their last request. Raises InputError and DoesNotFitError, see `Feed`.
    """
    if not deployments or not 0 < epoch_s < float("inf"):
        raise InputError(
            f"{len(deployments)} deployments cannot be simulated in epochs of {epoch_s} s.",
            remedy="Give at least one deployment and a positive epoch.",
            field="deployments",
        )
    limits = gpu_limits or {}
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(num_threads)) if num_threads > 1 else None
        runs = [DeploymentRun(deployment, executor) for deployment in deployments]
        rows: list[list[_Row]] = [[] for _ in runs]

        def may_launch(pool: Pool) -> bool:
            if pool.gpu not in limits:
                return True
            used = sum(run.count_gpus().get(pool.gpu, 0) for run in runs)
            return used + pool.arguments.num_gpus <= limits[pool.gpu]

        end_s = 0.0
        while any(_is_on(run, until_s) for run in runs):
            end_s += epoch_s
            for run, own in zip(runs, rows, strict=True):
                if not _is_on(run, until_s):
                    continue
                run.run_until(end_s)
                view = run.view(epoch_s)
                own.append(_to_row(view))
                run.scale(run.scaler.decide(view), may_launch)
        for run in runs:
            run.finish(run.at_s + GRACE_S)
        return tuple(_answer(run, own, until_s) for run, own in zip(runs, rows, strict=True))


_Row = tuple[float, ...]


def _is_on(run: DeploymentRun, until_s: float | None) -> bool:
    if run.is_overfull:
        return False
    return run.feed.find_next_s() is not None or (until_s is not None and run.at_s < until_s)


def _to_row(view: DeploymentView) -> _Row:
    return (
        view.at_s,
        view.num_arrivals,
        sum(p.num_running for p in view.pools),
        sum(p.num_waiting for p in view.pools) + view.num_held,
        *(p.num_ready for p in view.pools),
        *(p.num_starting for p in view.pools),
        *(p.num_draining for p in view.pools),
    )


def _make_series(rows: list[_Row], num_pools: int) -> FleetSeries:
    table = np.array(rows, np.float64).reshape(len(rows), 4 + 3 * num_pools)
    return FleetSeries(
        end_s=table[:, 0],
        num_arrivals=table[:, 1],
        num_running=table[:, 2],
        num_waiting=table[:, 3],
        num_ready=table[:, 4 : 4 + num_pools],
        num_starting=table[:, 4 + num_pools : 4 + 2 * num_pools],
        num_draining=table[:, 4 + 2 * num_pools :],
    )


def _answer(run: DeploymentRun, rows: list[_Row], until_s: float | None) -> DeploymentAnswer:
    totals = np.sum([router.shard.totals for router in run.routers], axis=0)
    counts = np.sum([router.shard.histograms for router in run.routers], axis=0)
    last_s = max(float(r.shard.totals[compiled.LAST_FINISHED_S]) for r in run.routers)
    ended_at_s = max(last_s, run.at_s) if until_s is None else max(until_s, run.at_s, last_s)
    billed_to_s = run.at_s if until_s is None else until_s
    served = int(totals[compiled.NUM_SERVED])
    num_requests = run.feed.num_taken
    pools = run.deployment.pools
    lives = [*run.gone, *run.lives]
    costs = [life.compute_cost_usd(billed_to_s) for life in lives]
    known = [cost for cost in costs if cost is not None]
    with_tpot = totals[compiled.NUM_WITH_TPOT]
    return DeploymentAnswer(
        name=run.deployment.name,
        num_requests=num_requests,
        num_served=served,
        slo_attainment_ratio=_divide(totals[compiled.NUM_BOTH_MET], num_requests),
        ttft_attainment_ratio=_divide(totals[compiled.NUM_TTFT_MET], num_requests),
        tpot_attainment_ratio=_divide(totals[compiled.NUM_TPOT_MET], with_tpot),
        ttft_s=_summarize(counts[0], totals[compiled.TTFT_SUM_S]),
        tpot_s=_summarize(counts[1], totals[compiled.TPOT_SUM_S]),
        queue_s=_summarize(counts[2], totals[compiled.QUEUE_SUM_S]),
        e2e_s_mean=_divide(totals[compiled.E2E_SUM_S], served),
        output_tokens=int(totals[compiled.OUTPUT_TOKENS]),
        num_preemptions=int(totals[compiled.NUM_PREEMPTIONS]),
        gpu_hours={
            pool.name: sum(
                life.compute_gpu_hours(billed_to_s) for life in lives if life.pool is pool
            )
            for pool in pools
        },
        cost_usd=sum(known) if len(known) == len(costs) else None,
        num_launched={p.name: sum(1 for life in lives if life.pool is p) for p in pools},
        num_interrupted={
            p.name: sum(1 for life in lives if life.pool is p and life.is_interrupted)
            for p in pools
        },
        num_moved=run.num_moved,
        ended_at_s=ended_at_s,
        series=_make_series(rows, len(pools)),
        is_unstable=run.is_overfull or served < num_requests,
        outcomes=run.outcomes if run.deployment.num_outcomes else None,
    )


def _divide(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0


def _summarize(counts: NDArray[np.int64], sum_s: float) -> Distribution:
    """Mean, and percentiles as middles of their bins; all None where nothing was counted."""
    total = int(counts.sum())
    if total == 0:
        return Distribution(None, None, None, None)
    edges = list_itl_edges_s()
    ranks = np.cumsum(counts)
    places = [int(np.searchsorted(ranks, level * total)) for level in (0.5, 0.95, 0.99)]
    p50, p95, p99 = (float(np.sqrt(edges[b] * edges[b + 1])) for b in places)
    return Distribution(float(sum_s / total), p50, p95, p99)
