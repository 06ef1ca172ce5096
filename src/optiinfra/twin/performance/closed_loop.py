"""The prior for closed loops: TPOT and TTFT when a fixed number of clients ask without pause.

Of B clients of a rank, R hold a place in the batch (R < B where the KV cache is full). While one
request decodes its `output` tokens, every other one is prefilled once, beside the decodes:

    TPOT = step(R decodes) + (R - 1) / output * prefill

    TTFT = prefill * (1 + share of the initial burst * R) + waited steps * TPOT + collisions
           + (interval - 1) / 2 * TPOT where the engine looks for new requests only at times
           + (B - R) / R * output * TPOT where clients queue for a place

(Little's law for the last term). A benchmark that asks ten times for every client, at first all at
once, lets one of ten requests wait for half of the clients: a burst share of 1/20. vLLM
runs a prefill beside decodes, so that both share one pass over the weights; SGLang and TensorRT-LLM
run it in a step of its own, as they do by default. The overhead of a step with a prefill is shared
by the prompts that are in it; the busier the prefills are, the more there are.

An engine that decodes only when no prompt waits keeps clients with equal lengths together: all are
prefilled, then all decode, all end at once, and ask again. A request then waits for half of the
others' prefills before its first token and for the other half after it:

    TPOT = step(R decodes) + (R - 1) / output * prefill / 2
    TTFT = prefill * (1 + R / 2) + waited steps * TPOT
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from optiinfra.twin.step_time import StepConstants, compose_step_time_model, compute_step_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optiinfra.twin.performance.points import PointTable

WAVE_SHARE = 0.5  # of the others' prefills in a wave come before a request's own, on average
MAX_BUSY_RATIO = 0.95  # of the time prefills run, in the formula of their collisions


@dataclass(frozen=True, slots=True)
class LoopConstants:
    """What a closed loop adds to a step; within LOOP_BOUNDS, fitted to measured points."""

    prefill_sharing_ratio: float = 0.6  # of a busy prefill's overhead that prompts share
    prefill_ratio: float = 0.8  # of the modelled prefill, within TTFT
    burst_share: float = 0.05  # of the clients before it that a request waits for, on average
    waited_steps: float = 2.0  # times TPOT within TTFT
    collision_ratio: float = 1.0  # of the M/D/1 wait among prefills
    linear_excess_ratio: float = 0.7  # of TTFT's own rise that may come from a larger burst
    queue_exponent: float = 4.0  # how late the rest of an unexplained queue sets in
    model_share: float = 0.8  # of TPOT's shape between two anchors; the rest is the curve's


LOOP_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "prefill_sharing_ratio": (0.02, 3.0),
    "prefill_ratio": (0.2, 3.0),
    "burst_share": (0.002, 0.25),
    "waited_steps": (0.3, 6.0),
    "collision_ratio": (0.05, 4.0),
    "linear_excess_ratio": (0.02, 4.0),
    "queue_exponent": (1.0, 5.0),
    "model_share": (0.05, 1.0),
}


@dataclass(frozen=True, slots=True)
class Prior:
    """Figures before any anchor, float64[n], seconds."""

    tpot_s: NDArray[np.float64]
    prefill_s: NDArray[np.float64]  # what one prompt adds to a running batch


def compute_running(table: PointTable) -> NDArray[np.float64]:
    """Requests in the batch before any anchor: all clients, or what the KV cache holds."""
    return np.minimum(table.concurrency, table.capacity)


def predict_tpot(
    table: PointTable,
    constants: StepConstants,
    loop: LoopConstants,
    running: NDArray[np.float64],
) -> Prior:
    """Prior TPOT with `running` requests in the batches of a replica, float64[n]."""
    model = compose_step_time_model(
        table.work,
        constants,
        flops_ratio=table.flops_ratio,
        bandwidth_ratio=table.bandwidth_ratio,
    )
    batch = running * table.clients_per_rank / table.concurrency
    prompt, output = table.prompt_tokens, table.output_tokens
    context = batch * (prompt + output / 2)
    decode_s = compute_step_s(model, num_decodes=batch, context_tokens=context)
    mixed_s = compute_step_s(
        model,
        num_decodes=batch,
        context_tokens=context,
        prefill_tokens=prompt,
        num_prefills=1,
        attention_pairs=prompt**2 / 2,
    )
    alone_s = compute_step_s(
        model,
        num_decodes=0.0 * batch,
        context_tokens=0.0 * batch,
        prefill_tokens=prompt,
        num_prefills=1,
        attention_pairs=prompt**2 / 2,
    )
    overhead_s = model.prefill_step_s
    beside_s = mixed_s - decode_s
    apart_s = alone_s - model.fixed_s
    bare_s = beside_s + table.is_prefill_apart * (apart_s - beside_s) - overhead_s
    share = np.maximum(batch - 1, 0) / output * (1.0 - WAVE_SHARE * table.is_in_waves)
    prefill_s = bare_s + overhead_s
    for _ in range(2):  # the busier, the more prompts share a step's overhead
        tpot_s = decode_s + share * prefill_s
        busy = np.minimum(batch * prefill_s / (output * tpot_s + prefill_s), 1.0)
        prompts = 1.0 + loop.prefill_sharing_ratio * busy / (1.0 - np.minimum(busy, 0.9))
        prefill_s = bare_s + overhead_s / prompts
    return Prior(tpot_s=decode_s + share * prefill_s, prefill_s=prefill_s)


def predict_service(
    table: PointTable,
    loop: LoopConstants,
    *,
    prefill_s: NDArray[np.float64],
    tpot_s: NDArray[np.float64],
    running: NDArray[np.float64],
) -> NDArray[np.float64]:
    """TTFT of a request that finds a place in the batch, float64[n], seconds."""
    prefill_s = loop.prefill_ratio * prefill_s
    batch = running * table.clients_per_rank / table.concurrency
    busy = np.minimum(
        batch * prefill_s / (table.output_tokens * tpot_s + prefill_s), MAX_BUSY_RATIO
    )
    collision_s = loop.collision_ratio * busy * prefill_s / (2.0 * (1.0 - 0.9 * busy))
    collision_s = np.where(table.is_in_waves > 0, 0.0, collision_s)
    burst = 1.0 + np.where(table.is_in_waves > 0, WAVE_SHARE, loop.burst_share) * batch
    service_s: NDArray[np.float64] = prefill_s * burst + loop.waited_steps * tpot_s + collision_s
    return service_s


def predict_unseen(table: PointTable, *, tpot_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds until the engine looks for new requests: half of its interval, float64[n].

    An engine that looks before every step has an interval of 1.
    """
    unseen_s: NDArray[np.float64] = (table.receive_interval - 1.0) / 2.0 * tpot_s
    return unseen_s


def predict_wait(
    table: PointTable, *, tpot_s: NDArray[np.float64], running: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds in the queue for a place in the batch, by Little's law, float64[n]."""
    queued = np.maximum(table.concurrency / running - 1.0, 0.0)
    wait_s: NDArray[np.float64] = queued * table.output_tokens * tpot_s
    return wait_s
