"""One router with its replicas: the arrays that compiled code works on, and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optiinfra.twin.engine_state import (
    BLOCK_SIZE,
    HASH_START,
    IS_MIXED,
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    NOW,
    NUM_BLOCKS,
    NUM_COEFFICIENTS,
    NUM_HASHES,
    NUM_RUNNING,
    NUM_WAITING,
    WAITING_SHARE,
    empty_replica,
    make_replicas,
    make_slots,
)
from optiinfra.twin.fleet import routing as compiled
from optiinfra.twin.itl import NUM_ITL_BINS
from optiinfra.twin.scheduling import SCHEDULINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.fleet.feed import Piece
    from optiinfra.twin.fleet.pools import Pool, SimulatedDeployment

TICKETS_A_REPLICA = 8  # of the lightest one; weights are rounded to eighths of it
MAX_TICKETS = 65_536


class Router:
    """Routes every `num_routers`-th request to its own replicas."""

    def __init__(
        self,
        deployment: SimulatedDeployment,
        number: int,
        num_rows: int,
        outcomes: NDArray[np.float64],
    ) -> None:
        self.number = number
        self._stride = deployment.num_routers
        largest = max(pool.arguments.max_num_seqs for pool in deployment.pools)
        first = deployment.pools[0]
        self.replicas = make_replicas(
            num_rows,
            first.model.to_array(),
            SCHEDULINGS[first.arguments.engine],
            max_num_seqs=largest,
            max_num_batched_tokens=first.arguments.max_num_batched_tokens,
            num_blocks=first.plan.num_kv_blocks,
            block_size=max(pool.plan.block_size for pool in deployment.pools),
            num_hash_ids=deployment.num_hash_ids,
            blocks_per_hash=deployment.blocks_per_hash,
        )
        num_slots = num_rows * largest + -(-deployment.max_waiting // deployment.num_routers)
        self.requests = make_slots(num_slots, num_rows)
        counters = np.zeros(compiled.NUM_COUNTERS, np.int64)
        counters[compiled.NUM_FREE] = num_slots
        counters[compiled.ROUTING] = int(deployment.routing)
        counters[compiled.SEED] = deployment.seed
        counters[compiled.HELD_HEAD] = -1
        totals = np.zeros(compiled.NUM_TOTALS)
        totals[compiled.TTFT_SLO_S] = deployment.slo.ttft_s
        totals[compiled.TPOT_SLO_S] = deployment.slo.tpot_s
        self.shard = compiled.Shard(
            counters=counters,
            tickets=np.zeros(MAX_TICKETS, np.int64),
            weights=np.ones(num_rows),
            free=np.arange(num_slots - 1, -1, -1, dtype=np.int64),
            totals=totals,
            histograms=np.zeros((3, NUM_ITL_BINS), np.int64),
            outcomes=outcomes,
        )
        self._free_rows = list(range(num_rows - 1, -1, -1))
        self._chunk_number = 0

    @property
    def num_held(self) -> int:
        """Requests that wait for a replica to be ready."""
        return int(self.shard.counters[compiled.NUM_HELD])

    @property
    def has_room(self) -> bool:
        """Whether another replica can be launched."""
        return bool(self._free_rows)

    def launch(self, pool: Pool, at_s: float) -> int:
        """A row for a new replica of a pool, empty."""
        row = self._free_rows.pop()
        counts, figures = self.replicas.counts[row], self.replicas.figures[row]
        coefficients = pool.model.to_array()
        figures[:NUM_COEFFICIENTS] = 0.0
        figures[: coefficients.size] = coefficients
        figures[IS_MIXED : WAITING_SHARE + 1] = SCHEDULINGS[pool.arguments.engine].to_array()
        counts[MAX_NUM_SEQS] = pool.arguments.max_num_seqs
        counts[MAX_NUM_BATCHED_TOKENS] = pool.arguments.max_num_batched_tokens
        counts[NUM_BLOCKS] = pool.plan.num_kv_blocks
        counts[BLOCK_SIZE] = pool.plan.block_size
        empty_replica(self.replicas, row)
        figures[NOW] = at_s
        self.shard.weights[row] = pool.weight
        return row

    def give_back(self, row: int) -> None:
        """The replica in a row is gone."""
        self._free_rows.append(row)

    def set_ready(self, rows: list[int], at_s: float) -> None:
        """Which replicas get requests from now on; those held are sent to them."""
        tickets: list[int] = []
        if rows:
            weights = self.shard.weights[rows]
            lightest = float(weights.min())
            is_even = bool((weights == lightest).all())
            for row, weight in zip(rows, weights.tolist(), strict=True):
                share = 1 if is_even else round(TICKETS_A_REPLICA * weight / lightest)
                tickets += [row] * share
        tickets = tickets[:MAX_TICKETS]
        self.shard.tickets[: len(tickets)] = tickets
        self.shard.counters[compiled.NUM_TICKETS] = len(tickets)
        if tickets and self.num_held:
            compiled.release_held(self.replicas, self.requests, self.shard, at_s)

    def route(self, piece: Piece) -> bool:
        """Route its share of a piece; False where requests outnumber the slots."""
        if piece.hash_ids is not None and piece.chunk_number != self._chunk_number:
            self._load_hashes(piece, piece.hash_ids)
        offset = (self.number - piece.first_number - piece.start) % self._stride
        arrivals = piece.arrivals
        if piece.hash_ids is not None:
            arrivals = arrivals._replace(hash_starts=self._hash_starts)
        taken = compiled.route_arrivals(
            self.replicas,
            self.requests,
            self.shard,
            arrivals,
            piece.start + offset,
            piece.stop,
            self._stride,
            piece.first_number,
        )
        return bool(taken >= piece.stop)

    def catch_up(self, rows: list[int], until_s: float) -> None:
        """Advance replicas to an instant."""
        compiled.catch_up(
            self.replicas, self.requests, self.shard, np.array(rows, np.int64), until_s
        )

    def take_back(self, row: int, at_s: float) -> int:
        """The replica in a row is gone at once; how many requests had to move."""
        return int(compiled.take_back(self.replicas, self.requests, self.shard, row, at_s))

    def count_present(self, row: int) -> tuple[int, int]:
        """Running and waiting requests of a replica."""
        counts = self.replicas.counts[row]
        return int(counts[NUM_RUNNING]), int(counts[NUM_WAITING])

    def get_kv_usage(self, row: int) -> float:
        """Share of KV blocks in use."""
        counts = self.replicas.counts[row]
        return float(1.0 - counts[:2].sum() / counts[NUM_BLOCKS])

    def get_now_s(self, row: int) -> float:
        """End of the step in progress, or of the last."""
        return float(self.replicas.figures[row, NOW])

    def _load_hashes(self, piece: Piece, hash_ids: NDArray[np.int32]) -> None:
        """A new chunk's hashed blocks, behind those of the requests still in the system."""
        cells = self.requests.cells
        counters = self.shard.counters
        is_used = np.ones(self.requests.instants.shape[0], np.bool_)
        is_used[self.shard.free[: counters[compiled.NUM_FREE]]] = False
        slots = np.flatnonzero(is_used)
        old = self.requests.hash_ids
        kept: list[NDArray[np.int32]] = []
        at = 0
        for slot in slots.tolist():
            start, count = int(cells[slot, HASH_START]), int(cells[slot, NUM_HASHES])
            kept.append(old[start : start + count])
            cells[slot, HASH_START] = at
            at += count
        self.requests = self.requests._replace(
            hash_ids=np.ascontiguousarray(np.concatenate([*kept, hash_ids]), np.int32)
        )
        self._hash_starts = piece.arrivals.hash_starts + at
        self._chunk_number = piece.chunk_number
