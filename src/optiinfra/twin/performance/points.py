"""Measured points of closed-loop runs, and many of them as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optiinfra.twin.performance.precision import WEIGHT_BYTES
from optiinfra.twin.performance.work import (
    HEAD_BYTES,
    Layout,
    Work,
    compute_kv_bytes_per_token_and_layer,
    compute_work,
    stack,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optiinfra.domain.architectures import Architecture
    from optiinfra.domain.gpus import GPU

# Engines that run chunks of prompts beside decodes; the others run prompts in steps of their own.
MIXING_ENGINES = frozenset({"vllm"})
# Engines that decode only when no prompt waits, as SGLang does by default.
PREFILL_FIRST_ENGINES = frozenset({"sglang"})
MEMORY_SHARE = 0.9  # of a GPU's memory that engines fill by default
RESERVED_BYTES = 4.0e9  # context, graphs, activations, collectives; 2-3.75 GB in published figures


class Group(NamedTuple):
    """Points that err alike: one model on one GPU type under one engine."""

    model: str
    gpu: str
    engine: str

    def __str__(self) -> str:
        return f"{self.model}, {self.gpu}, {self.engine}"


@dataclass(frozen=True, slots=True)
class PointDeployment:
    """What was measured: everything but the concurrency.

    `group` has the source's own names; points of one group are held out together. `precision` is
    the source's own words; `labels` tell apart what the layout does not, such as the source's
    parallel sizes. `has_equal_lengths` says that every prompt and every answer is as long as the
    others, so that clients of a closed loop may come in waves.
    """

    group: Group
    architecture: Architecture
    gpu: GPU
    engine_version: str
    precision: str
    layout: Layout
    prompt_tokens: int
    output_tokens: int
    labels: tuple[str, ...] = ()
    has_equal_lengths: bool = False

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.output_tokens < 1:
            message = "a deployment's prompts and outputs have at least one token"
            raise ValueError(message)

    @property
    def is_moe(self) -> bool:
        """Whether the model has experts."""
        return self.architecture.is_moe

    @property
    def is_in_waves(self) -> bool:
        """Whether all clients of a closed loop are prefilled, then decode, and end together."""
        return self.has_equal_lengths and self.group.engine in PREFILL_FIRST_ENGINES

    def compute_capacity(self) -> float:
        """Requests of this length whose KV cache one replica holds at once; at least 1.

        Half of the output stands in the cache on average.
        """
        a, layout = self.architecture, self.layout
        body = a.dense_params - a.head_params
        weights = body * WEIGHT_BYTES[layout.dense_format]
        weights += (a.head_params + a.embedding_params) * HEAD_BYTES
        weights /= layout.tensor_parallel_size
        weights += a.routed_params * WEIGHT_BYTES[layout.expert_format] / layout.expert_ranks
        weights /= layout.pipeline_parallel_size
        free = MEMORY_SHARE * self.gpu.memory_bytes - weights - RESERVED_BYTES
        kv_bytes = compute_kv_bytes_per_token_and_layer(a, layout) * a.num_attention_layers
        tokens = self.prompt_tokens + self.output_tokens / 2
        per_sequence = kv_bytes * tokens + a.state_bytes_per_sequence / layout.tensor_parallel_size
        per_sequence /= layout.pipeline_parallel_size
        return max(1.0, free / per_sequence * layout.data_parallel_size)


@dataclass(frozen=True, slots=True)
class MeasuredCurve:
    """One deployment at several concurrencies, ascending: float64[n] each, seconds.

    `receive_interval` counts the decode steps between two looks for new requests, which SGLang's
    --scheduler-recv-interval sets; None where the engine looks before every step.
    """

    deployment: PointDeployment
    concurrency: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    receive_interval: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        arrays = [self.concurrency, self.ttft_s, self.tpot_s]
        if self.receive_interval is not None:
            arrays.append(self.receive_interval)
        if any(a.shape != self.concurrency.shape for a in arrays) or not self.concurrency.size:
            message = "a curve has as many TTFT and TPOT as concurrencies, and at least one"
            raise ValueError(message)
        if not all(np.all(np.isfinite(a) & (a > 0)) for a in arrays):
            message = "every figure of a curve is positive and finite"
            raise ValueError(message)
        if np.any(np.diff(self.concurrency) <= 0):
            message = "the concurrencies of a curve ascend"
            raise ValueError(message)


@dataclass(frozen=True)
class PointTable:
    """Points of many deployments as arrays: float64[n] but for the integer indices.

    `start[d]` to `start[d + 1]` are the points of curve d; `group[n]` indexes `groups`.
    """

    curves: tuple[MeasuredCurve, ...]
    groups: tuple[Group, ...]
    start: NDArray[np.int64]
    group: NDArray[np.int64]
    work: Work
    concurrency: NDArray[np.float64]
    clients_per_rank: NDArray[np.float64]  # concurrency over ranks with batches of their own
    prompt_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    capacity: NDArray[np.float64]
    flops_ratio: NDArray[np.float64]
    bandwidth_ratio: NDArray[np.float64]
    is_moe: NDArray[np.bool_]
    is_prefill_apart: NDArray[np.float64]  # 1 where prompts run in steps of their own, else 0
    is_in_waves: NDArray[np.float64]  # 1 where all clients are prefilled before they decode, else 0
    receive_interval: NDArray[np.float64]  # steps between two looks for new requests
    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]

    def get_slice(self, curve: int) -> slice:
        """Where the points of a curve are."""
        return slice(int(self.start[curve]), int(self.start[curve + 1]))


def build_table(curves: Sequence[MeasuredCurve]) -> PointTable:
    """The points of all curves, in the order given; groups in order of their names."""
    groups = tuple(sorted({curve.deployment.group for curve in curves}))
    sizes = np.array([curve.concurrency.size for curve in curves], np.int64)

    def spread(values: Sequence[float]) -> NDArray[np.float64]:
        return np.repeat(np.array(values, np.float64), sizes)

    deployments = [curve.deployment for curve in curves]
    works = [_compute_bounded_work(d) for d in deployments]
    repeated = [work for work, size in zip(works, sizes, strict=True) for _ in range(size)]
    concurrency = np.concatenate([curve.concurrency for curve in curves])
    ranks = spread(
        [
            d.layout.data_parallel_size * d.layout.pipeline_parallel_size  # micro-batches
            for d in deployments
        ]
    )
    return PointTable(
        curves=tuple(curves),
        groups=groups,
        start=np.concatenate([[0], np.cumsum(sizes)]),
        group=np.repeat([groups.index(d.group) for d in deployments], sizes).astype(np.int64),
        work=stack(repeated),
        concurrency=concurrency,
        clients_per_rank=concurrency / ranks,
        prompt_tokens=spread([d.prompt_tokens for d in deployments]),
        output_tokens=spread([d.output_tokens for d in deployments]),
        capacity=spread([d.compute_capacity() for d in deployments]),
        flops_ratio=spread([d.gpu.achievable_flops_ratio for d in deployments]),
        bandwidth_ratio=spread([d.gpu.achievable_bandwidth_ratio for d in deployments]),
        is_moe=spread([float(d.is_moe) for d in deployments]).astype(np.bool_),
        is_prefill_apart=spread([float(d.group.engine not in MIXING_ENGINES) for d in deployments]),
        is_in_waves=spread([float(d.is_in_waves) for d in deployments]),
        receive_interval=np.concatenate(
            [
                np.ones(curve.concurrency.size)
                if curve.receive_interval is None
                else curve.receive_interval
                for curve in curves
            ]
        ),
        ttft_s=np.concatenate([curve.ttft_s for curve in curves]),
        tpot_s=np.concatenate([curve.tpot_s for curve in curves]),
    )


def _compute_bounded_work(deployment: PointDeployment) -> Work:
    """Work with windows no longer than the contexts of this deployment."""
    work = compute_work(deployment.architecture, deployment.gpu, deployment.layout)
    context = deployment.prompt_tokens + deployment.output_tokens / 2
    return replace(work, window_tokens=min(float(work.window_tokens), context))
