"""One deployment as it runs: replicas launched, ready, drained and taken back between arrivals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.fleet.feed import Feed
from optiinfra.twin.fleet.lives import Phase, ReplicaLife
from optiinfra.twin.fleet.routers import Router
from optiinfra.twin.fleet.scaling import DeploymentView, PoolView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from optiinfra.twin.fleet.feed import Piece
    from optiinfra.twin.fleet.pools import Pool, SimulatedDeployment

SPARE_ROWS = 2  # rows a router has beyond its share of replicas, for those that drain


class DeploymentRun:
    """Runs a deployment from boundary to boundary; `answers` makes the answer of it."""

    def __init__(self, deployment: SimulatedDeployment, executor: Executor | None = None) -> None:
        self.deployment = deployment
        self._executor = executor if deployment.num_routers > 1 else None
        self.outcomes = np.full((deployment.num_outcomes, 5), np.nan)
        most = sum(pool.max_replicas for pool in deployment.pools)
        share = -(-most // deployment.num_routers)
        num_rows = share + -(-share // 2) + SPARE_ROWS
        self.routers = [
            Router(deployment, number, num_rows, self.outcomes)
            for number in range(deployment.num_routers)
        ]
        self.feed = Feed(
            deployment.name,
            deployment.chunks(),
            max_tokens=min(_get_max_tokens(pool) for pool in deployment.pools),
            num_hash_ids=deployment.num_hash_ids,
        )
        self.scaler = deployment.scaler.start()
        self.lives: list[ReplicaLife] = []
        self.gone: list[ReplicaLife] = []
        self.num_moved = 0
        self.is_overfull = False
        self.at_s = 0.0
        self._num_arrivals = 0
        self._num_tokens = 0
        self._outages = {
            pool.name: pool.spot.market.list_outages(pool.spot.zone)
            for pool in deployment.pools
            if pool.spot is not None
        }
        for pool in deployment.pools:
            for _ in range(pool.num_initial):
                self._launch(pool, 0.0, cold_start_s=0.0)
        self._settle(0.0)

    @property
    def num_held(self) -> int:
        """Requests that no replica is ready for."""
        return sum(router.num_held for router in self.routers)

    def run_until(self, until_s: float) -> None:
        """Serve all that arrives before `until_s`, pausing where a replica changes its phase."""
        while self.at_s < until_s and not self.is_overfull:
            pause_s = min(until_s, self._find_next_change_s())
            pieces = list(self.feed.take_until(pause_s))
            for piece in pieces:
                self._count(piece)
            self._route(pieces)
            self.at_s = pause_s
            self._settle(pause_s)

    def finish(self, limit_s: float) -> None:
        """No more arrivals: let all requests end; those held wait for a replica until `limit_s`."""
        while self.num_held and self.at_s < limit_s:
            change_s = self._find_next_change_s()
            if change_s > limit_s:
                break
            self.at_s = change_s
            self._settle(change_s)
        for life in self.lives:
            self.routers[life.router].catch_up([life.row], math.inf)

    def view(self, epoch_s: float) -> DeploymentView:
        """What a scaler sees now; counting of arrivals starts anew."""
        view = DeploymentView(
            at_s=self.at_s,
            epoch_s=epoch_s,
            num_arrivals=self._num_arrivals,
            num_tokens=self._num_tokens,
            num_held=self.num_held,
            pools=tuple(self._view_pool(pool) for pool in self.deployment.pools),
        )
        self._num_arrivals = self._num_tokens = 0
        return view

    def scale(self, wanted: Mapping[str, int], may_launch: Callable[[Pool], bool]) -> None:
        """Launch or drain to the counts wanted, as far as `may_launch` and limits go."""
        for pool in self.deployment.pools:
            if pool.name not in wanted:
                continue
            target = min(max(int(wanted[pool.name]), 0), pool.max_replicas)
            present = [
                life
                for life in self.lives
                if life.pool is pool and life.phase in {Phase.STARTING, Phase.READY}
            ]
            for _ in range(target - len(present)):
                if self._is_out(pool, self.at_s) or not may_launch(pool):
                    break
                if not self._launch(pool, self.at_s, cold_start_s=pool.cold_start_s):
                    break
            if len(present) > target:
                self._drain(present, len(present) - target)
        self._settle(self.at_s)

    def count_gpus(self) -> dict[str, int]:
        """GPUs in use by type, whatever the phase."""
        used: dict[str, int] = {}
        for life in self.lives:
            used[life.pool.gpu] = used.get(life.pool.gpu, 0) + life.pool.arguments.num_gpus
        return used

    def _count(self, piece: Piece) -> None:
        own = slice(piece.start, piece.stop)
        self._num_arrivals += piece.stop - piece.start
        self._num_tokens += int(piece.arrivals.prompt_tokens[own].sum(dtype=np.int64))
        self._num_tokens += int(piece.arrivals.output_tokens[own].sum(dtype=np.int64))

    def _route(self, pieces: list[Piece]) -> None:
        if not pieces:
            return

        def work(router: Router) -> bool:
            return all(router.route(piece) for piece in pieces)

        run = map if self._executor is None else self._executor.map
        self.is_overfull = not all(list(run(work, self.routers)))

    def _launch(self, pool: Pool, at_s: float, *, cold_start_s: float) -> bool:
        loads = [0] * len(self.routers)
        for life in self.lives:
            loads[life.router] += life.phase is not Phase.DRAINING
        order = sorted(range(len(self.routers)), key=lambda number: (loads[number], number))
        chosen = next((number for number in order if self.routers[number].has_room), None)
        if chosen is None:
            return False  # all rows drain still: next time
        row = self.routers[chosen].launch(pool, at_s)
        life = ReplicaLife(pool, chosen, row, at_s, at_s + cold_start_s)
        self.lives.append(life)
        return True

    def _drain(self, present: list[ReplicaLife], count: int) -> None:
        """Those not ready yet first, then of the router that has most the one with least to do."""
        starting = [life for life in present if life.phase is Phase.STARTING]
        for life in sorted(starting, key=lambda life: -life.ready_at_s)[:count]:
            self._end(life, self.at_s)
            count -= 1
        ready = [life for life in present if life.phase is Phase.READY]
        for _ in range(count):
            sizes = [sum(1 for life in ready if life.router == n) for n in range(len(self.routers))]
            most = sizes.index(max(sizes))
            own = [life for life in ready if life.router == most]
            for life in own:
                self.routers[most].catch_up([life.row], self.at_s)
            least = min(
                own, key=lambda life: (sum(self.routers[most].count_present(life.row)), life.row)
            )
            ready.remove(least)
            least.phase = Phase.DRAINING
            least.drained_from_s = self.at_s

    def _settle(self, at_s: float) -> None:
        """Move every replica to the phase it has at an instant, and tell the routers."""
        for life in list(self.lives):
            if life.pool.spot is not None and life.reclaimed_at_s is None:
                self._give_notice(life, life.pool.spot.notice_s, at_s)
            if life.phase is Phase.STARTING and life.ready_at_s <= at_s:
                life.phase = Phase.READY
        rows = [
            [life.row for life in self.lives if life.router == n and life.phase is Phase.READY]
            for n in range(len(self.routers))
        ]
        for router, own in zip(self.routers, rows, strict=True):
            router.set_ready(own, at_s)
        for life in list(self.lives):
            router = self.routers[life.router]
            if life.phase is Phase.DRAINING:
                router.catch_up([life.row], at_s)
                if sum(router.count_present(life.row)) == 0:
                    since_s = life.drained_from_s if life.drained_from_s is not None else at_s
                    self._end(life, min(max(router.get_now_s(life.row), since_s), at_s))
                    continue
            if life.reclaimed_at_s is not None and life.reclaimed_at_s <= at_s:
                router.catch_up([life.row], life.reclaimed_at_s)
                self.num_moved += router.take_back(life.row, at_s)
                self._end(life, life.reclaimed_at_s)

    def _give_notice(self, life: ReplicaLife, notice_s: float, at_s: float) -> None:
        for outage in self._outages[life.pool.name]:
            if life.launched_at_s < outage.started_at_s <= at_s:
                life.is_interrupted = True
                life.reclaimed_at_s = outage.started_at_s + notice_s
                if life.phase is not Phase.DRAINING:
                    life.phase = Phase.DRAINING
                    life.drained_from_s = at_s
                return

    def _end(self, life: ReplicaLife, at_s: float) -> None:
        life.phase = Phase.GONE
        life.ended_at_s = at_s
        self.lives.remove(life)
        self.gone.append(life)
        self.routers[life.router].give_back(life.row)

    def _is_out(self, pool: Pool, at_s: float) -> bool:
        return any(o.started_at_s <= at_s < o.ended_at_s for o in self._outages.get(pool.name, ()))

    def _find_next_change_s(self) -> float:
        """The next instant at which a replica is ready, gets notice or is taken back."""
        found = math.inf
        for life in self.lives:
            if life.phase is Phase.STARTING:
                found = min(found, life.ready_at_s)
            if life.reclaimed_at_s is not None:
                found = min(found, life.reclaimed_at_s)
            elif life.pool.spot is not None:
                for outage in self._outages[life.pool.name]:
                    if outage.started_at_s > self.at_s:
                        found = min(found, outage.started_at_s)
                        break
        return max(found, self.at_s)

    def _view_pool(self, pool: Pool) -> PoolView:
        own = [life for life in self.lives if life.pool is pool]
        ready = [life for life in own if life.phase is Phase.READY]
        running = waiting = 0
        usage = 0.0
        for life in own:
            router = self.routers[life.router]
            router.catch_up([life.row], self.at_s)
            present = router.count_present(life.row)
            running, waiting = running + present[0], waiting + present[1]
            usage += router.get_kv_usage(life.row) if life.phase is Phase.READY else 0.0
        return PoolView(
            name=pool.name,
            num_ready=len(ready),
            num_starting=sum(1 for life in own if life.phase is Phase.STARTING),
            num_draining=sum(1 for life in own if life.phase is Phase.DRAINING),
            num_running=running,
            num_waiting=waiting,
            kv_cache_usage_ratio=usage / len(ready) if ready else 0.0,
            max_replicas=pool.max_replicas,
            is_available=not self._is_out(pool, self.at_s),
        )


def _get_max_tokens(pool: Pool) -> int:
    context = pool.arguments.max_model_len
    capacity = pool.plan.kv_capacity_tokens
    return capacity if context is None else min(context, capacity)
